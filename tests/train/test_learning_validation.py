"""Validation: decoding, and the two F1s, on scores whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from train.data.clips import Clip, ClipSet
from train.data.events import Event
from train.data.labels import LabelGrid
from train.stages.validation import (
    average_precision,
    decode,
    intersection_f1,
    objective,
    odd_frames,
    weak_f1,
)

CLASSES = ("a", "b")
FRAME_S = 0.064


def clip_set(*events: tuple[Event, ...]) -> ClipSet:
    clips = tuple(
        Clip(f"{i}.wav", Path(f"{i}.wav"), str(i), 10.0, events=each)
        for i, each in enumerate(events)
    )
    return ClipSet("strong_validation", "strong", CLASSES, clips)


def scores_of(*events: tuple[str, int, int]) -> np.ndarray:
    scores = np.full((156, 2), 0.1, np.float32)
    for label, first, end in events:
        scores[first:end, CLASSES.index(label)] = 0.9
    return scores


def objective_of(weak: float, intersection: float, precision: float, name: str = "f1") -> float:
    figures = {
        "weak_f1": weak,
        "intersection_f1": intersection,
        "average_precision": precision,
    }
    return objective(figures, name)


def f1_of(scores: dict[str, np.ndarray], clips: ClipSet) -> float:
    return intersection_f1(scores, clips, frame_s=FRAME_S, median_s=0.45)


@pytest.mark.parametrize(("seconds", "frames"), [(0.45, 7), (0.0, 1), (0.064, 1), (0.2, 3)])
def test_filters_have_an_odd_number_of_frames(seconds: float, frames: int) -> None:
    assert odd_frames(seconds, FRAME_S) == frames


def test_events_are_decoded_where_they_are() -> None:
    scores = scores_of(("a", 10, 20), ("b", 150, 156), ("b", 40, 42))
    table = decode(
        {"x": scores},
        classes=CLASSES,
        frame_s=FRAME_S,
        median_frames=7,
        durations_s={"x": 9.98},
    )
    rows = [tuple(row) for row in table.itertuples(index=False)]
    assert rows == [
        ("x", pytest.approx(0.64), pytest.approx(1.28), "a"),
        ("x", pytest.approx(9.6), pytest.approx(9.98), "b"),  # two frames of b are filtered away
    ]


def test_perfect_scores_are_perfect() -> None:
    clips = clip_set((Event("a", 1.0, 3.0), Event("b", 2.0, 9.0)), (Event("b", 0.0, 1.0),), ())
    scores = {
        "0.wav": scores_of(("a", 16, 47), ("b", 31, 141)),
        "1.wav": scores_of(("b", 0, 16)),
        "2.wav": scores_of(),
    }
    assert f1_of(scores, clips) == 1.0


def test_half_of_the_events_found() -> None:
    clips = clip_set((Event("a", 1.0, 3.0),), (Event("a", 5.0, 8.0),))
    scores = {"0.wav": scores_of(("a", 16, 47)), "1.wav": scores_of(("a", 0, 16))}
    assert f1_of(scores, clips) == pytest.approx(0.5)  # one hit, one miss, one invention


def test_a_network_that_says_nothing_has_no_f1() -> None:
    clips = clip_set((Event("a", 1.0, 3.0),))
    assert f1_of({"0.wav": scores_of()}, clips) == 0.0


def test_events_that_overlap_or_go_on_after_the_clip_are_one_and_end_with_it() -> None:
    clips = clip_set((Event("a", 1.0, 3.0), Event("a", 2.0, 12.0)))
    assert f1_of({"0.wav": scores_of(("a", 16, 156))}, clips) == 1.0


def test_without_truth_there_is_no_figure() -> None:
    assert math.isnan(f1_of({"0.wav": scores_of(("a", 1, 30))}, clip_set(())))
    assert objective_of(math.nan, math.nan, math.nan) == 0.0
    assert objective_of(math.nan, math.nan, math.nan, "average_precision") == 0.0


def test_weak_f1_by_hand() -> None:
    tags: list[tuple[str, ...]] = [("a",), ("a", "b"), ()]
    clips = tuple(Clip(str(i), Path(str(i)), str(i), tags=each) for i, each in enumerate(tags))
    scores = {"0": [0.9, 0.9], "1": [0.2, 0.8], "2": [0.1, 0.1]}
    found = weak_f1(
        {name: np.array(row, np.float32) for name, row in scores.items()},
        ClipSet("weak", "weak", CLASSES, clips),
    )
    # a: one hit, one miss: 2/3. b: one hit, one invention: 2/3.
    assert found == pytest.approx(2 / 3)
    assert objective_of(found, 0.25, 0.9) == pytest.approx(2 / 3 + 0.25)
    assert objective_of(found, math.nan, 0.9) == pytest.approx(2 / 3)


def test_average_precision_by_hand() -> None:
    grid = LabelGrid(CLASSES, duration_s=5 * FRAME_S)
    clips = clip_set((Event("a", 0.0, FRAME_S), Event("a", 3 * FRAME_S, 4 * FRAME_S)))
    scores = {"0.wav": np.array([[0.9, 0], [0.8, 0], [0.1, 0], [0.7, 0], [0.2, 1]], np.float32)}
    # True frames are ranked first and third: (1/1 + 2/3) / 2. Class b has no events.
    assert average_precision(scores, clips, grid=grid) == pytest.approx((1.0 + 2 / 3) / 2)
    assert math.isnan(average_precision(scores, clip_set(()), grid=grid))
