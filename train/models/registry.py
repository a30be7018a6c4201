"""Which models there are: from a configuration to a model, and from plain data to either."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Tag, TypeAdapter

from train.models.causal_crnn import CausalCRNNConfig
from train.models.conv_tasnet import ConvTasNet
from train.models.crnn2021 import CRNN2021Config
from train.models.detectors import DetectorConfig, build_detector, kind_of
from train.models.jss import JSS, JSSConfig
from train.models.model import SoundEventModel
from train.models.windowed_crnn import WindowedCRNNConfig

ModelConfig = DetectorConfig | JSSConfig

AnyModelConfig = Annotated[
    Annotated[CausalCRNNConfig, Tag("causal_crnn")]
    | Annotated[WindowedCRNNConfig, Tag("windowed_crnn")]
    | Annotated[CRNN2021Config, Tag("crnn2021")]
    | Annotated[JSSConfig, Tag("jss")],
    Discriminator(kind_of),
]
"""A field of this type holds the configuration of any model; plain data says its ``kind``."""

_CONFIG: TypeAdapter[ModelConfig] = TypeAdapter(AnyModelConfig)


def parse_model_config(content: object) -> ModelConfig:
    """Return the configuration that plain data, as YAML or a checkpoint holds it, stands for.

    Raises:
        pydantic.ValidationError: an unknown kind, or a wrong value.
    """
    return _CONFIG.validate_python(content)


def build(config: ModelConfig) -> SoundEventModel:
    """Return a new model of random weights."""
    if isinstance(config, JSSConfig):
        return JSS(config, separator=ConvTasNet(config.separator), sed=build_detector(config.sed))
    return build_detector(config)
