"""F1MO on a small ground truth like MAESTRO's, against brute force and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from numpy.typing import NDArray
from sed_scores_eval.base_modules.scores import create_score_dataframe
from sed_scores_eval.segment_based import best_fscore

from streamsed.evaluate.criteria.segments import best_segment_f1
from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.metrics.over_every_threshold import best_figures
from streamsed.evaluate.tables import event_table
from tests.evaluate.drawn import CLASSES, DURATION_S, datasets

SECONDS = 20
# Two cafes and two streets of 20 s. Talk: 15 s of each cafe, 5 s of each street; cars: 10 s of
# each street; a siren: 2 s of one street.
TRUTH = event_table(
    [
        ("cafe 1", 0.0, 15.0, "talk"),
        ("cafe 2", 5.0, 20.0, "talk"),
        ("street 1", 0.0, 5.0, "talk"),
        ("street 2", 10.0, 15.0, "talk"),
        ("street 1", 0.0, 10.0, "car"),
        ("street 2", 4.0, 14.0, "car"),
        ("street 1", 6.0, 8.0, "siren"),
    ]
)
LABELS = ("talk", "car", "siren")
DURATIONS = {name: float(SECONDS) for name in ("cafe 1", "cafe 2", "street 1", "street 2")}


def f1mo(scores: dict[str, NDArray[np.float32]]) -> tuple[float, dict[str, float]]:
    edges_s = np.arange(SECONDS + 1, dtype=np.float64)
    tables = {name: ScoreTable(edges_s, array) for name, array in scores.items()}
    return best_segment_f1(tables, TRUTH, durations_s=DURATIONS, classes=LABELS, time_decimals=6)


def test_always_positive() -> None:
    """Precision is the share of seconds, recall 1: 40, 20 and 2 of 80 seconds."""
    value, per_class = f1mo({name: np.ones((SECONDS, 3), np.float32) for name in DURATIONS})
    expected = {"talk": 2 * 40 / (40 + 80), "car": 2 * 20 / 100, "siren": 2 * 2 / 82}
    assert per_class == pytest.approx(expected)
    assert value == pytest.approx(np.mean(list(expected.values())))


def test_scene_rates() -> None:
    """Who knows the scene and detects nothing calls all of the scenes with the class positive.

    Talk: cafes alone have 30 hits and 10 wrong of 40 true, 60 / 80; with the streets it is
    80 / 120. Car: the streets, 20 hits of 40; siren: the streets, 2 of 40.
    """
    rates = {"cafe": [30 / 40, 0, 0], "street": [10 / 40, 20 / 40, 2 / 40]}
    scores = {
        name: np.tile(np.array(rates[name.split()[0]], np.float32), (SECONDS, 1))
        for name in DURATIONS
    }
    value, per_class = f1mo(scores)
    expected = {"talk": 60 / 80, "car": 40 / 60, "siren": 4 / 42}
    assert per_class == pytest.approx(expected)
    assert value == pytest.approx(np.mean(list(expected.values())))


def test_no_truth_is_undefined() -> None:
    table = ScoreTable(np.array([0.0, 1.0]), np.ones((1, 1), np.float32))
    value, per_class = best_segment_f1(
        {"a": table}, event_table([]), durations_s={"a": 1.0}, classes=["x"], time_decimals=6
    )
    assert np.isnan(value)
    assert per_class == {}


@given(data=datasets())
@settings(max_examples=25)
def test_of_all_thresholds_the_best(data: EvaluationData) -> None:
    """Frames of 100 ms: a segment scores the maximum of its ten."""
    assume(len(data.truth) > 0)
    assert data.scores is not None
    value, per_class = best_segment_f1(
        data.scores,
        data.truth,
        durations_s=data.durations_s,
        classes=CLASSES,
        time_decimals=6,
    )
    expected = {}
    for column, label in enumerate(CLASSES):
        own = data.truth[data.truth["event_label"] == label]
        if own.empty:
            continue
        scores, true = [], []
        for name, table in data.scores.items():
            scores += table.scores[:, column].reshape(int(DURATION_S), 10).max(axis=1).tolist()
            events = own[own["filename"] == name]
            true += [
                bool(((events["onset"] < s + 1 - 1e-9) & (events["offset"] > s + 1e-9)).any())
                for s in range(int(DURATION_S))
            ]
        best = 0.0
        for threshold in {-1.0, *scores}:
            found = [score > threshold for score in scores]
            hits = sum(f and t for f, t in zip(found, true, strict=True))
            best = max(best, 2 * hits / (sum(found) + sum(true)))
        expected[label] = best
    assert per_class == pytest.approx(expected)
    assert value == pytest.approx(np.mean(list(expected.values())))


def test_the_official_call_is_the_library_s_with_what_it_rounds_away() -> None:
    """Faultless scores of whole seconds: 15, 23 and 27 s are moved into the next segments."""
    seconds = 40
    present = np.zeros((seconds, 1), np.float32)
    spans = [(0, 15), (20, 23), (25, 27), (30, 40)]
    for onset, offset in spans:
        present[onset:offset] = 1.0
    events = [(float(onset), float(offset), "talk") for onset, offset in spans]
    edges_s = np.arange(seconds + 1, dtype=np.float64)
    data = EvaluationData(
        classes=("talk",),
        durations_s={"cafe": float(seconds)},
        truth=event_table([("cafe", *event) for event in events]),
        scores={"cafe": ScoreTable(edges_s, present)},
    )
    metrics = {figure.metric.key: figure.metric for figure in best_figures(data)}
    for key, decimals in (("f1mo", 30), ("f1mo_exact", 6)):
        wanted, *_ = best_fscore(
            {"cafe": create_score_dataframe(present, edges_s, ["talk"])},
            {"cafe": events},
            {"cafe": float(seconds)},
            segment_length=1.0,
            min_precision=0.0,
            min_recall=0.0,
            beta=1.0,
            time_decimals=decimals,
        )
        assert metrics[key].value == wanted["macro_average"]
        assert metrics[key].parameters["time_decimals"] == decimals
    assert metrics["f1mo_exact"].value == 1.0
    assert metrics["f1mo"].value < 1.0
