"""Networks that see a whole window of embeddings, its future as well as its past."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.models.dropout import Dropout

HELD = 1e4
"""Added to the update gate where a window is empty: the sigmoid of it is 1."""


class BidirectionalGRU(nn.Module):
    """Bidirectional GRU layers that stand still where a window is empty.

    A window at the beginning of a stream, or over the end of a clip, is partly empty. There the
    update gates are held shut, so that the hidden state stays as it was, and the other frames come
    out as if the window were only as long as they are.
    """

    def __init__(self, units_in: int, units: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.GRU(
                units_in if index == 0 else 2 * units, units, batch_first=True, bidirectional=True
            )
            for index in range(layers)
        )
        self.units = 2 * units

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map a window ``(B, T, D)`` to ``(B, T, 2 * units)``.

        Args:
            x: embeddings.
            valid: ``(B, T)`` bool, False for empty frames; None if there are none. What comes out
                for empty frames means nothing.
        """
        for layer in self.layers:
            assert isinstance(layer, nn.GRU)
            x = layer(x)[0] if valid is None else held_gru(layer, x, valid)
        return x


def held_gru(gru: nn.GRU, x: Tensor, valid: Tensor) -> Tensor:
    """Run one GRU layer, of one direction or both, that stands still where ``valid`` is False.

    Its update gates are shut there.
    """
    column = torch.zeros(3 * gru.hidden_size, 1, dtype=x.dtype, device=x.device)
    column[gru.hidden_size : 2 * gru.hidden_size] = HELD  # gates: reset, update, new
    suffixes = ("", "_reverse") if gru.bidirectional else ("",)
    weights = []
    for suffix in suffixes:
        weights += [
            torch.cat([getattr(gru, f"weight_ih_l0{suffix}"), column], dim=1),
            getattr(gru, f"weight_hh_l0{suffix}"),
            getattr(gru, f"bias_ih_l0{suffix}"),
            getattr(gru, f"bias_hh_l0{suffix}"),
        ]
    x = torch.cat([x, (~valid).to(x.dtype)[:, :, None]], dim=2)
    hidden = torch.zeros(len(suffixes), x.shape[0], gru.hidden_size, dtype=x.dtype, device=x.device)
    output: Tensor = torch.gru(
        x, hidden, weights, True, 1, 0.0, gru.training, gru.bidirectional, True
    )[0]
    return output


class AttentionLayer(nn.Module):
    """Pre-normalised self-attention with rotary positions, then a feed-forward layer."""

    def __init__(self, units: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        if units % (2 * heads):
            raise ValueError(f"{units} units cannot be shared by {heads} heads in pairs")
        self.heads = heads
        self.norm = nn.LayerNorm(units)
        self.queries_keys_values = nn.Linear(units, 3 * units)
        self.mix = nn.Linear(units, units)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(units),
            nn.Linear(units, 2 * units),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(2 * units, units),
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], bias: Tensor | None) -> Tensor:
        """Map ``(B, T, D)`` to the same shape; ``bias`` ``(B, 1, 1, T)`` is added to the logits."""
        batch, time, units = x.shape
        parts = self.queries_keys_values(self.norm(x))
        parts = parts.view(batch, time, 3, self.heads, units // self.heads).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(
            _rotate(parts[0], rotation),
            _rotate(parts[1], rotation),
            parts[2],
            attn_mask=None if bias is None else bias.to(parts.dtype),
        )
        x = x + self.dropout(self.mix(attended.transpose(1, 2).reshape(batch, time, units)))
        mixed: Tensor = x + self.dropout(self.feed_forward(x))
        return mixed


def _rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn pairs of channels of ``(B, heads, T, d)`` by angles that grow with the position."""
    cosine, sine = rotation
    left, right = x.float().chunk(2, dim=-1)
    turned = torch.cat([left * cosine - right * sine, right * cosine + left * sine], dim=-1)
    return turned.to(x.dtype)


class SelfAttention(nn.Module):
    """Self-attention layers over a window; only distances between frames matter, not their place.

    So a window that is partly empty gives the others what a shorter window would (rotary position
    embeddings, Su et al. 2021).
    """

    cosine: Tensor
    sine: Tensor

    def __init__(
        self, units: int, layers: int, *, heads: int, window_frames: int, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            AttentionLayer(units, heads=heads, dropout=dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(units)
        self.units = units
        half = units // heads // 2
        slowness = 10000.0 ** (torch.arange(half) / half)
        angles = torch.arange(window_frames)[:, None] / slowness
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map a window ``(B, T, D)`` to the same shape; ``valid`` as in the GRU's."""
        rotation = self.cosine[: x.shape[1]], self.sine[: x.shape[1]]
        bias = None
        if valid is not None:
            bias = (~valid).to(x.dtype)[:, None, None, :] * -1e4
        for layer in self.layers:
            x = layer(x, rotation, bias)
        normed: Tensor = self.norm(x)
        return normed
