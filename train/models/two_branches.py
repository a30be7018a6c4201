"""The branches of paper (d)'s networks: tags of a clip, and events in it, from the same embeddings.

See :mod:`train.losses.focal` for the paper. The attention pooling of its tagging branch is that of
L. JiaKai (2018), as in the DCASE baselines; guided learning's is another, see
:mod:`train.models.attention_pooling`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from train.models.attention_pooling import EXCLUDED, AttentionPooling
from train.models.clip_head import AttentionAxis
from train.models.context import BidirectionalGRU


@dataclass(frozen=True)
class BranchesConfig:
    """Both branches. The paper's text gives no widths.

    Attributes:
        rnn_units: of each direction of the tagging branch's recurrent layers.
        rnn_layers: of them; two in the paper, and 0 in its row without them.
        tagging_units: of the linear layer before attention pooling.
        detection_units: of the detection branch's linear layer.
        head_units: of each class's own head.
        pooling: ``frames`` pools the probabilities of frames (JiaKai 2018, which the paper cites),
            ``embeddings`` pools embeddings (guided learning).
        attention: axis of the softmax of ``frames``: over the classes of a frame, as in its code
            and the DCASE baselines', or over time.
    """

    rnn_units: int = 64
    rnn_layers: int = 2
    tagging_units: int = 128
    detection_units: int = 256
    head_units: int = 16
    pooling: Literal["frames", "embeddings"] = "frames"
    attention: AttentionAxis = "classes"

    def __post_init__(self) -> None:
        names = ("rnn_units", "tagging_units", "detection_units", "head_units")
        if min(getattr(self, name) for name in names) < 1 or self.rnn_layers < 0:
            named = ", ".join(f"{name} {getattr(self, name)}" for name in names)
            raise ValueError(
                f"{named}, rnn_layers {self.rnn_layers}; "
                "all must be 1 or more, rnn_layers 0 or more"
            )


class FramePooling(nn.Module):
    """Attention pooling of frames' probabilities, from and to logits.

    ``tag_c = sum_t a_tc sigmoid(s_tc) / sum_t a_tc`` with ``a = softmax(V x_t)``, what
    :class:`train.models.clip_head.ClipHead` computes. A loss of tags needs their logits, which a
    probability that is rounded to 0 or 1 has no more; so all is computed in logarithms.

    Args:
        units: width of the embeddings.
        classes: number of classes.
        axis: of the softmax.
    """

    def __init__(self, units: int, classes: int, axis: AttentionAxis) -> None:
        super().__init__()
        self.frames = nn.Linear(units, classes)
        self.attention = nn.Linear(units, classes)
        self.axis = {"classes": 2, "time": 1}[axis]

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return the tags' logits ``(B, C)`` of embeddings ``(B, T, D)``; see the branch."""
        scores, attention = self.frames(x), self.attention(x)
        with torch.autocast(x.device.type, enabled=False):
            scores, attention = scores.float(), attention.float()
            if padding is not None and self.axis == 1:
                attention = attention.masked_fill(padding[:, :, None], EXCLUDED)
            weights = torch.log_softmax(attention, dim=self.axis)
            if padding is not None:
                weights = weights.masked_fill(padding[:, :, None], EXCLUDED)
            present = torch.logsumexp(weights - nn.functional.softplus(-scores), dim=1)
            absent = torch.logsumexp(weights - nn.functional.softplus(scores), dim=1)
            return present - absent


class TaggingBranch(nn.Module):
    """Embeddings beside what bidirectional GRUs make of them, a linear layer, attention pooling.

    Without recurrent layers, embeddings alone.

    Args:
        units: width of the embeddings.
        classes: number of classes.
        config: of both branches.
    """

    def __init__(self, units: int, classes: int, config: BranchesConfig) -> None:
        super().__init__()
        self.rnn = None
        if config.rnn_layers:
            self.rnn = BidirectionalGRU(units, config.rnn_units, config.rnn_layers)
            units += self.rnn.units
        self.linear = nn.Linear(units, config.tagging_units)
        self.pooling: FramePooling | AttentionPooling
        if config.pooling == "frames":
            self.pooling = FramePooling(config.tagging_units, classes, config.attention)
        else:
            self.pooling = AttentionPooling(config.tagging_units, classes)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return the tags' logits ``(B, C)`` of clips or windows of embeddings.

        Args:
            x: ``(B, T, D)``.
            padding: ``(B, T)`` bool, True for frames that take no part; None for none.
        """
        if self.rnn is not None:
            context = self.rnn(x, None if padding is None else ~padding)
            x = torch.cat([x, context], dim=2)
        pooled = self.pooling(self.linear(x), padding)
        tags: Tensor = pooled if isinstance(pooled, Tensor) else pooled.tags
        return tags


class DetectionBranch(nn.Module):
    """A linear layer that classes share, and a small head a class.

    Args:
        units: width of the embeddings.
        classes: number of classes.
        config: of both branches.
    """

    def __init__(self, units: int, classes: int, config: BranchesConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(units, config.detection_units)
        # The heads' hidden layers side by side, one matrix product for all.
        self.hidden = nn.Linear(config.detection_units, classes * config.head_units)
        bound = config.head_units**-0.5
        weights = torch.empty(classes, config.head_units).uniform_(-bound, bound)
        self.weights = nn.Parameter(weights)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``(B, T, C)`` of frames ``(B, T, D)``."""
        hidden = torch.relu(self.hidden(torch.relu(self.linear(x))))
        heads = hidden.view(*hidden.shape[:-1], *self.weights.shape)
        logits: Tensor = (heads * self.weights).sum(dim=-1) + self.bias
        return logits
