"""A run's folder: what it is a run of, its checkpoints, and the state that it goes on from.

::

    run.json                     the whole configuration, what differs from the defaults, the data
                                 and where it was
    history.jsonl, curves.png, tensorboard/
    best.pt                      the selected network at its best validation
    NAME.best.pt                 each network at its own best, such as student and teacher
    NAME.last.pt                 each network when the state was last saved
    state.pt                     everything needed to go on

All ``.pt`` but the state are checkpoints that rebuild their model (:mod:`train.checkpoint`). Every
file is replaced in one go, so that a kill at any moment leaves whole ones.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

import streamsed
from streamsed.errors import ConfigError
from train.checkpoint import save_model, save_tensors
from train.engine.stage import Sets
from train.layering import Plain, signature
from train.recipe.schema import Recipe, dump_recipe, identity, parse_recipe
from train.shipped import find_checkpoint
from train.writing import replacing

RUN = "run.json"
STATE = "state.pt"


def run_identity(recipe: Recipe, sets: Sets) -> Plain:
    """Return what makes a run this one: what differs from the defaults, and all that it needs.

    Raises:
        ConfigError: a file that the recipe names cannot be read.
    """
    whose: Plain = {"recipe": identity(recipe), "data": sets.fingerprint()}
    if recipe.init_from is not None:
        whose["recipe"]["init_from"] = _content("init_from", recipe.init_from)
    needs = {key: _content(f"stage.{key}", path) for key, path in recipe.stage.needs().items()}
    return {**whose, "needs": needs} if needs else whose


def _content(key: str, path: Path) -> str:
    """Return 16 hexadecimal digits of a file's content."""
    try:
        return hashlib.sha256(find_checkpoint(path).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise ConfigError(f"{key}: {path}: {error.strerror}") from error


def run_id(recipe: Recipe, sets: Sets) -> str:
    """Return the name of a run, the same wherever and with whatever machine it is computed."""
    return f"{recipe.name}-{signature(run_identity(recipe, sets))}"


@dataclass(frozen=True)
class RunRecord:
    """What a run's folder holds of it.

    Attributes:
        id: its name.
        recipe: what was learned.
        source: folder of the data set or bank that it was learned from.
        clips: number of clips by set.
    """

    id: str
    recipe: Recipe
    source: Path
    clips: Mapping[str, int]


def read_run(folder: Path) -> RunRecord | None:
    """Return what a folder is a run of; None if it is no run's.

    Raises:
        ConfigError: it cannot be used.
    """
    file = folder / RUN
    if not file.exists():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        recipe = parse_recipe(record["recipe"], where=str(file))
        return RunRecord(record["id"], recipe, Path(record["from"]), record["clips"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"{file}: does not describe a run ({error!r})") from error


class RunFolder:
    """Files of a run below ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self, recipe: Recipe, sets: Sets, *, data: Path) -> None:
        """Make the folder this run's.

        Args:
            recipe: what is learned.
            sets: of what.
            data: where that is, for an export to find it again.

        Raises:
            ConfigError: it is another's.
            DataError: it cannot be written.
        """
        whose = run_identity(recipe, sets)
        file = self.path / RUN
        if file.exists() and json.loads(file.read_text(encoding="utf-8"))["identity"] != whose:
            raise ConfigError(
                f"{self.path}: holds a run of another recipe or of other data; choose another -o"
            )
        described = {
            "id": run_id(recipe, sets),
            "identity": whose,
            "recipe": dump_recipe(recipe),
            "from": str(data.resolve()),
            "clips": sets.counts(),
            "versions": {
                "streamsed": streamsed.__version__,
                "torch": torch.__version__,
                "lightning": lightning.__version__,
            },
        }
        with replacing(self.path / RUN) as part:
            part.write_text(json.dumps(described, indent=1), encoding="utf-8")

    def save_network(self, name: str, model: nn.Module, *, step: int) -> None:
        """Write a checkpoint such as ``best.pt``."""
        save_model(self.path / name, model, step=step)

    def save_state(self, state: dict[str, Any]) -> None:
        """Write the state to go on from."""
        save_tensors(self.path / STATE, state)

    def load_state(self, device: torch.device) -> dict[str, Any] | None:
        """Read the state to go on from; None in a new run.

        Raises:
            ConfigError: the file cannot be read.
        """
        file = self.path / STATE
        if not file.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"{file}: cannot be read ({reason}); remove the folder") from error
        return state
