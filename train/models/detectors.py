"""Models that hear one signal: from a configuration to a model, and from plain data to either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from train.models.causal_crnn import CausalCRNN, CausalCRNNConfig
from train.models.crnn2021 import CRNN2021, CRNN2021Config
from train.models.model import SoundEventModel
from train.models.windowed_crnn import WindowedCRNN, WindowedCRNNConfig

OLDEST_KIND = "causal_crnn"
"""What a configuration without a kind is of."""

DetectorConfig = CausalCRNNConfig | WindowedCRNNConfig | CRNN2021Config


def kind_of(config: object) -> Any:
    """Return the kind that a configuration or plain data says, for pydantic's choice."""
    if is_dataclass(config):
        return getattr(config, "kind", None)
    return config.get("kind", OLDEST_KIND) if isinstance(config, Mapping) else None


AnyDetectorConfig = Annotated[
    Annotated[CausalCRNNConfig, Tag("causal_crnn")]
    | Annotated[WindowedCRNNConfig, Tag("windowed_crnn")]
    | Annotated[CRNN2021Config, Tag("crnn2021")],
    Discriminator(kind_of),
]
"""A field of this type holds the configuration of any of them; plain data says its ``kind``."""


def build_detector(config: DetectorConfig) -> SoundEventModel:
    """Return a new model of random weights."""
    match config:
        case CausalCRNNConfig():
            return CausalCRNN(config)
        case WindowedCRNNConfig():
            return WindowedCRNN(config)
        case CRNN2021Config():
            return CRNN2021(config)
