"""Calibration: its decoder is the runtime's, and it finds what was hidden in the scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.detect.events import Reason
from streamsed.detect.postprocessing import FrameRules
from streamsed.detect.reference import decode as reference_decode
from train.calibrate import (
    Decoding,
    Intervals,
    decode,
    event_f1,
    false_alarms,
    fit_postprocessing,
    intersection_f1,
)

FRAME_S = 0.064
LEVELS = st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8])


@given(
    rows=st.lists(st.lists(LEVELS, min_size=30, max_size=30), min_size=1, max_size=3),
    enter=st.sampled_from([0.3, 0.6, 0.8]),
    share=st.sampled_from([1.0, 0.5, 0.3]),
    min_on=st.integers(1, 5),
    min_off=st.integers(1, 5),
)
def test_decoding_is_the_runtimes(
    rows: list[list[float]], enter: float, share: float, min_on: int, min_off: int
) -> None:
    decoding = Decoding(enter, enter * share, 1, min_on, min_off)
    rules = FrameRules.of(decoding.in_seconds(FRAME_S), frame_s=FRAME_S)
    scores = np.array(rows, np.float32)
    expected = [
        (clip, event.first, event.end)
        for clip, row in enumerate(scores.tolist())
        for event in reference_decode(row, rules, Reason.END_OF_STREAM)
    ]
    assert [tuple(event) for event in decode(scores, decoding)] == expected


@pytest.mark.parametrize("frames", range(1, 60))
def test_seconds_mean_the_same_frames(frames: int) -> None:
    decoding = Decoding(0.5, 0.4, frames | 1, frames, frames)
    rules = FrameRules.of(decoding.in_seconds(FRAME_S), frame_s=FRAME_S)
    assert (rules.median, rules.min_on, rules.min_off) == (frames | 1, frames, frames)


def test_event_f1_by_hand() -> None:
    truth = Intervals.of([(0, 1.0, 2.0), (0, 5.0, 9.0), (1, 1.0, 2.0)])
    # Within the collars; offset off by less than 20 % of 4 s; right time in the wrong clip; late.
    found = Intervals.of([(0, 1.1, 2.1), (0, 5.0, 8.3), (2, 1.0, 2.0), (1, 1.3, 2.0)])
    assert event_f1(found, truth) == pytest.approx(2 * 2 / (4 + 3))
    assert event_f1(truth, truth) == 1.0
    assert event_f1(Intervals.of([]), truth) == 0.0


def test_an_event_is_matched_once() -> None:
    truth = Intervals.of([(0, 1.0, 2.0)])
    assert event_f1(Intervals.of([(0, 1.0, 2.0), (0, 1.05, 2.0)]), truth) == pytest.approx(2 / 3)


def test_intersection_f1_by_hand() -> None:
    truth = Intervals.of([(0, 1.0, 3.0), (0, 5.0, 6.0)])
    # Covers 60 % of the first; four fifths beside the second, so false and no cover.
    found = Intervals.of([(0, 1.8, 3.0), (0, 5.8, 6.8)])
    assert intersection_f1(found, truth) == pytest.approx(2 * 1 / (1 + 1 + 2))
    assert intersection_f1(truth, truth) == 1.0


def test_false_alarms_touch_nothing() -> None:
    truth = Intervals.of([(0, 1.0, 3.0), (1, 5.0, 6.0)])
    found = Intervals.of([(0, 2.9, 4.0), (0, 5.0, 6.0), (1, 6.0, 7.0), (2, 1.0, 3.0)])
    assert false_alarms(found, truth) == 3


def test_events_under_noise_are_recovered() -> None:
    """Scores that flicker need a window, quiet ones a low threshold: calibration finds both."""
    rng = np.random.default_rng(8)
    clips, frames = 40, 160
    truth: list[list[tuple[str, float, float]]] = []
    scores = np.zeros((clips, frames, 2), np.float32)
    for clip in range(clips):
        rows = []
        for index, (label, height) in enumerate((("loud", 0.9), ("quiet", 0.2))):
            start = int(rng.integers(5, 90))
            end = start + int(rng.integers(30, 60))
            scores[clip, start:end, index] = height
            rows.append((label, start * FRAME_S, end * FRAME_S))
        truth.append(rows)
    flicker = rng.random(scores[:, :, 0].shape) < 0.15
    scores[:, :, 0] = np.where(flicker, 0.9 - scores[:, :, 0], scores[:, :, 0])
    fitted = fit_postprocessing(scores, truth, classes=("loud", "quiet"), frame_s=FRAME_S)
    assert fitted["loud"].median_s >= 3 * FRAME_S
    assert fitted["quiet"].exit <= 0.2
    for index, label in enumerate(("loud", "quiet")):
        rules = FrameRules.of(fitted[label], frame_s=FRAME_S)
        found = Intervals.of(
            (clip, event.first * FRAME_S, event.end * FRAME_S)
            for clip in range(clips)
            for event in reference_decode(scores[clip, :, index].tolist(), rules, Reason.GAP)
        )
        expected = Intervals.of(
            (clip, onset, offset)
            for clip, rows in enumerate(truth)
            for name, onset, offset in rows
            if name == label
        )
        assert event_f1(found, expected) > 0.8, label
