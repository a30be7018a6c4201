"""Decoding and counting for the search: fast, and equal to what is plainly written down."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsed.bundle.manifest import ClassPostprocessing
from streamsed.detect.events import Reason
from streamsed.detect.postprocessing import FrameRules
from streamsed.detect.reference import find_events as reference_decode
from train.postprocess import reference
from train.postprocess.clips import Clips
from train.postprocess.decoding import Decoding, decode, decode_intervals
from train.postprocess.intervals import Intervals, covered_share, event_hits, touches
from train.postprocess.objective import Outcome

FRAME_S = 0.064
LEVELS = st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8])
RAGGED = st.lists(st.lists(LEVELS, max_size=40), min_size=1, max_size=5)


def clips_of(rows: list[list[float]]) -> Clips:
    """Clips of one class, beside another that is loud throughout."""
    scores = tuple(
        np.stack([np.ones(len(row)), np.array(row)], axis=1).astype(np.float32) for row in rows
    )
    return Clips(
        names=tuple(map(str, range(len(rows)))),
        scores=scores,
        first_frames=np.zeros(len(rows), np.int64),
        durations_s=np.array([len(row) * FRAME_S for row in rows]),
        frame_s=FRAME_S,
    )


@given(
    rows=RAGGED,
    enter=st.sampled_from([0.3, 0.6, 0.8]),
    share=st.sampled_from([1.0, 0.5, 0.3]),
    half=st.integers(0, 12),
    min_on=st.integers(1, 5),
    min_off=st.integers(1, 5),
    max_on=st.none() | st.integers(5, 9),
)
def test_decoding_is_the_runtimes(
    rows: list[list[float]],
    enter: float,
    share: float,
    half: int,
    min_on: int,
    min_off: int,
    max_on: int | None,
) -> None:
    longest = ClassPostprocessing(max_on_s=max_on and max_on * FRAME_S)
    decoding = Decoding(enter, round(enter * share, 4), 2 * half + 1, min_on, min_off, max_on)
    rules = FrameRules.of(decoding.in_seconds(FRAME_S, base=longest), frame_s=FRAME_S)
    clips = clips_of(rows)
    expected = [
        (clip, event.first, event.end)
        for clip, scores in enumerate(clips.scores)
        for event in reference_decode(scores[:, 1].tolist(), rules, Reason.END_OF_STREAM)
    ]
    found = decode(clips.track(1, decoding.median), decoding)
    assert [tuple(event) for event in found.tolist()] == expected


@given(
    frames=st.integers(1, 400),
    frame_s=st.sampled_from([0.064, 0.016, 0.02, 1024 / 44100, 512 / 22050, 1 / 60]),
)
def test_seconds_mean_the_same_frames(frames: int, frame_s: float) -> None:
    decoding = Decoding(0.5, 0.4, frames | 1, frames, frames)
    assert Decoding.of(decoding.in_seconds(frame_s), frame_s=frame_s).median == frames | 1
    rules = FrameRules.of(decoding.in_seconds(frame_s), frame_s=frame_s)
    assert (rules.min_on, rules.min_off) == (frames, frames)


def test_times_count_the_warm_up_and_end_with_the_recording() -> None:
    scores = np.ones((10, 1), np.float32)
    clips = Clips(("a",), (scores,), np.array([5]), np.array([0.95]), 0.064)
    decoding = Decoding(0.5, 0.5)
    found = decode_intervals(clips, clips.track(0, 1), decoding)
    assert found.onset.tolist() == [pytest.approx(5 * 0.064)]
    assert found.offset.tolist() == [0.95]


@st.composite
def intervals(draw: st.DrawFn) -> list[reference.Event]:
    """Disjoint events in three clips, in order, on a grid of 0.1 s, so that edges meet."""
    events = []
    for clip in range(3):
        edges = draw(st.lists(st.integers(0, 60), max_size=12, unique=True))
        times = [edge / 10 for edge in sorted(edges)]
        events += [(clip, on, off) for on, off in zip(times[::2], times[1::2], strict=False)]
    return events


@given(found=intervals(), truth=intervals())
def test_counts_are_those_of_plain_loops(
    found: list[reference.Event], truth: list[reference.Event]
) -> None:
    these, those = Intervals.of(found), Intervals.of(truth)
    assert event_hits(these, those) == reference.event_hits(found, truth)
    expected = [reference.covered_s(one, truth) / (one[2] - one[1]) for one in found]
    # The slack is there so that a half is a half on both sides of a rounding error.
    np.testing.assert_allclose(covered_share(these, those), expected, atol=2e-5)
    assert touches(these, those).tolist() == [
        reference.covered_s(one, truth) > 1e-6 for one in found
    ]


def outcome(found: list[reference.Event], truth: list[reference.Event]) -> Outcome:
    return Outcome.of(Intervals.of(found), Intervals.of(truth), hours=1.0)


def test_event_f1_by_hand() -> None:
    truth = [(0, 1.0, 2.0), (0, 5.0, 9.0), (1, 1.0, 2.0)]
    # Within the collars; offset off by less than 20 % of 4 s; right time in the wrong clip; late.
    found = [(0, 1.1, 2.1), (0, 5.0, 8.3), (2, 1.0, 2.0), (1, 1.3, 2.0)]
    assert outcome(found, truth).event_f1 == pytest.approx(2 * 2 / (4 + 3))
    assert outcome(truth, truth).event_f1 == 1.0
    assert outcome([], truth).event_f1 == 0.0


def test_an_event_is_matched_once() -> None:
    found, truth = [(0, 1.0, 1.04), (0, 1.05, 2.0), (0, 2.1, 2.2)], [(0, 1.0, 2.0)]
    assert outcome(found, truth).event_hits == 1


def test_intersection_f1_by_hand() -> None:
    truth = [(0, 1.0, 3.0), (0, 5.0, 6.0)]
    # Covers 60 % of the first; four fifths beside the second, so false and no cover.
    found = [(0, 1.8, 3.0), (0, 5.8, 6.8)]
    assert outcome(found, truth).intersection_f1 == pytest.approx(2 * 1 / (1 + 1 + 2))
    assert outcome(truth, truth).intersection_f1 == 1.0


def test_false_alarms_touch_nothing() -> None:
    truth = [(0, 1.0, 3.0), (1, 5.0, 6.0)]
    found = [(0, 2.9, 4.0), (0, 5.0, 6.0), (1, 6.0, 7.0), (2, 1.0, 3.0)]
    assert outcome(found, truth).false_alarms == 3


def test_filtering_goes_on_at_each_clips_edges() -> None:
    rows = [[0.0, 0.8, 0.8], [], [0.8, 0.0, 0.0, 0.0]]
    track = clips_of(rows).track(1, 3)
    filtered: NDArray[np.float32] = track.scores
    assert filtered.tolist() == pytest.approx([-1, 0, 0.8, 0.8, -1, -1, 0.8, 0, 0, 0, -1])
