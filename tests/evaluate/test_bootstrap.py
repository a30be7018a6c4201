"""Confidence intervals: by seed, of the right width, and as often right as they say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streamsed.evaluate.criteria.error_counts import ErrorCounts, f1, macro
from streamsed.evaluate.evaluation import Interval
from streamsed.evaluate.metrics.bootstrap import confidence_intervals

Floats = NDArray[np.float64]
RATES = np.array([0.8, 0.6, 0.3])
"""How many of the true events of each class are found."""


def drawn(rng: np.random.Generator, recordings: int) -> ErrorCounts:
    """Recordings of a kind: some are hard, and in them all classes are."""
    ease = rng.uniform(0.5, 1.0, (recordings, 1))
    truth = rng.poisson(2.0, (recordings, 3))
    hits = rng.binomial(truth, ease * RATES)
    return ErrorCounts(hits=hits, wrong=rng.poisson(0.4, (recordings, 3)), missed=truth - hits)


def interval(counts: ErrorCounts, *, resamples: int = 400, seed: int = 0) -> Interval:
    return confidence_intervals(
        {"f1": counts.resampled_f1},
        recordings=len(counts.hits),
        resamples=resamples,
        seed=seed,
    )["f1"]


def test_95_percent_intervals_hold_the_truth_95_times_in_100() -> None:
    rng = np.random.default_rng(4)
    # Of infinitely many recordings: 2 events each, found with three quarters of the rates.
    hits = 2.0 * 0.75 * RATES
    truth = float(macro(f1(hits, np.full(3, 0.4), 2.0 - hits)))
    held = 0
    for _ in range(300):
        found = interval(drawn(rng, 60))
        held += found.low <= truth <= found.high
    assert 0.90 <= held / 300 <= 0.985


def test_more_recordings_make_it_narrower_by_the_square_root() -> None:
    rng = np.random.default_rng(1)
    few, many = interval(drawn(rng, 50)), interval(drawn(rng, 50 * 16))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.3)


def test_it_holds_the_value() -> None:
    counts = drawn(np.random.default_rng(2), 40)
    found = interval(counts)
    assert found.low < macro(counts.f1()) < found.high
    assert found.level == 0.95


def test_the_seed_decides() -> None:
    counts = drawn(np.random.default_rng(2), 40)
    assert interval(counts, seed=7) == interval(counts, seed=7)
    assert interval(counts, seed=7) != interval(counts, seed=8)


def test_one_figure_more_changes_no_other() -> None:
    counts = drawn(np.random.default_rng(2), 40)
    both = confidence_intervals(
        {"other": lambda weights: weights[:, 0], "f1": counts.resampled_f1},
        recordings=40,
        resamples=400,
        seed=0,
    )
    assert both["f1"] == interval(counts)


def test_what_never_varies_has_no_width() -> None:
    def constant(weights: Floats) -> Floats:
        return np.full(len(weights), 0.25)

    found = confidence_intervals({"c": constant}, recordings=9, resamples=150, seed=0)["c"]
    assert (found.low, found.high) == (0.25, 0.25)


def test_it_corrects_what_resampling_takes_off() -> None:
    """Mean less deviation over classes that are nearly alike, of few events: PSDS at its worst.

    The classes of a resample differ more than those of the recordings, and these more than the
    truth. No interval of resamples holds it 95 times in 100; plain percentiles rarely do.
    """
    rng = np.random.default_rng(0)
    rates = np.linspace(0.5, 0.6, 10)
    truth = rates.mean() - rates.std()
    held = plain = 0
    for _ in range(150):
        events = rng.poisson(0.4, (40, 10)).astype(np.float64)
        hits = rng.binomial(events.astype(int), rates).astype(np.float64)
        seen: list[Floats] = []

        def stable(
            weights: Floats,
            hits: Floats = hits,
            events: Floats = events,
            seen: list[Floats] = seen,
        ) -> Floats:
            recall = (weights @ hits) / np.maximum(weights @ events, 1)
            value: Floats = recall.mean(axis=1) - recall.std(axis=1)
            if len(weights) > 1:
                seen.append(value)
            return value

        found = confidence_intervals({"s": stable}, recordings=40, resamples=200, seed=1)["s"]
        held += found.low <= truth <= found.high
        low, high = np.quantile(np.concatenate(seen), [0.025, 0.975])
        plain += bool(low <= truth <= high)
    assert held > 2 * plain


def test_resamples_without_a_value_are_left_out() -> None:
    """A class is in one recording of three: the resamples without it do not count."""
    truth = np.array([[1], [0], [0]])
    counts = ErrorCounts(hits=truth, wrong=0 * truth, missed=0 * truth)
    found = interval(counts)
    assert (found.low, found.high) == pytest.approx((1.0, 1.0))
    nothing = ErrorCounts(hits=0 * truth, wrong=truth, missed=0 * truth)
    assert (
        confidence_intervals({"f1": nothing.resampled_f1}, recordings=3, resamples=50, seed=0) == {}
    )


@pytest.mark.parametrize(("recordings", "resamples"), [(1, 100), (0, 100), (5, 0)])
def test_there_is_none_without_recordings_or_resamples(recordings: int, resamples: int) -> None:
    def constant(weights: Floats) -> Floats:
        return np.full(len(weights), 0.25)

    found = confidence_intervals(
        {"c": constant}, recordings=recordings, resamples=resamples, seed=0
    )
    assert found == {}
