"""A run's folder: what it is a run of, its checkpoints, and the state that it goes on from.

::

    run.json                     the whole configuration, what differs from the defaults, the data
                                 and where it was
    history.jsonl, curves.png, tensorboard/
    best.pt                      the selected network at its best validation
    student.best.pt, teacher.best.pt     each network at its own best
    student.last.pt, teacher.last.pt     each network when the state was last saved
    state.pt                     everything needed to go on

All ``.pt`` but the state are checkpoints that rebuild their model (:mod:`train.checkpoint`). Every
file is replaced in one go, so that a kill at any moment leaves whole ones.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import lightning
import torch

import streamsed
from streamsed.errors import ConfigError
from train.checkpoint import save_model
from train.layering import Plain, signature
from train.learning.recipe import (
    LearningRecipe,
    NamedRecipe,
    dump_recipe,
    identity,
    parse_recipe,
)
from train.models.conv_tasnet import ConvTasNet
from train.models.model import SoundEventModel

RUN = "run.json"
STATE = "state.pt"


class LearnedFrom(Protocol):
    """What a run learns from."""

    def counts(self) -> Mapping[str, int]:
        """Return the number of clips by set."""
        ...

    def fingerprint(self) -> str:
        """Return what tells these clips from others."""
        ...


def run_identity(recipe: NamedRecipe, sets: LearnedFrom) -> Plain:
    """Return what makes a run this one: its recipe's delta, and what it is trained on."""
    whose: Plain = {"recipe": identity(recipe), "data": sets.fingerprint()}
    if recipe.init_from is not None:
        try:
            weights = recipe.init_from.read_bytes()
        except OSError as error:
            raise ConfigError(f"init_from: {recipe.init_from}: {error.strerror}") from error
        whose["recipe"]["init_from"] = hashlib.sha256(weights).hexdigest()[:16]
    return whose


def run_id(recipe: NamedRecipe, sets: LearnedFrom) -> str:
    """Return the name of a run, the same wherever and with whatever machine it is computed."""
    return f"{recipe.name}-{signature(run_identity(recipe, sets))}"


@dataclass(frozen=True)
class RunRecord:
    """What a run's folder says of it.

    Attributes:
        id: its name.
        recipe: what was learned.
        source: folder of the data set or bank that it was learned from.
        clips: number of clips by set.
    """

    id: str
    recipe: LearningRecipe
    source: Path
    clips: Mapping[str, int]


def read_run(folder: Path) -> RunRecord | None:
    """Return what a folder says that it is a run of; None if it is no run's.

    Raises:
        ConfigError: it cannot be used.
    """
    file = folder / RUN
    if not file.exists():
        return None
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        recipe = parse_recipe(said["recipe"], where=str(file))
        return RunRecord(said["id"], recipe, Path(said["from"]), said["clips"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"{file}: does not describe a run ({error!r})") from error


class RunFolder:
    """Files of a run below ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self, recipe: NamedRecipe, sets: LearnedFrom, *, data: Path) -> None:
        """Make the folder this run's.

        Args:
            recipe: what is learned.
            sets: of what.
            data: where that is, for an export to find it again.

        Raises:
            ConfigError: it is another's, or cannot be written.
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
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            text = json.dumps(described, indent=1)
            self._replace(RUN, lambda part: part.write_text(text, encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {error.strerror}") from error

    def save_network(self, name: str, model: SoundEventModel | ConvTasNet, *, step: int) -> None:
        """Write a checkpoint such as ``best.pt``."""
        self._replace(name, lambda part: save_model(part, model, step=step))

    def save_state(self, state: dict[str, Any]) -> None:
        """Write the state to go on from."""
        self._replace(STATE, lambda part: torch.save(state, part))

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

    def _replace(self, name: str, write: Callable[[Path], object]) -> None:
        part = self.path / f"{name}.part"
        write(part)
        part.replace(self.path / name)
