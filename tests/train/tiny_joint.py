"""Joint models small enough to export within seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from tests.train.test_conv_tasnet import small, small_config
from tests.train.tiny_models import tiny_model
from train.models.conv_tasnet import ConvTasNetConfig
from train.models.jss import JSS, JSSConfig


def joint_model(
    sed: str = "causal", norm: Literal["global", "cumulative", "channel"] = "cumulative"
) -> JSS:
    """Return a settled joint model of a kind of :mod:`tests.train.tiny_models`."""
    detector = tiny_model(sed)
    separator = small(norm=norm, memory_s=2.0, sources=3, blocks=2)
    config = JSSConfig(
        sed=detector.config,  # type: ignore[arg-type]
        separator=separator.config,
        window_frames=20,
    )
    return JSS(config, separator=separator, sed=detector).eval()


class Copies(nn.Module):
    """A separator whose sources are all the mixture, or the mixture and others."""

    def __init__(self, others: Tensor | None = None) -> None:
        super().__init__()
        self.others = others
        count = 3 if others is None else 1 + others.shape[1]
        self.config: ConvTasNetConfig = replace(small_config(), sources=count, norm="global")

    def forward(self, mixture: Tensor) -> Tensor:
        if self.others is None:
            return mixture[:, None].repeat(1, 3, 1)
        return torch.cat([mixture[:, None], self.others], dim=1)
