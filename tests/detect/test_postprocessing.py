"""Seconds become frames by stated rules."""

import pytest
from pydantic import ValidationError

from streamsed.bundle.manifest import ClassPostprocessing
from streamsed.detect.postprocessing import FrameRules


def _rules(*, frame_s: float = 0.1, update_every_s: float = 0.0, **seconds: float) -> FrameRules:
    postprocessing = ClassPostprocessing.model_validate(seconds)
    return FrameRules.of(postprocessing, frame_s=frame_s, update_every_s=update_every_s)


@pytest.mark.parametrize(
    ("seconds", "frames"),
    [(0.0, 1), (0.1, 1), (0.14, 1), (0.16, 3), (0.3, 3), (0.4, 5), (0.5, 5), (0.6, 7)],
)
def test_a_median_window_is_the_nearest_odd_number(seconds: float, frames: int) -> None:
    assert _rules(median_s=seconds).median == frames


@pytest.mark.parametrize(("seconds", "frames"), [(0.0, 1), (0.1, 1), (0.11, 2), (0.3, 3), (0.6, 6)])
def test_minimum_durations_are_rounded_up(seconds: float, frames: int) -> None:
    # 0.3 / 0.1 is above 3 and 0.6 / 0.1 below 6 in binary; both are meant to be whole.
    rules = _rules(min_on_s=seconds, min_off_s=seconds)
    assert (rules.min_on, rules.min_off) == (frames, frames)


@pytest.mark.parametrize(("seconds", "frames"), [(0.01, 1), (0.19, 1), (0.3, 3), (0.7, 7)])
def test_the_maximum_duration_is_rounded_down(seconds: float, frames: int) -> None:
    assert _rules(max_on_s=seconds).max_on == frames


def test_the_maximum_duration_leaves_room_for_the_minimum() -> None:
    rules = _rules(min_on_s=0.25, max_on_s=0.25)
    assert (rules.min_on, rules.max_on) == (3, 3)


def test_no_maximum_and_no_updates() -> None:
    assert _rules().max_on is None
    assert _rules().update == 0
    assert _rules(update_every_s=0.25).update == 3


def test_thresholds_are_rounded_as_scores_are() -> None:
    rules = _rules(enter=0.7, exit=0.1)
    assert rules.enter < 0.7  # the float32 nearest to 0.7, so that a score of 0.7 reaches it
    assert rules.exit > 0.1


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"enter": 0.3, "exit": 0.4}, "exit 0.4 is above enter 0.3"),
        ({"min_on_s": 2.0, "max_on_s": 1.0}, "max_on_s 1.0 is below min_on_s 2.0"),
        ({"enter": 1.5}, "less than or equal to 1"),
        ({"median_s": float("nan")}, "median_s"),
        ({"median_s": 1e9}, "less than or equal to 3600"),  # would not fit into memory
        ({"min_on_s": float("inf")}, "less than or equal to 3600"),
        ({"max_on_s": 1e308}, "less than or equal to 86400"),  # is infinity in frames
        ({"windows": 3}, "Extra inputs"),
    ],
)
def test_nonsense_is_refused(values: dict[str, float], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        ClassPostprocessing.model_validate(values)
