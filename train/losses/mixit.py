"""Mixture-invariant training (Wisdom et al. 2020): separation learned from mixtures alone."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import torch
from torch import Tensor

from train.losses.snr import ACTIVE_DB, energy, thresholded_snr


def mixit_loss(
    estimates: Tensor, mixtures: Tensor, *, most_db: float = ACTIVE_DB
) -> tuple[Tensor, Tensor]:
    """Return the lowest loss over all ways to share estimates out, equation 8 of the JSS paper.

    The network was given the sum of both mixtures. Each estimate goes to one of them, and their
    sums are compared with the mixtures. All 2^M ways are compared by inner products, of which
    there are few, and only the best way's sums are ever made.

    Args:
        estimates: ``(B, M, N)``.
        mixtures: ``(B, 2, N)``.
        most_db: SNR at which the loss of a mixture ends.

    Returns:
        Loss ``(B,)`` in dB, the mean of both mixtures, and the best assignment ``(B, 2, M)``, 0
        or 1, each column with a sum of 1.

    Raises:
        ValueError: the shapes are others.
    """
    if mixtures.ndim != 3 or mixtures.shape[1] != 2:
        raise ValueError(f"mixtures {tuple(mixtures.shape)}; must be (B, 2, N)")
    if estimates.ndim != 3 or estimates.shape[::2] != mixtures.shape[::2]:
        raise ValueError(
            f"estimates {tuple(estimates.shape)}; must be (B, M, N) as mixtures "
            f"{tuple(mixtures.shape)}"
        )
    reference = energy(mixtures)  # (B, 2)
    with torch.no_grad():
        tried = assignments(estimates.shape[1]).to(estimates.device)  # (A, 2, M)
        errors = _errors(estimates.float(), mixtures.float(), tried)
        losses = thresholded_snr(errors, reference[:, None], most_db).mean(dim=2)
        best = tried[losses.argmin(dim=1)]
    sums = best.to(estimates.dtype) @ estimates
    return thresholded_snr(energy(mixtures - sums), reference, most_db).mean(dim=1), best


def _errors(estimates: Tensor, mixtures: Tensor, tried: Tensor) -> Tensor:
    """Return ``|x - A e|^2 = |x|^2 - 2 A <x, e> + A G A'`` ``(B, A, 2)``, G the Gram matrix."""
    gram = estimates @ estimates.transpose(1, 2)  # (B, M, M)
    products = mixtures @ estimates.transpose(1, 2)  # (B, 2, M)
    shared = torch.einsum("aim,bim->bai", tried, products)
    own = torch.einsum("aim,bmn,ain->bai", tried, gram, tried)
    return (energy(mixtures)[:, None] - 2.0 * shared + own).clamp(min=0.0)


@lru_cache
def assignments(count: int) -> Tensor:
    """Return all ``(2^M, 2, M)`` ways to give each of ``M`` estimates to one of two mixtures."""
    first = torch.tensor(list(product((0.0, 1.0), repeat=count)))
    return torch.stack([first, 1.0 - first], dim=1)
