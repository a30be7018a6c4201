"""Steps that make models: training of a recipe, and a separator put before a detector."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from streamsed.yaml_document import Document
from train.data.sets.scenes import ScenesConfig
from train.engine.fitting import fit_recipe
from train.experiments.artefact import Artefact
from train.experiments.step import Need, Place, Step
from train.joining import Joint, begun_with, join
from train.layering import Layers, Plain, part, read_layered
from train.places import RecipeFile
from train.recipe.schema import Recipe, checked_recipe, identity
from train.shipped import find_checkpoint


@dataclass(frozen=True, kw_only=True)
class Fit(Step):
    """The training of a recipe; it yields the best checkpoint of each network, and ``best``.

    Attributes:
        recipe: by name or file.
        changes: laid over the recipe.
        seed: instead of the recipe's.
        data: the data set that is learned from; of a recipe of scenes, the bank.
        init_from: checkpoint that is begun with, instead of the recipe's. Of a joint model its
            sizes are taken, too.
        labels: tables that other steps made, by the recipe's key that names the file, such as
            ``data.labels.pseudo_strong.table``.
        checkpoints: that other steps made and that are not begun with, such as a teacher's, in the
            same way.
        keep_features: whether mel bands are computed once, for all trainings of the plan.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    recipe: RecipeFile
    changes: Plain = field(default_factory=dict)
    seed: int | None = None
    data: str = "data"
    init_from: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    checkpoints: dict[str, str] = field(default_factory=dict)
    keep_features: bool = False
    kind: Literal["fit"] = "fit"

    @cached_property
    def loaded(self) -> Recipe:
        """The recipe, complete but for what other steps yield."""
        return self._checked(self._unknown())

    def _unknown(self) -> dict[str, Path]:
        """Return something for what other steps are yet to make."""
        return {key: Path(key) for key in (*self.labels, *self.checkpoints)}

    def check(self, documents: Sequence[Document] = ()) -> None:
        """Read the recipe, and what is laid over it."""
        above = [part(document, ("changes",)) for document in documents]
        # Kept as the property would keep it, which knows no lines.
        self.__dict__["loaded"] = self._checked(self._unknown(), above)

    def needs(self) -> Mapping[str, Need]:
        """Return the data, and what is begun with and learned from besides."""
        of_scenes = isinstance(self.loaded.data, ScenesConfig)
        needs = {"data": Need("bank" if of_scenes else "data", self.data)}
        if self.init_from is not None:
            needs["init_from"] = Need("checkpoint", self.init_from)
        needs |= {key: Need("labels", of) for key, of in self.labels.items()}
        return needs | {key: Need("checkpoint", of) for key, of in self.checkpoints.items()}

    def yields(self) -> Mapping[str, Artefact]:
        """Return the checkpoints; ``best`` is that of the network that the recipe selects."""
        names = self.loaded.stage.network_names()
        files = {"best": "best.pt", **{name: f"{name}.best.pt" for name in names}}
        return {name: Artefact("checkpoint", Path(file)) for name, file in files.items()}

    def identity(self) -> Plain:
        """Return the content of the recipe, wherever it stands."""
        plain = identity(self.loaded)
        plain.pop("name")
        if self.loaded.init_from is not None:
            weights = find_checkpoint(self.loaded.init_from).read_bytes()
            plain["init_from"] = hashlib.sha256(weights).hexdigest()[:16]
        for key, path in self.loaded.stage.needs().items():
            if f"stage.{key}" not in self.checkpoints and path.is_file():
                plain["stage"][key] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        return plain

    def run(self, at: Place) -> bool:
        """Train, or go on; return whether it is done."""
        recipe = self._checked({key: at.needs[key] for key in self._unknown()})
        if self.init_from is not None:
            recipe = begun_with(recipe, at.needs["init_from"])
        machine: dict[str, Any] = dict(at.machine.recipes)
        if self.keep_features:
            machine["cache"] = at.machine.features
        recipe = replace(recipe, machine=replace(recipe.machine, **machine))
        data = at.needs["data"]
        return fit_recipe(recipe, data=data, folder=at.folder, until=at.machine.until)[1]

    def _checked(self, made: Mapping[str, Path], above: Sequence[Document] = ()) -> Recipe:
        layers: Layers = read_layered(self.recipe).under(self.changes, above)
        if self.seed is not None:
            layers = layers.under({"seed": self.seed})
        for key, path in made.items():
            content: Any = str(path)
            for name in reversed(key.split(".")):
                content = {name: content}
            layers = layers.under(content)
        return checked_recipe(layers)


@dataclass(frozen=True, kw_only=True)
class Join(Step):
    """A separator put before a detector, without any training.

    Attributes:
        separator: checkpoint.
        detector: checkpoint.
        source_norm: by whose extremes a front end that scales each clip scales a source.
        into: kind of the joint model.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    separator: str
    detector: str
    source_norm: Literal["source", "mixture"] = "source"
    into: Joint = "jss"
    kind: Literal["join"] = "join"

    def needs(self) -> Mapping[str, Need]:
        """Return both checkpoints."""
        return {name: Need("checkpoint", getattr(self, name)) for name in ("separator", "detector")}

    def yields(self) -> Mapping[str, Artefact]:
        """Return the joint model."""
        return {"joint": Artefact("checkpoint", Path("joint.pt"))}

    def run(self, at: Place) -> bool:
        """Join them."""
        join(
            at.needs["separator"],
            at.needs["detector"],
            at.folder / "joint.pt",
            source_norm=self.source_norm,
            into=self.into,
        )
        return True
