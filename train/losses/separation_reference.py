"""The same losses, slow and obvious: every permutation and every assignment is made and compared.

Kept to hold :mod:`train.losses.pit` and :mod:`train.losses.mixit` against.
"""

from __future__ import annotations

from itertools import permutations, product

import torch
from torch import Tensor

from train.losses.snr import ACTIVE_DB, SILENT_DB, energy, thresholded_snr


def pit_reference(estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
    """Return the loss ``()`` of one example: ``(M, N)``, ``(M, N)``, ``(N,)``."""
    totals = []
    for order in permutations(range(len(sources))):
        losses = [
            thresholded_snr(energy(s - e), energy(s), ACTIVE_DB)
            if s.any()
            else thresholded_snr(energy(s - e), energy(mixture), SILENT_DB)
            for s, e in zip(sources, estimates[list(order)], strict=True)
        ]
        totals.append(torch.stack(losses).mean())
    return torch.stack(totals).min()


def mixit_reference(estimates: Tensor, mixtures: Tensor) -> Tensor:
    """Return the loss ``()`` of one example: ``(M, N)``, ``(2, N)``."""
    totals = []
    for whose in product((0, 1), repeat=len(estimates)):
        losses = []
        for which, mixture in enumerate(mixtures):
            taken = [e for e, owner in zip(estimates, whose, strict=True) if owner == which]
            remixed = torch.stack(taken).sum(0) if taken else torch.zeros_like(mixture)
            losses.append(thresholded_snr(energy(mixture - remixed), energy(mixture), ACTIVE_DB))
        totals.append(torch.stack(losses).mean())
    return torch.stack(totals).min()
