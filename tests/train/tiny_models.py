"""Models of every kind, small enough to export within seconds."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.train.test_causal_crnn import small_config
from train.frontend import DCASE2021, FrontEndConfig
from train.models.causal_crnn import CausalCRNN, StageConfig
from train.models.crnn2021 import CRNN2021, CRNN2021Config
from train.models.model import SoundEventModel
from train.models.registry import MODELS, build
from train.models.windowed_crnn import WindowedCRNN, WindowedCRNNConfig

CLASSES = ("a", "b", "c")


def windowed_config(**changes: object) -> WindowedCRNNConfig:
    values: dict[str, object] = {
        "classes": CLASSES,
        "front_end": FrontEndConfig(n_mels=32, n_fft=512),
        "stem_channels": 8,
        "stages": (StageConfig(8, pool_time=2), StageConfig(16)),
        "rnn_units": 16,
        "window_frames": 22,
        "latency_frames": 6,
    }
    return WindowedCRNNConfig(**{**values, **changes})  # type: ignore[arg-type]


def crnn2021_config(**changes: object) -> CRNN2021Config:
    values: dict[str, object] = {
        "classes": CLASSES,
        "front_end": replace(DCASE2021, n_fft=1024, n_mels=32),
        "filters": (8, 8, 8),
        "pooling": ((2, 4), (2, 4), (1, 2)),
        "rnn_units": 8,
        "window_frames": 20,
        "latency_frames": 6,
        "chunk_samples": 4096,
    }
    return CRNN2021Config(**{**values, **changes})  # type: ignore[arg-type]


def given_to(model: SoundEventModel, batch: int) -> dict[str, torch.Tensor]:
    """Return what a model takes beside features: ones, for every class."""
    return {name: torch.ones(batch, len(model.config.classes)) for name in model.takes}


def settle(model: SoundEventModel) -> SoundEventModel:
    """Give normalisation statistics of its own, and scores some spread; return for evaluation."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for _ in range(4):
            audio = torch.randn(4, 16 * 1024, generator=generator) * 0.1
            model.clip(model.front_end.features(model.mels(audio)), None, given_to(model, 4))
        for name, module in model.named_modules():
            if name.rpartition(".")[2] in ("head", "clip_head"):
                for parameter in module.parameters():
                    parameter.mul_(4.0)
    return model.eval()


def tiny_model(kind: str) -> SoundEventModel:
    """Return a settled model: ``causal``, ``gru``, ``attention`` or ``crnn2021``."""
    torch.manual_seed(12)
    if kind == "causal":
        return settle(CausalCRNN(small_config(latency_frames=3, clip_head=True)))
    if kind == "crnn2021":
        return settle(CRNN2021(crnn2021_config()))
    return settle(WindowedCRNN(windowed_config(context=kind)))


def example_model(kind: str) -> SoundEventModel:
    """Return a settled model of a registered kind, or ``attention``, a form of one of them."""
    torch.manual_seed(12)
    if kind == "attention":
        return settle(WindowedCRNN(windowed_config(context=kind)))
    return settle(build(MODELS.example(kind)(CLASSES)))


KINDS = ("causal", "gru", "attention", "crnn2021")
