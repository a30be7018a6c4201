"""Named sizes of every model.

What each holds and costs stands in ``benchmarks/models.py``'s output, not here: it depends on the
machine. All score frames of 64 ms and, but for ``crnn2021``, step by 256 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from train.frontend import FrontEndConfig
from train.models.causal_crnn import CausalCRNNConfig, StageConfig
from train.models.conv_tasnet import ConvTasNetConfig
from train.models.crnn2021 import CRNN2021Config
from train.models.jss import JSSConfig
from train.models.model import ModelConfig
from train.models.ssep_sed import SSepSEDConfig
from train.models.windowed_crnn import WindowedCRNNConfig

SMALL_SEPARATOR = ConvTasNetConfig(
    filters=128,
    kernel_samples=64,
    stride_samples=32,
    bottleneck=64,
    hidden=128,
    skip=64,
    blocks=6,
    norm="cumulative",
    consistent=True,
)
"""Causal, in frames of 2 ms where the published one has 0.5 ms, and a twentieth of its
multiplications: what many streams can afford, and what two CPU cores can train."""


def _causal_small(classes: tuple[str, ...]) -> CausalCRNNConfig:
    return CausalCRNNConfig(
        classes,
        front_end=FrontEndConfig(n_mels=64),
        stem_channels=32,
        stem_stride=(4, 2),
        stages=(
            StageConfig(48),
            StageConfig(64, blocks=2),
            StageConfig(96, blocks=2),
            StageConfig(128, pool_bands=1),
        ),
        rnn_units=128,
        rnn_layers=1,
    )


def _causal_base(classes: tuple[str, ...]) -> CausalCRNNConfig:
    return CausalCRNNConfig(
        classes,
        front_end=FrontEndConfig(n_mels=96),
        stem_channels=48,
        stem_stride=(4, 3),
        stages=(
            StageConfig(64),
            StageConfig(96, blocks=2),
            StageConfig(128, blocks=2),
            StageConfig(192, blocks=2, pool_bands=1),
        ),
        rnn_units=256,
        rnn_layers=1,
    )


def _causal_large(classes: tuple[str, ...]) -> CausalCRNNConfig:
    return CausalCRNNConfig(
        classes,
        front_end=FrontEndConfig(n_fft=2048, n_mels=128),
        stem_channels=64,
        stem_stride=(2, 2),
        stages=(
            StageConfig(96, blocks=2, pool_time=2),
            StageConfig(160, blocks=2),
            StageConfig(224, blocks=3),
            StageConfig(320, blocks=3),
        ),
        rnn_units=384,
        rnn_layers=2,
    )


def _windowed(
    size: Callable[[tuple[str, ...]], CausalCRNNConfig], units: int, layers: int
) -> Callable[[tuple[str, ...]], WindowedCRNNConfig]:
    """Put a context network over a window behind the encoder of a causal model."""

    def build(classes: tuple[str, ...]) -> WindowedCRNNConfig:
        causal = size(classes)
        return WindowedCRNNConfig(
            classes,
            front_end=causal.front_end,
            stem_channels=causal.stem_channels,
            stem_stride=causal.stem_stride,
            stages=causal.stages,
            rnn_units=units,
            rnn_layers=layers,
        )

    return build


_PRESETS: dict[str, Callable[[tuple[str, ...]], ModelConfig]] = {
    "causal-small": _causal_small,
    "causal-base": _causal_base,
    "causal-large": _causal_large,
    "windowed-small": _windowed(_causal_small, 64, 1),
    "windowed-base": _windowed(_causal_base, 128, 2),
    "windowed-large": _windowed(_causal_large, 256, 2),
    "attention-base": lambda classes: replace(
        _windowed(_causal_base, 192, 3)(classes), context="attention"
    ),
    "crnn2021": CRNN2021Config,
    "joint-small": lambda classes: JSSConfig(_causal_small(classes), separator=SMALL_SEPARATOR),
    "joint-base": lambda classes: JSSConfig(_causal_base(classes), separator=SMALL_SEPARATOR),
    "joint-2022": lambda classes: JSSConfig(CRNN2021Config(classes)),
    "ssep-sed-2021": lambda classes: SSepSEDConfig(CRNN2021Config(classes)),
}

PRESETS = tuple(_PRESETS)
"""Their names. ``causal``: unidirectional, with a look-ahead that is trained in. ``windowed``: a
bidirectional GRU over the last 10 s. ``attention``: self-attention over the same. ``joint``: behind
a separator that streams, but for the published ``joint-2022`` and ``ssep-sed-2021``."""


def preset(name: str, classes: Sequence[str]) -> ModelConfig:
    """Return a named configuration; change it with :func:`dataclasses.replace`.

    Raises:
        KeyError: there is none of this name.
    """
    return _PRESETS[name](tuple(classes))
