"""Metrics on small cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from streamsed.evaluate import metrics
from streamsed.evaluate.tables import event_table, threshold_events

CLASSES = ("Cat", "Dog")
FRAME_S = 0.1
DURATIONS = {"a": 10.0, "b": 10.0}
TRUTH = event_table(
    [("a", 1.0, 3.0, "Cat"), ("a", 5.0, 6.0, "Dog"), ("b", 2.0, 4.0, "Cat"), ("b", 7.0, 9.0, "Dog")]
)


def perfect_scores() -> dict[str, np.ndarray]:
    scores = {name: np.zeros((100, 2), np.float32) for name in DURATIONS}
    for row in TRUTH.itertuples():
        first, end = round(row.onset / FRAME_S), round(row.offset / FRAME_S)
        scores[row.filename][first:end, CLASSES.index(row.event_label)] = 1.0
    return scores


@pytest.mark.parametrize("criteria", [metrics.PSDS1, metrics.PSDS2])
def test_perfect_scores_reach_one(criteria: metrics.PSDSCriteria) -> None:
    value, classes = metrics.psds(
        perfect_scores(),
        TRUTH,
        criteria,
        classes=CLASSES,
        frame_s=FRAME_S,
        durations_s=DURATIONS,
    )
    assert value == pytest.approx(1.0)
    assert classes == pytest.approx({"Cat": 1.0, "Dog": 1.0})


def test_a_deaf_class_costs_its_share() -> None:
    scores = perfect_scores()
    for array in scores.values():
        array[:, 1] = 0.0
    value, classes = metrics.psds(
        scores, TRUTH, metrics.PSDS1, classes=CLASSES, frame_s=FRAME_S, durations_s=DURATIONS
    )
    assert classes == pytest.approx({"Cat": 1.0, "Dog": 0.0})
    # Mean 0.5, standard deviation 0.5, and alpha_st is 1.
    assert value == pytest.approx(0.0, abs=1e-6)


def test_the_areas_of_the_classes_average_to_the_psds_without_a_penalty_for_variation() -> None:
    rng = np.random.default_rng(9)
    scores = {
        name: np.clip(array * 0.2 + rng.normal(0.4, 0.2, (20, 2)).repeat(5, axis=0), 0, 1)
        for name, array in perfect_scores().items()
    }
    criteria = metrics.PSDSCriteria(
        dtc=0.5, gtc=0.5, cttc=0.3, alpha_ct=0.0, alpha_st=0.0, max_efpr_per_hour=900.0
    )
    value, classes = metrics.psds(
        scores, TRUTH, criteria, classes=CLASSES, frame_s=FRAME_S, durations_s=DURATIONS
    )
    assert 0.05 < value < 0.95
    assert np.mean(list(classes.values())) == pytest.approx(value)


def test_f1_of_detections_by_hand() -> None:
    found = event_table(
        [
            ("a", 1.1, 3.1, "Cat"),
            ("a", 5.0, 5.9, "Dog"),
            ("b", 2.5, 4.0, "Cat"),  # outside the onset collar, but three quarters of the event
        ]
    )
    event = metrics.event_f1(found, TRUTH, classes=CLASSES, files=list(DURATIONS))
    assert event.per_class == pytest.approx({"Cat": 0.5, "Dog": 2 / 3})
    assert event.macro == pytest.approx((0.5 + 2 / 3) / 2)
    intersection = metrics.intersection_f1(found, TRUTH, classes=CLASSES, durations_s=DURATIONS)
    assert intersection.per_class == pytest.approx({"Cat": 1.0, "Dog": 2 / 3})


def test_nothing_found_is_zero() -> None:
    nothing = event_table([])
    event = metrics.event_f1(nothing, TRUTH, classes=CLASSES, files=list(DURATIONS))
    assert event.per_class == pytest.approx({"Cat": 0.0, "Dog": 0.0})
    intersection = metrics.intersection_f1(nothing, TRUTH, classes=CLASSES, durations_s=DURATIONS)
    assert intersection.per_class == pytest.approx({"Cat": 0.0, "Dog": 0.0})


def test_a_class_without_truth_counts_for_nothing() -> None:
    classes = (*CLASSES, "Parrot")
    scores = {name: np.pad(array, ((0, 0), (0, 1))) for name, array in perfect_scores().items()}
    scores["a"][:20, 2] = 0.7
    value, areas = metrics.psds(
        scores, TRUTH, metrics.PSDS1, classes=classes, frame_s=FRAME_S, durations_s=DURATIONS
    )
    assert value == pytest.approx(1.0)
    assert areas == pytest.approx({"Cat": 1.0, "Dog": 1.0, "Parrot": np.nan}, nan_ok=True)
    found = event_table([("a", 1.0, 3.0, "Cat"), ("a", 0.0, 2.0, "Parrot")])
    expected = {"Cat": 2 / 3, "Dog": 0.0, "Parrot": np.nan}
    event = metrics.event_f1(found, TRUTH, classes=classes, files=list(DURATIONS))
    assert event.per_class == pytest.approx(expected, nan_ok=True)
    intersection = metrics.intersection_f1(found, TRUTH, classes=classes, durations_s=DURATIONS)
    assert intersection.per_class == pytest.approx(expected, nan_ok=True)


def test_threshold_events_end_with_the_recording() -> None:
    scores = {"a": np.ones((4, 2), np.float32)}
    table = threshold_events(scores, 0.5, classes=CLASSES, frame_s=FRAME_S, durations_s={"a": 0.35})
    assert table[["onset", "offset"]].to_numpy().tolist() == [[0.0, 0.35], [0.0, 0.35]]
