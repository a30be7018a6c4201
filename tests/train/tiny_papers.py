"""Networks of the metric-learning paper, small enough to export within seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import torch

from train.models.conv_encoder import ConvModel
from train.models.fbcrnn import FBCRNNConfig
from train.models.mlfl import MLFLConfig
from train.models.registry import MODELS
from train.models.tag_cnn import TagCNNConfig

Model = TypeVar("Model", bound=ConvModel)

CLASSES = ("a", "b", "c")


def mlfl_config(**changes: Any) -> MLFLConfig:
    config: MLFLConfig = MODELS.example("mlfl")(CLASSES)
    return replace(config, **{"detection": "surface", **changes})


def fbcrnn_config(**changes: Any) -> FBCRNNConfig:
    config: FBCRNNConfig = MODELS.example("fbcrnn")(CLASSES)
    return replace(config, **changes)


def tag_cnn_config(**changes: Any) -> TagCNNConfig:
    config: TagCNNConfig = MODELS.example("tag_cnn")(CLASSES)
    return replace(config, **changes)


@torch.no_grad()
def settled(model: Model) -> Model:
    """Give normalisation statistics of its own, and scores some spread; return for evaluation."""
    generator = torch.Generator().manual_seed(11)
    for name, parameter in model.named_parameters():
        if name.endswith("kernels"):
            parameter.normal_(generator=generator)
    model.train()
    for _ in range(4):
        audio = torch.randn(4, 16 * 1024, generator=generator) * 0.1
        model.clip(model.front_end.features(model.mels(audio)))
    for name, parameter in model.named_parameters():
        if name.split(".")[-2] in ("output", "branch", "classifier"):
            parameter.mul_(4.0)
    return model.eval()
