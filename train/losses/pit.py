"""Permutation-invariant training (Kolbaek et al. 2017): whose estimate is whose is left open."""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from train.losses.snr import (
    ACTIVE_DB,
    SILENT_DB,
    check_sources,
    energy,
    thresholded_snr,
)

MOST_TRIED = 4
"""With more sources than this, the best permutation is found by the Hungarian method."""


def pit_loss(
    estimates: Tensor,
    sources: Tensor,
    mixture: Tensor,
    *,
    active_db: float = ACTIVE_DB,
    silent_db: float = SILENT_DB,
) -> tuple[Tensor, Tensor]:
    """Return the lowest mean loss over all permutations, equation 6 of the JSS paper.

    The loss of a pair is :func:`train.losses.snr.thresholded_snr`, of a source of zeros in the
    form for silent ones.

    Args:
        estimates: ``(B, M, N)``.
        sources: ``(B, M, N)``; zeros where a mixture has fewer.
        mixture: ``(B, N)``.
        active_db: SNR at which the loss of a source that sounds ends.
        silent_db: how far below the mixture that of a silent one ends.

    Returns:
        Loss ``(B,)`` in dB, and ``(B, M)`` int64: source ``m`` is estimated by
        ``estimates[b, permutation[b, m]]``.

    Raises:
        ValueError: the shapes differ.
    """
    check_sources(estimates, sources)
    if mixture.shape != sources[:, 0].shape:
        raise ValueError(f"mixture {tuple(mixture.shape)}; must be {tuple(sources[:, 0].shape)}")
    own = energy(sources)
    silent = own == 0.0
    reference = torch.where(silent, energy(mixture)[:, None], own)
    most_db = torch.where(silent, silent_db, active_db)
    with torch.no_grad():
        error = _pairwise_error(estimates.float(), sources.float())
        pairs = thresholded_snr(error, reference[:, :, None], most_db[:, :, None])
        permutation = best_permutation(pairs)
    ordered = in_order(estimates, permutation)
    losses = thresholded_snr(energy(sources - ordered), reference, most_db)
    return losses.mean(dim=1), permutation


def in_order(estimates: Tensor, permutation: Tensor) -> Tensor:
    """Return ``(B, M, N)`` estimates in the order of the sources that they are of."""
    return estimates.gather(1, permutation[:, :, None].expand_as(estimates))


def best_permutation(costs: Tensor) -> Tensor:
    """Return the permutation of the lowest sum.

    Args:
        costs: ``(B, M, M)``, of source (row) and estimate (column).

    Returns:
        ``(B, M)`` int64, the estimate of each source.
    """
    if costs.shape[1] > MOST_TRIED:
        return _hungarian(costs)
    tried = _permutations(costs.shape[1]).to(costs.device)  # (P, M)
    rows = torch.arange(costs.shape[1], device=costs.device)
    sums = costs[:, rows, tried].sum(dim=2)  # (B, P)
    return tried[sums.argmin(dim=1)]


def _hungarian(costs: Tensor) -> Tensor:
    found = [linear_sum_assignment(matrix)[1] for matrix in costs.detach().cpu().numpy()]
    return torch.from_numpy(np.stack(found)).to(costs.device, torch.int64)


def _pairwise_error(estimates: Tensor, sources: Tensor) -> Tensor:
    """Return ``|s_i - e_j|^2`` ``(B, M, M)`` without making any difference."""
    products = sources @ estimates.transpose(1, 2)
    error = energy(sources)[:, :, None] + energy(estimates)[:, None] - 2.0 * products
    return error.clamp(min=0.0)


@lru_cache
def _permutations(count: int) -> Tensor:
    return torch.tensor(list(permutations(range(count))))
