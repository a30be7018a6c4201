"""Checkpoints that rebuild themselves: configuration and weights in one file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from streamsed.errors import ConfigError
from train.models.causal_crnn import CausalCRNN, CausalCRNNConfig


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and the step at which it was saved."""

    model: CausalCRNN
    step: int


def save_model(path: Path, model: CausalCRNN, *, step: int) -> None:
    """Write a checkpoint from which :func:`load_model` rebuilds the model."""
    torch.save({"config": asdict(model.config), "step": step, "state": model.state_dict()}, path)


def load_model(path: Path) -> Checkpoint:
    """Rebuild a model, in evaluation mode, on the CPU.

    Raises:
        ConfigError: the file is missing or is no checkpoint of this package.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        config = TypeAdapter(CausalCRNNConfig).validate_python(saved["config"])
        model = CausalCRNN(config)
        model.load_state_dict(saved["state"])
        return Checkpoint(model.eval(), int(saved["step"]))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such checkpoint") from error
    except (KeyError, TypeError, ValidationError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path}: is no checkpoint of a streamsed model ({reason})") from error
