"""Checkpoints that rebuild themselves: configuration and weights in one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from streamsed.errors import ConfigError
from train.models.conv_tasnet import ConvTasNet, ConvTasNetConfig
from train.models.model import SoundEventModel
from train.models.registry import build, parse_model_config
from train.shipped import find_checkpoint

Network = TypeVar("Network", bound=nn.Module)

_SEPARATOR = TypeAdapter(ConvTasNetConfig)


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and the step at which it was saved."""

    model: SoundEventModel
    step: int


def save_model(path: Path, model: SoundEventModel | ConvTasNet, *, step: int) -> None:
    """Write a checkpoint from which the model can be rebuilt, whatever its kind."""
    config = asdict(model.config)  # type: ignore[arg-type]  # all configurations are dataclasses
    torch.save({"config": config, "step": step, "state": model.state_dict()}, path)


def load_model(path: Path) -> Checkpoint:
    """Rebuild a model, in evaluation mode, on the CPU.

    Raises:
        ConfigError: the file is missing or is no checkpoint of this package.
    """
    model, step = _rebuilt(path, lambda config: build(parse_model_config(config)))
    return Checkpoint(model, step)


def load_separator(path: Path) -> ConvTasNet:
    """Rebuild a separator, in evaluation mode, on the CPU.

    Raises:
        ConfigError: the file is missing or is no checkpoint of a separator.
    """
    return _rebuilt(path, lambda config: ConvTasNet(_SEPARATOR.validate_python(config)))[0]


def _rebuilt(path: Path, make: Callable[[object], Network]) -> tuple[Network, int]:
    try:
        saved = torch.load(find_checkpoint(path), map_location="cpu", weights_only=True)
        network = make(saved["config"])
        network.load_state_dict(saved["state"])
        return network.eval(), int(saved["step"])
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such checkpoint") from error
    except (OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        reason = problem.splitlines()[0] if problem else type(error).__name__
        raise ConfigError(f"{path}: is no checkpoint of a streamsed model ({reason})") from error
