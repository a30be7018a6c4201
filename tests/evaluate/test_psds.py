"""PSDS: known answers, both libraries, and counts that can be resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from psds_eval import PSDSEval

from streamsed.evaluate.criteria.exact_psds import exact_psds
from streamsed.evaluate.criteria.psds import PSDS1, PSDS2, PSDSCriteria, PSDSResult, psds
from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.libraries import without_library_warnings
from streamsed.evaluate.metrics.thresholds import THRESHOLDS, threshold_events
from streamsed.evaluate.tables import event_table
from tests.evaluate.drawn import (
    CLASSES,
    datasets,
    duration_table,
    event_tables,
    noisy_data,
    perfect_data,
    shuffled,
)

BOTH = pytest.mark.parametrize("criteria", [PSDS1, PSDS2])


FEW = THRESHOLDS[::7]
"""As many operating points as it takes to draw a staircase."""


def points_of(data: EvaluationData, thresholds: Sequence[float] = FEW) -> list[pd.DataFrame]:
    assert data.scores is not None
    return [threshold_events(data.scores, t, classes=data.classes) for t in thresholds]


def psds_of(
    data: EvaluationData, criteria: PSDSCriteria, thresholds: Sequence[float] = FEW
) -> PSDSResult:
    points = points_of(data, thresholds)
    return psds(points, data.truth, criteria, durations_s=data.durations_s)


def exact_of(data: EvaluationData, criteria: PSDSCriteria) -> tuple[float, dict[str, float]]:
    assert data.scores is not None
    return exact_psds(
        data.scores,
        data.truth,
        criteria,
        durations_s=data.durations_s,
        classes=data.classes,
    )


def untouched_library(
    points: Sequence[pd.DataFrame], data: EvaluationData, criteria: PSDSCriteria
) -> PSDSEval:
    evaluation = PSDSEval(
        ground_truth=data.truth,
        metadata=duration_table(data.durations_s),
        dtc_threshold=criteria.dtc,
        gtc_threshold=criteria.gtc,
        cttc_threshold=criteria.cttc,
    )
    for events in points:
        known = events["event_label"].isin(set(data.truth["event_label"]))
        evaluation.add_operating_point(events[known])
    return evaluation


@BOTH
def test_perfect_scores_reach_one(criteria: PSDSCriteria) -> None:
    result = psds_of(perfect_data(), criteria)
    assert result.value == pytest.approx(1.0)
    assert result.per_class == pytest.approx({"Cat": 1.0, "Dog": 1.0})
    value, areas = exact_of(perfect_data(), criteria)
    assert value == pytest.approx(1.0)
    assert areas == pytest.approx({"Cat": 1.0, "Dog": 1.0})


def test_by_hand() -> None:
    """One class, an hour of audio, four events, three operating points.

    Two are found with 20 false alarms, three with 50, and four with 150, beyond the limit of
    100 an hour. The staircase: 0 up to 20, 2/4 up to 50, 3/4 up to 100.
    """
    truth = event_table(("a", 100.0 * k, 100.0 * k + 10, "Cat") for k in range(4))

    def point(found: int, alarms: int) -> pd.DataFrame:
        hits = [("a", 100.0 * k, 100.0 * k + 10, "Cat") for k in range(found)]
        return event_table(
            [*hits, *(("a", 1000.0 + 2 * k, 1001.0 + 2 * k, "Cat") for k in range(alarms))]
        )

    result = psds(
        [point(4, 150), point(2, 20), point(3, 50)], truth, PSDS1, durations_s={"a": 3600.0}
    )
    expected = (30 * 2 / 4 + 50 * 3 / 4) / 100
    assert result.value == pytest.approx(expected)
    assert result.per_class == pytest.approx({"Cat": expected})
    assert result.curve.efpr.tolist() == pytest.approx([0, 20, 50])
    assert result.curve.effective_tpr.tolist() == pytest.approx([0, 0.5, 0.75])


def test_a_deaf_class_costs_its_share() -> None:
    data = perfect_data()
    assert data.scores is not None
    deaf = {
        name: ScoreTable(table.edges_s, table.scores * np.array([1, 0], np.float32))
        for name, table in data.scores.items()
    }
    result = psds_of(replace(data, scores=deaf), PSDS1)
    assert result.per_class == pytest.approx({"Cat": 1.0, "Dog": 0.0})
    assert result.value == pytest.approx(0.0, abs=1e-6)  # mean 0.5, deviation 0.5, alpha_st 1


def test_cross_triggers_cost_in_psds2_alone() -> None:
    """Each true Dog is also detected as a Cat; with a limit wide enough both are seen."""
    truth = event_table(
        [("a", 600.0 * k, 600.0 * k + 60, "Cat") for k in range(3)]
        + [("a", 600.0 * k + 300, 600.0 * k + 360, "Dog") for k in range(3)]
    )
    found = pd.concat(
        [truth, truth[truth["event_label"] == "Dog"].assign(event_label="Cat")], ignore_index=True
    )
    free = replace(PSDS2, alpha_ct=0.0)
    values = [
        psds([found], truth, criteria, durations_s={"a": 3600.0}).curve
        for criteria in (free, PSDS2)
    ]
    # 3 false alarms of Cat in an hour; 3 cross triggers in 3 minutes of Dog, 60 an hour, half.
    assert values[0].efpr.tolist() == pytest.approx([0, 3])
    assert values[1].efpr.tolist() == pytest.approx([0, 3 + 0.5 * 60])


@BOTH
@given(data=datasets())
@settings(max_examples=8)
def test_values_and_counts_are_those_of_psds_eval(
    criteria: PSDSCriteria, data: EvaluationData
) -> None:
    assume(data.truth["event_label"].nunique() > 1)
    known = set(data.truth["event_label"])
    points = [p[p["event_label"].isin(known)] for p in points_of(data, FEW[::2])]
    # The library leaves out points that are like one before.
    rows = [p.reset_index(drop=True) for p in points]
    points = [p for k, p in enumerate(rows) if not any(p.equals(q) for q in rows[:k])]
    ours = psds(points, data.truth, criteria, durations_s=data.durations_s)
    with without_library_warnings():
        library = untouched_library(points, data, criteria)
        expected = library.psds(
            alpha_ct=criteria.alpha_ct, alpha_st=1.0, max_efpr=criteria.max_efpr_per_hour
        )
    assert ours.value == pytest.approx(expected.value, abs=1e-12)
    counts = ours.counts
    for point, other in enumerate(library.operating_points["counts"]):
        np.testing.assert_array_equal(counts.hits[point].sum(axis=0), np.diag(other)[:-1])
        np.testing.assert_array_equal(counts.false[point].sum(axis=0), other[:-1, -1])
        if counts.cross:
            cross = np.zeros_like(other[:-1, :-1])
            np.add.at(cross.T, counts.truth_label, counts.cross[point].toarray().T)
            np.testing.assert_array_equal(cross, other[:-1, :-1] - np.diag(np.diag(other)[:-1]))


@BOTH
@given(data=datasets())
@settings(max_examples=10)
def test_counts_of_each_recording_give_the_same_value(
    criteria: PSDSCriteria, data: EvaluationData
) -> None:
    assume(len(data.truth) > 0)
    # A limit that some points lie beyond and others not: ten recordings are 400 seconds.
    criteria = replace(criteria, max_efpr_per_hour=1000.0)
    result = psds_of(data, criteria)
    everything = np.ones((1, len(data.durations_s)))
    assert result.resampled(everything) == pytest.approx([result.value], abs=1e-6)


@BOTH
def test_a_resample_is_worth_what_the_library_says_of_it(criteria: PSDSCriteria) -> None:
    """Recordings drawn twice are evaluated twice, under other names."""
    data = noisy_data(3)
    criteria = replace(criteria, max_efpr_per_hour=600.0)
    points = points_of(data)
    result = psds(points, data.truth, criteria, durations_s=data.durations_s)
    assert 0.02 < result.value < 0.98
    rng = np.random.default_rng(1)
    for weights in rng.multinomial(12, np.full(12, 1 / 12), size=4):
        drawn = {
            f"{name} {k}": name
            for name, times in zip(data.durations_s, weights, strict=True)
            for k in range(times)
        }

        def copied(table: pd.DataFrame, drawn: dict[str, str] = drawn) -> pd.DataFrame:
            return pd.concat(
                [
                    table[table["filename"] == name].assign(filename=new)
                    for new, name in drawn.items()
                ]
            )

        expected = psds(
            [copied(table) for table in points],
            copied(data.truth),
            criteria,
            durations_s=dict.fromkeys(drawn, 10.0),
        )
        resampled = result.resampled(weights[None].astype(float))
        assert resampled == pytest.approx([expected.value], abs=1e-6)


@BOTH
def test_both_libraries_agree_where_fifty_thresholds_see_everything(
    criteria: PSDSCriteria,
) -> None:
    """The thresholds are odd hundredths; of scores in even hundredths they separate all.

    None is 0, for below it, where the exact PSDS also looks, the fifty have no threshold.
    """
    data = noisy_data(1, recordings=30)
    assert data.scores is not None
    even = {
        name: ScoreTable(table.edges_s, np.round(table.scores * 50).clip(1, 50) / np.float32(50))
        for name, table in data.scores.items()
    }
    criteria = replace(criteria, max_efpr_per_hour=600.0)
    fifty = psds_of(replace(data, scores=even), criteria, THRESHOLDS)
    value, areas = exact_of(replace(data, scores=even), criteria)
    assert 0.02 < value < 0.98
    assert fifty.value == pytest.approx(value)
    assert fifty.per_class == pytest.approx(areas)
    # Of any scores, fifty points lie on the same staircase.
    some = psds_of(data, criteria, THRESHOLDS).per_class
    for name, area in exact_of(data, criteria)[1].items():
        assert some[name] <= area + 1e-9


def test_the_areas_of_the_classes_average_to_the_psds_without_a_penalty_for_variation() -> None:
    criteria = replace(PSDS1, dtc=0.5, gtc=0.5, alpha_st=0.0, max_efpr_per_hour=900.0)
    result = psds_of(noisy_data(9), criteria)
    assert 0.05 < result.value < 0.95
    assert np.mean(list(result.per_class.values())) == pytest.approx(result.value)
    widths = np.diff(np.append(result.curve.efpr, result.curve.max_efpr))
    below = (result.curve.effective_tpr * widths).sum() / result.curve.max_efpr
    assert below == pytest.approx(result.value)


@BOTH
def test_a_class_without_truth_counts_for_nothing(criteria: PSDSCriteria) -> None:
    data = perfect_data()
    assert data.scores is not None
    scores = {}
    for name, table in data.scores.items():
        wider = np.pad(table.scores, ((0, 0), (0, 1)))
        wider[:20, 2] = 0.7
        scores[name] = ScoreTable(table.edges_s, wider)
    data = replace(data, scores=scores, classes=("Cat", "Dog", "Parrot"))
    for value, areas in (
        exact_of(data, criteria),
        (psds_of(data, criteria).value, psds_of(data, criteria).per_class),
    ):
        assert value == pytest.approx(1.0)
        assert areas == pytest.approx({"Cat": 1.0, "Dog": 1.0})


@BOTH
def test_a_class_alone_has_no_cross_triggers(criteria: PSDSCriteria) -> None:
    truth = event_table([("a", 1.0, 3.0, "Cat")])
    edges_s = np.arange(11.0)
    scores = np.zeros((10, 1), np.float32)
    scores[1:3] = 0.8
    data = EvaluationData(("Cat",), {"a": 10.0}, truth, scores={"a": ScoreTable(edges_s, scores)})
    result = psds_of(data, criteria)
    assert result.value == pytest.approx(1.0)
    assert result.resampled(np.ones((1, 1))) == pytest.approx([1.0])
    assert exact_of(data, criteria)[0] == pytest.approx(1.0)


@BOTH
def test_nothing_found_is_zero(criteria: PSDSCriteria) -> None:
    data = perfect_data()
    nothing = [event_table([]), event_table([])]
    result = psds(nothing, data.truth, criteria, durations_s=data.durations_s)
    assert result.value == 0
    assert result.per_class == {"Cat": 0.0, "Dog": 0.0}
    assert result.resampled(np.ones((1, 2))) == pytest.approx([0.0])


@BOTH
@given(found=event_tables(apart=False), truth=event_tables(apart=True))
@settings(max_examples=10)
def test_order_of_rows_and_recordings_does_not_matter(
    criteria: PSDSCriteria, found: pd.DataFrame, truth: pd.DataFrame
) -> None:
    assume(len(truth) > 0)
    durations_s = dict.fromkeys("abcd", 10.0)
    one = psds([found], truth, criteria, durations_s=durations_s)
    other = psds(
        [shuffled(found)], shuffled(truth), criteria, durations_s=dict.fromkeys("dbca", 10.0)
    )
    assert other.value == pytest.approx(one.value)
    assert other.per_class == pytest.approx(one.per_class)


def test_all_recordings_twice_are_worth_the_same() -> None:
    data = noisy_data(5)
    points = points_of(data)
    once = psds(points, data.truth, PSDS2, durations_s=data.durations_s)

    def twice(table: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([table, table.assign(filename=table["filename"] + " again")])

    again = {f"{name} again": 10.0 for name in data.durations_s}
    both = psds(
        [twice(table) for table in points],
        twice(data.truth),
        PSDS2,
        durations_s={**data.durations_s, **again},
    )
    assert both.value == pytest.approx(once.value)
    assert set(once.per_class) == set(CLASSES)
