"""Signal-to-noise ratios; N samples. Energies are sums of squares, in float32.

The loss is the *thresholded* negative SNR of universal sound separation (Kavalerov et al. 2019;
Wisdom et al. 2020 and 2021), with the reference's energy under the logarithm twice::

    10 log10((|s - e|^2 + tau |r|^2) / |r|^2),  tau = 10^(-most_db / 10)

For a source that sounds, ``r`` is the source itself, and the loss is the negative SNR that ends
at ``-most_db``. A source that is silent has no SNR: its plain loss is a constant without a
gradient. There ``r`` is the mixture, and the loss is how far below it the estimate is.
"""

from __future__ import annotations

import torch
from torch import Tensor

ACTIVE_DB = 30.0
"""Beyond this SNR an estimate of a source that sounds is good enough."""
SILENT_DB = 20.0
"""This far below the mixture an estimate of a silent source is good enough."""

SMALLEST = 1e-8


def energy(signal: Tensor) -> Tensor:
    """Return the sum of squares ``(...)`` of signals ``(..., N)``."""
    return signal.float().square().sum(dim=-1)


def thresholded_snr(error: Tensor, reference: Tensor, most_db: Tensor | float) -> Tensor:
    """Return the thresholded negative SNR in dB.

    Args:
        error: energy of the difference, any shape.
        reference: energy of ``r``, of a shape that fits.
        most_db: SNR at which the loss ends, as ``-most_db``.
    """
    share = 10.0 ** (-torch.as_tensor(most_db, device=error.device) / 10.0)
    return 10.0 * torch.log10((error + share * reference + SMALLEST) / (reference + SMALLEST))


def si_snr(estimate: Tensor, source: Tensor) -> Tensor:
    """Return the scale-invariant SNR in dB, ``(...)``, of signals ``(..., N)`` without their mean.

    Le Roux et al. 2019, "SDR: half-baked or well done?". For figures, not for training: what a
    detector is given has a level. A silent source gives about -infinity.
    """
    estimate = estimate.float() - estimate.float().mean(dim=-1, keepdim=True)
    source = source.float() - source.float().mean(dim=-1, keepdim=True)
    scale = (estimate * source).sum(dim=-1, keepdim=True) / (energy(source)[..., None] + SMALLEST)
    target = scale * source
    return 10.0 * torch.log10((energy(target) + SMALLEST) / (energy(estimate - target) + SMALLEST))


def si_snr_improvement(estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
    """Return how much better estimates are than the mixture, in dB.

    Args:
        estimates: ``(B, M, N)``, in the order of the sources.
        sources: ``(B, M, N)``; silent ones are left out.
        mixture: ``(B, N)``.

    Returns:
        ``(B,)``, mean over the sources that sound; NaN for a mixture of fewer than two, which
        cannot be improved.
    """
    check_sources(estimates, sources)
    better = si_snr(estimates, sources) - si_snr(mixture[:, None].expand_as(sources), sources)
    sounds = energy(sources) > 0.0
    mean = torch.where(sounds, better, 0.0).sum(dim=1) / sounds.sum(dim=1).clamp(min=1)
    return torch.where(sounds.sum(dim=1) >= 2, mean, torch.nan)


def check_sources(estimates: Tensor, sources: Tensor) -> None:
    """Refuse estimates and sources that are not both ``(B, M, N)``.

    Raises:
        ValueError: they are not.
    """
    if estimates.ndim != 3 or estimates.shape != sources.shape:
        raise ValueError(
            f"estimates {tuple(estimates.shape)} and sources {tuple(sources.shape)}; "
            "must both be (B, M, N)"
        )
