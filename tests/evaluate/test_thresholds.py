"""Events from scores, of all recordings at once and one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sed_scores_eval.base_modules.detection import scores_to_event_list
from sed_scores_eval.base_modules.scores import create_score_dataframe

from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.metrics.thresholds import THRESHOLDS, threshold_events
from tests.evaluate.drawn import CLASSES, datasets


def frame_by_frame(table: ScoreTable, threshold: float) -> list[tuple[float, float, str]]:
    events = []
    for column, label in enumerate(CLASSES):
        onset = None
        for frame, score in enumerate([*table.scores[:, column], -1.0]):
            if score > threshold and onset is None:
                onset = table.edges_s[frame]
            if not score > threshold and onset is not None:
                events.append((onset, table.edges_s[frame], label))
                onset = None
    return sorted(events)


def rows(table: pd.DataFrame, name: str) -> list[tuple[float, float, str]]:
    own = table[table["filename"] == name]
    return sorted(own[["onset", "offset", "event_label"]].itertuples(index=False, name=None))


@given(data=datasets(), threshold=st.sampled_from(THRESHOLDS))
@settings(max_examples=40)
def test_all_recordings_at_once_are_each_frame_by_frame(
    data: EvaluationData, threshold: float
) -> None:
    assert data.scores is not None
    found = threshold_events(data.scores, threshold, classes=CLASSES)
    for name, table in data.scores.items():
        assert rows(found, name) == frame_by_frame(table, threshold)
        library = scores_to_event_list(
            create_score_dataframe(table.scores, table.edges_s, list(CLASSES)),
            np.float32(threshold),
        )
        assert rows(found, name) == sorted(map(tuple, library))


def test_recordings_of_different_length_do_not_run_into_each_other() -> None:
    ones = np.ones((4, 1), np.float32)
    scores = {
        "a": ScoreTable(np.array([0.0, 0.1, 0.2, 0.3, 0.35]), ones),
        "b": ScoreTable(np.array([0.0, 0.5, 1.0]), ones[:2]),
        "c": ScoreTable(np.array([0.0, 1.0]), 0 * ones[:1]),
    }
    found = threshold_events(scores, 0.5, classes=["x"])
    assert found.to_numpy().tolist() == [["a", 0.0, 0.35, "x"], ["b", 0.0, 1.0, "x"]]


def test_the_threshold_is_exclusive() -> None:
    scores = {"a": ScoreTable(np.array([0.0, 1.0, 2.0]), np.array([[0.5], [0.6]], np.float32))}
    found = threshold_events(scores, 0.5, classes=["x"])
    assert found[["onset", "offset"]].to_numpy().tolist() == [[1.0, 2.0]]


def test_no_recordings_have_no_events() -> None:
    assert threshold_events({}, 0.5, classes=["x"]).empty


def test_thresholds_are_those_of_the_baseline() -> None:
    assert len(THRESHOLDS) == 50
    assert list(THRESHOLDS) == pytest.approx(np.arange(1 / 100, 1, 1 / 50).tolist())
