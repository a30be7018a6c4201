"""Which models there are: from a configuration to a model, and from plain data to either."""

from __future__ import annotations

from dataclasses import Field
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import TypeAdapter
from torch import nn

from streamsed.registry import Registry, Some
from train.models.model import ModelConfig, SoundEventModel


class NetworkConfig(Protocol):
    """A dataclass from which a network can be built."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def kind(self) -> str: ...  # noqa: D102


MODELS: Registry[type[nn.Module]] = Registry("model", package="train.models", default="causal_crnn")
"""Networks of all kinds, by the class that a configuration is given to.

An example is given class names and returns a small configuration.
"""

AnyNetworkConfig = Annotated[NetworkConfig, MODELS]
"""A field of this type holds the configuration of any network; plain data names its ``kind``."""

AnyModelConfig = Annotated[ModelConfig, Some(MODELS, lambda: SoundEventModel)]
"""The same of networks that detect events."""

AnyDetectorConfig = Annotated[
    ModelConfig, Some(MODELS, lambda: SoundEventModel, but=("jss", "ssep_sed"))
]
"""The same, but for joint models."""


def parse_network_config(content: object) -> NetworkConfig:
    """Return the configuration that plain data, as YAML or a checkpoint holds it, stands for.

    Raises:
        pydantic.ValidationError: an unknown kind, or a wrong value.
    """
    config: NetworkConfig = TypeAdapter(AnyNetworkConfig).validate_python(content)
    return config


def build_network(config: NetworkConfig) -> nn.Module:
    """Return a new network of random weights."""
    return MODELS.maker(config.kind)(config)


def build(config: ModelConfig) -> SoundEventModel:
    """Return a new model of random weights.

    Raises:
        TypeError: a network of this kind detects no events.
    """
    model = MODELS.maker(config.kind)(config)
    if not isinstance(model, SoundEventModel):
        raise TypeError(f"a {config.kind} detects no events")
    return model
