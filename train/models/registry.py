"""Which models there are: from a configuration to a model, and from plain data to either."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Tag, TypeAdapter

from train.models.conv_tasnet import ConvTasNet
from train.models.detectors import AnyDetectorConfig, DetectorConfig, build_detector, kind_of
from train.models.jss import JSS, JSSConfig
from train.models.model import SoundEventModel

ModelConfig = DetectorConfig | JSSConfig


def _is_joint(config: object) -> str:
    return "jss" if kind_of(config) == "jss" else "detector"


AnyModelConfig = Annotated[
    Annotated[AnyDetectorConfig, Tag("detector")] | Annotated[JSSConfig, Tag("jss")],
    Discriminator(_is_joint),
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
