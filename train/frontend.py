"""Log-mel front end: the one module for training and for the exported graph.

Frames are causal: frame ``t`` covers the ``n_fft`` samples that end with sample
``(t + 1) * hop_samples``, so a chunk needs only the ``n_fft - hop_samples`` samples before it.
The scaling is fixed at training (per-clip min-max scaling would need the future).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torchaudio
from torch import Tensor, nn


@dataclass(frozen=True)
class FrontEndConfig:
    """Parameters of the log-mel front end.

    Attributes:
        sample_rate: Hz.
        n_fft: window and transform length in samples, a power of two.
        hop_samples: samples between frames.
        n_mels: mel bands, HTK scale, from ``f_min`` to ``f_max`` Hz.
        floor: magnitudes below this are raised to it before the logarithm.
    """

    sample_rate: int = 16000
    n_fft: int = 1024
    hop_samples: int = 256
    n_mels: int = 64
    f_min: float = 0.0
    f_max: float = 8000.0
    floor: float = 1e-5

    @property
    def halo_samples(self) -> int:
        """Samples before a chunk that its first frame needs."""
        return self.n_fft - self.hop_samples


def _unit_roots(turns: Tensor) -> Tensor:
    """Return ``exp(-2 pi i turns)``, complex."""
    return torch.polar(torch.ones_like(turns), -2 * math.pi * turns)


class FactoredDFT(nn.Module):
    """Windowed DFT of real frames as two small matrix products (Cooley and Tukey, one step).

    With ``n = R a + b`` and ``k = c + P d`` for ``N = P R``::

        X[c + P d] = sum_b  W_N^(b c) W_R^(b d)  sum_a x[R a + b] W_P^(a c)

    Columns ``c`` in ``0 .. P/2`` hold every bin of a real signal up to conjugation, so only these
    are computed. At N = 1024 this takes a tenth of the multiplications of a dense matrix and,
    unlike an FFT operator, runs as plain matrix products on every ONNX provider.
    """

    stage1: Tensor
    stage2: Tensor
    bins: Tensor

    def __init__(self, n_fft: int) -> None:
        super().__init__()
        bits = n_fft.bit_length() - 1
        if n_fft != 1 << bits or bits < 4:
            raise ValueError(f"n_fft {n_fft} is no power of two of at least 16")
        self.n_fft = n_fft
        self.rows = 1 << (bits // 2)  # P
        self.columns = n_fft // self.rows  # R
        half = self.rows // 2 + 1

        a = torch.arange(self.rows, dtype=torch.float64)
        b = torch.arange(self.columns, dtype=torch.float64)
        c = torch.arange(half, dtype=torch.float64)
        d = torch.arange(self.columns, dtype=torch.float64)
        first = torch.polar(
            torch.ones(1, dtype=torch.float64), -2 * math.pi * a[:, None] * c / self.rows
        )
        angle = b[None, :, None] * (c[:, None, None] / n_fft + d[None, None, :] / self.columns)
        second = torch.polar(
            torch.ones(1, dtype=torch.float64), -2 * math.pi * angle
        )  # (half, R, R)

        # (P, 2 * half): real parts, then imaginary parts, of the first stage.
        self.register_buffer(
            "stage1", torch.cat([first.real, first.imag], dim=1).float(), persistent=False
        )
        # (half, 2R, 2R): a complex product written as one real one.
        top = torch.cat([second.real, second.imag], dim=2)
        bottom = torch.cat([-second.imag, second.real], dim=2)
        self.register_buffer("stage2", torch.cat([top, bottom], dim=1).float(), persistent=False)
        # Bin of rfft that output (c, d) holds, after conjugation where it lies above N / 2.
        k = (c[:, None] + self.rows * d[None, :]).long()
        self.register_buffer("bins", torch.minimum(k, n_fft - k), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the power of every computed bin.

        Args:
            frames: ``(B, T, n_fft)`` float32, windowed.

        Returns:
            ``(B, T, (P/2 + 1) * R)``, entry ``i`` being bin ``self.bins.flatten()[i]`` of rfft.
        """
        batch, time, _ = frames.shape
        half = self.stage2.shape[0]
        columns = frames.reshape(batch, time, self.rows, self.columns).transpose(2, 3)
        first = columns @ self.stage1  # (B, T, R, 2 * half)
        first = first.reshape(batch, time, self.columns, 2, half)
        first = first.permute(4, 0, 1, 3, 2).reshape(half, batch * time, 2 * self.columns)
        second = torch.bmm(first, self.stage2)  # (half, B * T, 2R)
        real, imaginary = second[..., : self.columns], second[..., self.columns :]
        power = real * real + imaginary * imaginary
        return power.permute(1, 0, 2).reshape(batch, time, half * self.columns)


class LogMel(nn.Module):
    """Causal log-mel spectrogram with fixed statistics.

    ``mean`` and ``std`` (one value a band) are set once from training data with
    :meth:`set_statistics` and travel with the weights.
    """

    window: Tensor
    mel: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        self.dft = FactoredDFT(config.n_fft)
        window = torch.hann_window(config.n_fft)
        self.register_buffer("window", window * (2.0 / window.sum()), persistent=False)
        banks = torchaudio.functional.melscale_fbanks(
            n_freqs=config.n_fft // 2 + 1,
            f_min=config.f_min,
            f_max=config.f_max,
            n_mels=config.n_mels,
            sample_rate=config.sample_rate,
        )
        # The factored transform yields some bins twice (as conjugates): share their weight.
        bins = self.dft.bins.flatten()
        copies = torch.bincount(bins, minlength=banks.shape[0]).float()
        self.register_buffer("mel", banks[bins] / copies[bins, None], persistent=False)
        self.register_buffer("mean", torch.zeros(config.n_mels))
        self.register_buffer("std", torch.ones(config.n_mels))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Fix the scaling: ``mean`` and ``std`` are ``(n_mels,)``, in dB, of training data."""
        self.mean.copy_(mean)
        self.std.copy_(std)

    def decibels(self, samples: Tensor) -> Tensor:
        """Return the unscaled spectrogram in dB.

        Args:
            samples: ``(B, halo_samples + T * hop_samples)`` float32.

        Returns:
            ``(B, T, n_mels)``; a full-scale sine reads about 0 dB in its band.
        """
        config = self.config
        frames = samples.unfold(1, config.n_fft, config.hop_samples)
        energy = self.dft(frames * self.window) @ self.mel
        return 10.0 * torch.log10(torch.clamp(energy, min=config.floor**2))

    def forward(self, samples: Tensor) -> Tensor:
        """Return the scaled spectrogram ``(B, T, n_mels)`` of ``(B, halo + T * hop)`` samples."""
        return (self.decibels(samples) - self.mean) / self.std
