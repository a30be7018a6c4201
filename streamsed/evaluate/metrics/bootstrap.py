"""Bootstrap: how much a figure would differ with other recordings of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from streamsed.evaluate.evaluation import Interval

Floats = NDArray[np.float64]

LEVEL = 0.95
_AT_ONCE = 100  # resamples; bounds the memory


def confidence_intervals(
    figures: Mapping[str, Callable[[Floats], Floats]],
    *,
    recordings: int,
    resamples: int,
    seed: int,
) -> dict[str, Interval]:
    """Return bias-corrected percentile intervals over recordings drawn with replacement.

    Efron 1987, "Better bootstrap confidence intervals", section 3. Plain percentiles would lie
    too low: a resample holds fewer different recordings than the whole, so its classes differ
    more from one another, and PSDS takes that variation off. Of few recordings those of PSDS are
    still too low. All figures see the same resamples; those in which a figure is undefined are
    left out of its interval.

    Args:
        figures: by key a function of weights ``(B, recordings)``, how often each recording is
            drawn, that returns the figure ``(B,)`` of each resample.
        recordings: how many; of a single one there is none.
        resamples: how many.
        seed: of the draws.

    Returns:
        By key; without those that are undefined in every resample, or whose resamples nearly all
        lie on one side of the value.
    """
    if recordings < 2 or resamples < 1:
        return {}
    rng = np.random.default_rng(seed)
    equal = np.full(recordings, 1 / recordings)
    values: dict[str, list[Floats]] = {key: [] for key in figures}
    for start in range(0, resamples, _AT_ONCE):
        batch = min(_AT_ONCE, resamples - start)
        weights = rng.multinomial(recordings, equal, size=batch).astype(np.float64)
        for key, figure in figures.items():
            values[key].append(figure(weights))
    whole = np.ones((1, recordings))
    intervals = {}
    for key, figure in figures.items():
        drawn = np.concatenate(values[key])
        drawn = drawn[~np.isnan(drawn)]
        interval = _interval(drawn, float(figure(whole)[0])) if len(drawn) else None
        if interval is not None:
            intervals[key] = interval
    return intervals


def _interval(drawn: Floats, value: float) -> Interval | None:
    """Return the percentiles of ``drawn``, shifted by how far its median is from ``value``.

    None where nearly all lie on one side of ``value``: the bias is then greater than what the
    interval is of, and the correction leaves a sliver at one end, which looks like certainty.
    """
    equal = np.isclose(drawn, value, rtol=0, atol=1e-9)
    below = ((drawn < value) & ~equal).sum() + equal.sum() / 2
    tail = (1 - LEVEL) / 2
    share = below / len(drawn)
    if not tail < share < 1 - tail:
        return None
    shares = ndtr(2 * ndtri(share) + ndtri([tail, 1 - tail]))
    low, high = np.quantile(drawn, shares)
    return Interval(low=float(low), high=float(high), level=LEVEL)
