"""The search finds what was hidden in the scores, for each objective."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streamsed.bundle.manifest import ClassPostprocessing
from streamsed.detect.events import Reason
from streamsed.detect.postprocessing import FrameRules
from streamsed.detect.reference import find_events as reference_decode
from train.postprocess.calibration import CalibrationConfig
from train.postprocess.choices import ObjectiveName
from train.postprocess.clips import Clips
from train.postprocess.decoding import Decoding
from train.postprocess.intervals import Intervals
from train.postprocess.objective import EventF1, FalseAlarmLimit, Outcome, PricedF1
from train.postprocess.search import ClassSearch, SearchGrid

FRAME_S = 0.064
Truth = list[list[tuple[str, float, float]]]


def flickering() -> tuple[NDArray[np.float32], Truth]:
    """Two classes: one loud and flickering, one quiet."""
    rng = np.random.default_rng(8)
    clips, frames = 40, 160
    truth: Truth = []
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
    return scores, truth


def clips_of(scores: NDArray[np.float32]) -> Clips:
    """Take ``(n, T, C)`` scores of clips that end with their last frame."""
    count, frames = scores.shape[:2]
    return Clips(
        names=tuple(map(str, range(count))),
        scores=tuple(scores),
        first_frames=np.zeros(count, np.int64),
        durations_s=np.full(count, frames * FRAME_S),
        frame_s=FRAME_S,
    )


def test_events_under_noise_are_recovered() -> None:
    """Scores that flicker need a window, quiet ones a low threshold: calibration finds both."""
    scores, truth = flickering()
    fitted = {}
    for index, label in enumerate(("loud", "quiet")):
        true = Intervals.of(
            (c, a, b) for c, rows in enumerate(truth) for n, a, b in rows if n == label
        )
        search = ClassSearch(clips_of(scores), index, true)
        best = search.best(PricedF1(), SearchGrid().windows(FRAME_S))
        fitted[label] = best.decoding.in_seconds(FRAME_S)
    assert fitted["loud"].median_s >= 3 * FRAME_S
    assert fitted["quiet"].exit <= 0.2
    for index, label in enumerate(("loud", "quiet")):
        rules = FrameRules.of(fitted[label], frame_s=FRAME_S)
        found = Intervals.of(
            (clip, event.first * FRAME_S, event.end * FRAME_S)
            for clip in range(len(scores))
            for event in reference_decode(scores[clip, :, index].tolist(), rules, Reason.GAP)
        )
        expected = Intervals.of(
            (clip, onset, offset)
            for clip, rows in enumerate(truth)
            for name, onset, offset in rows
            if name == label
        )
        assert Outcome.of(found, expected, hours=1.0).event_f1 > 0.8, label


def bursts() -> tuple[Clips, Intervals]:
    """Ten true events an hour at 0.9, a hundred false ones below; each is two seconds long."""
    frames = round(3600 / FRAME_S)
    scores = np.zeros((frames, 1), np.float32)
    length, truth = 31, []
    for number in range(110):
        first = 100 + number * 500
        scores[first : first + length] = 0.9 if number % 11 == 0 else 0.1 + 0.7 * (number / 110)
        if number % 11 == 0:
            truth.append((0, first * FRAME_S, (first + length) * FRAME_S))
    return clips_of(scores[None]), Intervals.of(truth)


def test_false_alarms_keep_to_the_limit() -> None:
    clips, truth = bursts()
    fitted = ClassSearch(clips, 0, truth).best(FalseAlarmLimit(5.0), [1])
    assert fitted.outcome.false_alarms_per_hour <= 5.0
    assert fitted.outcome.covered == 10


def test_a_limit_that_cannot_be_kept_is_not_said_to_be() -> None:
    clips, _ = bursts()
    clips.scores[0][clips.scores[0] > 0] = 1.0  # the false are as loud as can be
    objective = FalseAlarmLimit(0.5)
    grid = SearchGrid(min_ons_s=(0.064,), min_offs_s=(0.064,))
    fitted = ClassSearch(clips, 0, Intervals.of([]), grid=grid).best(objective, [1])
    assert not objective.kept(fitted.outcome)
    assert fitted.outcome.false_alarms == 110


def test_a_limit_does_not_reward_one_detection_of_everything() -> None:
    """It would touch a true event, and so be no false alarm, with a recall of one."""
    clips, truth = bursts()
    without_end = ClassSearch(clips, 0, truth).outcome(Decoding(0.0, 0.0))
    fitted = ClassSearch(clips, 0, truth).best(FalseAlarmLimit(0.0), [1])
    assert (without_end.false_alarms, without_end.found) == (0, 1)
    objective = FalseAlarmLimit(0.0)
    assert objective.value(fitted.outcome) > objective.value(without_end)


@pytest.mark.parametrize("objective", [EventF1(), PricedF1(), FalseAlarmLimit(1000.0)])
def test_of_equals_the_one_with_fewer_false_alarms(objective: EventF1) -> None:
    hits = {"truth": 4, "event_hits": 0, "covered": 0, "hours": 1.0}
    silent = Outcome(found=0, valid=0, false_alarms=0, **hits)  # type: ignore[arg-type]
    noisy = Outcome(found=9, valid=0, false_alarms=9, **hits)  # type: ignore[arg-type]
    assert objective.value(silent) > objective.value(noisy)


def test_what_is_not_fitted_is_respected() -> None:
    """The longest duration of an event is the user's, and stays."""
    clips, truth = bursts()
    base = ClassPostprocessing(max_on_s=0.64, tag_threshold=0.3)
    longest = Decoding.of(base, frame_s=FRAME_S).max_on
    fitted = ClassSearch(clips, 0, truth, longest=longest).best(EventF1(), [1, 3])
    assert fitted.decoding.max_on == 10
    written = fitted.decoding.in_seconds(FRAME_S, base=base)
    assert (written.max_on_s, written.tag_threshold) == (0.64, 0.3)
    assert written.min_on_s <= 0.64


@pytest.mark.parametrize("frame_s", [0.016, 0.064, 0.25, 1.0])
def test_windows_of_the_grid_are_odd(frame_s: float) -> None:
    windows = SearchGrid().windows(frame_s)
    assert all(window % 2 for window in windows)
    assert windows[-1] * frame_s == pytest.approx(1.6, abs=1.5 * frame_s)


def test_short_false_alarms_do_not_cost_the_threshold() -> None:
    """They are louder than the events: only the shortest duration parts the two."""
    clips, truth = bursts()
    scores = clips.scores[0][:, 0]
    scores[scores < 0.9] = 0.0
    scores[scores > 0] = 0.6
    scores[300::500] = 0.995
    assert len(truth) == 10
    config = CalibrationConfig(objective=ObjectiveName.FALSE_ALARMS, limit_per_hour=1.0)
    search = ClassSearch(clips, 0, truth, grid=config.search_grid)
    fitted = search.best(config.ranking, [1])
    assert fitted.outcome.false_alarms_per_hour <= 1.0
    assert fitted.outcome.covered == 10
