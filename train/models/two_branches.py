"""The branches of paper (d)'s networks: tags of a clip, and events in it, from the same embeddings.

See :mod:`train.losses.focal` for the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.models.attention_pooling import AttentionPooling, Pooled
from train.models.context import BidirectionalGRU


@dataclass(frozen=True)
class BranchesConfig:
    """Widths of both branches, which the paper does not give.

    Attributes:
        rnn_units: of each direction of the tagging branch's recurrent layers.
        rnn_layers: of them; two in the paper.
        tagging_units: of the linear layer before attention pooling.
        detection_units: of the detection branch's linear layer.
        head_units: of each class's own head.
    """

    rnn_units: int = 128
    rnn_layers: int = 2
    tagging_units: int = 128
    detection_units: int = 128
    head_units: int = 16

    def __post_init__(self) -> None:
        sizes = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if min(sizes.values()) < 1:
            named = ", ".join(f"{name} {value}" for name, value in sizes.items())
            raise ValueError(f"{named}; all must be 1 or more")


class TaggingBranch(nn.Module):
    """Embeddings beside what bidirectional GRUs make of them, a linear layer, attention pooling.

    Args:
        units: width of the embeddings.
        classes: number of classes.
        config: of both branches.
    """

    def __init__(self, units: int, classes: int, config: BranchesConfig) -> None:
        super().__init__()
        self.rnn = BidirectionalGRU(units, config.rnn_units, config.rnn_layers)
        self.linear = nn.Linear(units + self.rnn.units, config.tagging_units)
        self.pooling = AttentionPooling(config.tagging_units, classes)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Pooled:
        """Return the tags of clips or windows of embeddings.

        Args:
            x: ``(B, T, D)``.
            padding: ``(B, T)`` bool, True for frames that take no part; None for none.
        """
        context = self.rnn(x, None if padding is None else ~padding)
        pooled: Pooled = self.pooling(self.linear(torch.cat([x, context], dim=2)), padding)
        return pooled


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
