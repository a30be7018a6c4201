"""Precision, recall and error rate, held against sed_eval's own averages."""

from __future__ import annotations

import numpy as np
import pytest
from sed_eval.sound_event import SegmentBasedMetrics

from streamsed.evaluate.criteria.error_counts import ErrorCounts
from streamsed.evaluate.criteria.segments import segment_counts
from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.measure import evaluate
from streamsed.evaluate.tables import event_table

CLASSES = ("Cat", "Dog", "Owl")
TRUTH = [("a", 1.0, 3.0, "Cat"), ("a", 5.0, 6.0, "Dog"), ("b", 2.0, 4.0, "Dog")]
FOUND = [
    ("a", 1.1, 3.0, "Cat"),
    ("a", 7.0, 8.0, "Dog"),
    ("b", 2.0, 4.1, "Dog"),
    ("b", 0.0, 1.0, "Owl"),
]
DURATIONS = {"a": 10.0, "b": 10.0}


def records(rows: list[tuple[str, float, float, str]], name: str) -> list[dict[str, object]]:
    keys = ("filename", "event_onset", "event_offset", "event_label")
    return [
        {**dict(zip(keys, row, strict=True)), "onset": row[1], "offset": row[2]}
        for row in rows
        if row[0] == name
    ]


def test_segment_based_averages_are_those_of_sed_eval() -> None:
    counts = segment_counts(
        event_table(FOUND), event_table(TRUTH), durations_s=DURATIONS, classes=CLASSES
    )
    averages = counts.averages("Segment-based", CLASSES)
    official = SegmentBasedMetrics(event_label_list=list(CLASSES), time_resolution=1.0)
    for name, duration_s in DURATIONS.items():
        official.evaluate(
            reference_event_list=records(TRUTH, name),
            estimated_event_list=records(FOUND, name),
            evaluated_length_seconds=duration_s,
        )
    overall = official.results_overall_metrics()["f_measure"]
    assert averages.micro.f1 == pytest.approx(overall["f_measure"])
    assert averages.micro.precision == pytest.approx(overall["precision"])
    assert averages.micro.recall == pytest.approx(overall["recall"])
    for label, rates in averages.per_class.items():
        by_class = official.results_class_wise_metrics()[label]
        assert rates.precision == pytest.approx(by_class["f_measure"]["precision"], nan_ok=True)
        if label != "Owl":  # without truth there is nothing to miss
            assert rates.recall == pytest.approx(by_class["f_measure"]["recall"])
            assert rates.error_rate == pytest.approx(by_class["error_rate"]["error_rate"])


def test_event_based_averages_by_hand() -> None:
    hits, wrong, missed = (np.array([row]) for row in ([1, 1, 0], [0, 1, 1], [0, 1, 0]))
    averages = ErrorCounts(hits, wrong, missed).averages("", CLASSES)
    assert averages.micro.precision == pytest.approx(2 / 4)
    assert averages.micro.recall == pytest.approx(2 / 3)
    assert averages.micro.f1 == pytest.approx(4 / 7)
    assert averages.micro.error_rate == pytest.approx(3 / 3)
    assert averages.macro.precision == pytest.approx((1 + 0.5) / 2)
    assert averages.macro.recall == pytest.approx((1 + 0.5) / 2)
    assert averages.macro.error_rate == pytest.approx((0 + 2 / 2) / 2)


def test_that_nothing_was_detected_is_noted() -> None:
    data = EvaluationData(
        classes=CLASSES,
        durations_s=DURATIONS,
        truth=event_table(TRUTH),
        events=event_table([]),
    )
    evaluation = evaluate(data, bootstrap=0)
    assert any(note.startswith("nothing was detected") for note in evaluation.notes)
    assert evaluation.averages["event"].micro.recall == 0.0
    assert np.isnan(evaluation.averages["event"].micro.precision)
    assert evaluation.averages["event"].micro.error_rate == 1.0
