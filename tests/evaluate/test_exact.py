"""PSDS over every threshold, and the runs of scores that it is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sed_scores_eval.intersection_based import psds as library_psds

from streamsed.evaluate.criteria.exact_psds import exact_psds
from streamsed.evaluate.criteria.psds import PSDS1, PSDS2, PSDSCriteria
from streamsed.evaluate.criteria.score_runs import score_runs
from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.libraries import library_scores, library_truth, plain_labels
from tests.evaluate.drawn import datasets, noisy_data


def runs_at(column: NDArray[np.float32], threshold: float) -> set[tuple[int, int]]:
    """Return the runs above a threshold, frame by frame."""
    runs, first = set(), None
    for frame, score in enumerate([*column.tolist(), -np.inf]):
        if score > threshold and first is None:
            first = frame
        elif score <= threshold and first is not None:
            runs.add((first, frame))
            first = None
    return runs


@given(
    values=st.integers(1, 3).flatmap(
        lambda columns: st.lists(
            st.lists(st.integers(0, 4), min_size=columns, max_size=columns),
            min_size=1,
            max_size=17,
        )
    )
)
def test_runs_are_those_above_each_threshold(values: list[list[int]]) -> None:
    scores = np.array(values, np.float32) / 4
    runs = score_runs(scores)
    assert len(runs.score) <= scores.size
    absorbed_at = runs.absorbed_at
    for c in range(scores.shape[1]):
        for threshold in (-0.1, *np.unique(scores[:, c]).tolist()):
            above = np.float32(threshold)
            detected = (runs.column == c) & (runs.score > above) & (absorbed_at <= above)
            found = set(
                zip(runs.first[detected].tolist(), runs.end[detected].tolist(), strict=True)
            )
            assert found == runs_at(scores[:, c], threshold)
            assert detected.sum() == len(found)
            rising = runs.changes(np.ones(len(runs.score)))
            own = (runs.column == c) & (runs.score > above)
            assert rising[own].sum() == len(found)


def by_library(data: EvaluationData, criteria: PSDSCriteria) -> tuple[float, dict[str, float]]:
    assert data.scores is not None
    occurring = set(data.truth["event_label"])
    plain = plain_labels([name for name in data.classes if name in occurring])
    alpha_ct = criteria.alpha_ct if len(plain) > 1 else 0.0
    value, areas, *_ = library_psds(
        library_scores(data.scores, data.classes, plain),
        library_truth(data.truth, list(data.durations_s), plain),
        dict(data.durations_s),
        dtc_threshold=criteria.dtc,
        gtc_threshold=criteria.gtc,
        cttc_threshold=criteria.cttc if alpha_ct > 0 else None,
        alpha_ct=alpha_ct,
        alpha_st=criteria.alpha_st,
        max_efpr=criteria.max_efpr_per_hour,
    )
    return float(value), {name: float(areas[label]) for name, label in plain.items()}


def assert_same_as_library(data: EvaluationData, criteria: PSDSCriteria) -> None:
    assert data.scores is not None
    value, areas = exact_psds(
        data.scores,
        data.truth,
        criteria,
        durations_s=data.durations_s,
        classes=data.classes,
    )
    expected, expected_areas = by_library(data, criteria)
    assert value == pytest.approx(expected, abs=1e-12)
    assert areas == pytest.approx(expected_areas, abs=1e-12)


@pytest.mark.parametrize("max_efpr", [100.0, 1000.0])
@pytest.mark.parametrize("criteria", [PSDS1, PSDS2], ids=lambda c: c.key)
@given(data=datasets())
@settings(max_examples=4)
def test_values_are_those_of_sed_scores_eval(
    criteria: PSDSCriteria, max_efpr: float, data: EvaluationData
) -> None:
    assume(len(data.truth) > 0)
    assert_same_as_library(data, replace(criteria, max_efpr_per_hour=max_efpr))


@pytest.mark.parametrize("decimals", [1, 2, 7])
@pytest.mark.parametrize("criteria", [PSDS1, PSDS2], ids=lambda c: c.key)
def test_values_of_long_recordings_are_those_of_sed_scores_eval(
    criteria: PSDSCriteria, decimals: int
) -> None:
    """Scores that are often the same, and such that are not."""
    data = noisy_data(decimals, recordings=20)
    assert data.scores is not None
    scores = {
        name: ScoreTable(table.edges_s, np.round(table.scores, decimals))
        for name, table in data.scores.items()
    }
    criteria = replace(criteria, max_efpr_per_hour=600.0)
    assert_same_as_library(replace(data, scores=scores), criteria)
