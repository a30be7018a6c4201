"""Checkpoints that rebuild themselves: configuration and weights in one file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from streamsed.errors import ConfigError
from train.layering import laid_over
from train.models.conv_tasnet import ConvTasNet
from train.models.model import SoundEventModel
from train.models.registry import build_network, parse_network_config
from train.shipped import find_checkpoint
from train.writing import replacing


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and the step at which it was saved."""

    model: SoundEventModel
    step: int


def save_model(path: Path, model: nn.Module, *, step: int) -> None:
    """Write a checkpoint from which a network of any registered kind can be rebuilt."""
    config = asdict(model.config)  # type: ignore[call-overload]  # all are dataclasses
    save_tensors(path, {"config": config, "step": step, "state": model.state_dict()})


def save_tensors(path: Path, content: Mapping[str, object]) -> None:
    """Write tensors and plain data in one go.

    Raises:
        DiskFull: there is no space left; what was there before is whole.
        DataError: the file cannot be written for another reason.
    """
    whole = io.BytesIO()  # writing to a file itself, torch gives no reason when it fails
    torch.save(dict(content), whole)
    with replacing(path) as part:
        part.write_bytes(whole.getbuffer())


def load_network(path: Path, *, changes: Mapping[str, Any] | None = None) -> tuple[nn.Module, int]:
    """Rebuild a network, in evaluation mode, on the CPU; return it and the step it was saved at.

    Args:
        path: of the checkpoint.
        changes: laid over the network's configuration; what has weights must stay as it is.

    Raises:
        ConfigError: the file is missing or is no checkpoint of this package, or the changes do not
            fit it.
    """
    try:
        saved = torch.load(find_checkpoint(path), map_location="cpu", weights_only=True)
        config = saved["config"] if not changes else laid_over(saved["config"], changes)
        network = build_network(parse_network_config(config))
        network.load_state_dict(saved["state"])
        return network.eval(), int(saved["step"])
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such checkpoint") from error
    except (OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError) as error:
        problem = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            problem = (
                f"{first['msg']}: {first['input']}" if first["type"] == "kind" else first["msg"]
            )
        reason = problem.splitlines()[0] if problem else type(error).__name__
        under = f" under {dict(changes)}" if changes else ""
        raise ConfigError(
            f"{path}: is no checkpoint of a streamsed model{under} ({reason})"
        ) from error


def load_model(path: Path, *, changes: Mapping[str, Any] | None = None) -> Checkpoint:
    """Rebuild a model that detects events, in evaluation mode, on the CPU.

    Args:
        path: of the checkpoint.
        changes: laid over the model's configuration; what has weights must stay as it is.

    Raises:
        ConfigError: the file is missing or is no checkpoint of such a model, or the changes do not
            fit it.
    """
    network, step = load_network(path, changes=changes)
    if not isinstance(network, SoundEventModel):
        raise ConfigError(f"{path}: is a {_kind(network)}, which detects no events")
    return Checkpoint(network, step)


def load_separator(path: Path) -> ConvTasNet:
    """Rebuild a separator, in evaluation mode, on the CPU.

    Raises:
        ConfigError: the file is missing or is no checkpoint of a separator.
    """
    network, _ = load_network(path)
    if not isinstance(network, ConvTasNet):
        raise ConfigError(f"{path}: is a {_kind(network)}, no separator")
    return network


def _kind(network: nn.Module) -> str:
    return str(getattr(network.config, "kind", type(network).__name__))
