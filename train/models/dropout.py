"""Dropout that a CPU can afford."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEVELS = 256


class Dropout(nn.Module):
    """:class:`torch.nn.Dropout`, with its chance drawn a byte an element on a CPU.

    There torch draws a double an element, one thread alone, which is a quarter of a training step
    of the 2021 CRNN. A byte rounds the probability to a 256th; what is kept is scaled by what the
    rounded probability gives. Elsewhere, and in evaluation, this is torch's own.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to the same shape."""
        dropped = round(self.probability * _LEVELS)
        if not self.training or x.device.type != "cpu" or dropped == _LEVELS:
            return nn.functional.dropout(x, self.probability, self.training)
        if not dropped:
            return x
        layout = torch.empty_like(x, dtype=torch.uint8)  # strides without gaps
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        drawn = draws.view(torch.uint8).as_strided(layout.size(), layout.stride())
        return x * (drawn >= dropped).to(x.dtype).mul_(_LEVELS / (_LEVELS - dropped))

    def extra_repr(self) -> str:
        """Return what distinguishes it from others."""
        return f"probability={self.probability}"
