"""The discrete Fourier transform as matrix products."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


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

        # (2 * half, P): real and imaginary part of each row of the first stage in turn.
        parts = torch.stack([first.real.T, first.imag.T], dim=1)
        self.register_buffer("stage1", parts.flatten(0, 1).float(), persistent=False)
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
        # The first product comes from the left, so that no frame is transposed before it and the
        # second finds both parts of a row side by side.
        first = self.stage1 @ frames.reshape(batch, time, self.rows, self.columns)
        first = first.reshape(batch * time, half, 2 * self.columns).transpose(0, 1)
        second = torch.bmm(first, self.stage2)  # (half, B * T, 2R)
        real, imaginary = second[..., : self.columns], second[..., self.columns :]
        power = real * real + imaginary * imaginary
        return power.transpose(0, 1).reshape(batch, time, half * self.columns)
