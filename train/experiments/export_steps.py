"""Steps that export: checkpoints as a bundle that the daemon runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from streamsed.errors import ConfigError
from streamsed.yaml_document import Document
from train.assemble import assemble
from train.data.sets.scenes import ScenesConfig
from train.ensemble import read_ensemble
from train.experiments.artefact import Artefact
from train.experiments.step import Need, Place, Step
from train.held_out import HeldOut
from train.layering import Plain
from train.places import RecipeFile
from train.recipe.schema import Recipe, dump_recipe, load_recipe


@dataclass(frozen=True, kw_only=True)
class Export(Step):
    """A bundle of one or several checkpoints: fitted, checked, measured, with a card.

    Attributes:
        checkpoints: weights, positive, by the steps that made them.
        recipe: by name or file; its postprocessing names what is fitted on and reported.
        data: the data set of that; of a recipe of scenes, the bank.
        latency_s: look ahead at most so far; null as the models do.
        tag_threshold: gate every class by the mean of the members' tags; null for no tags.
        version: of the bundle.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    checkpoints: dict[str, Annotated[float, Field(gt=0.0)]]
    recipe: RecipeFile
    data: str = "data"
    latency_s: float | None = None
    tag_threshold: float | None = None
    version: str = "1"
    kind: Literal["export"] = "export"

    @cached_property
    def loaded(self) -> Recipe:
        """The recipe."""
        return load_recipe(self.recipe)

    def check(self, documents: Sequence[Document] = ()) -> None:
        """Read the recipe."""
        del documents  # what is wrong stands in a file of its own
        if not self.checkpoints:
            raise ConfigError("checkpoints is empty; a bundle is of one or more")
        assert self.loaded

    def needs(self) -> Mapping[str, Need]:
        """Return the checkpoints, and what they are measured on."""
        of_scenes = isinstance(self.loaded.data, ScenesConfig)
        needs = {f"checkpoint.{of}": Need("checkpoint", of) for of in self.checkpoints}
        return {**needs, "data": Need("bank" if of_scenes else "data", self.data)}

    def yields(self) -> Mapping[str, Artefact]:
        """Return the bundle."""
        return {"bundle": Artefact("bundle", Path("bundle"))}

    def identity(self) -> Plain:
        """Return the weights, whatever the names of what they weigh, and the recipe's content."""
        recipe = dump_recipe(self.loaded)
        for key in ("name", "machine"):
            recipe.pop(key)
        weights = list(self.checkpoints.values())
        return {**super().identity(), "checkpoints": weights, "recipe": recipe}

    def run(self, at: Place) -> bool:
        """Export them; a folder that a stopped export left is replaced."""
        paths = [at.needs[f"checkpoint.{of}"] for of in self.checkpoints]
        weights = list(self.checkpoints.values())
        ensemble = read_ensemble(paths, weights, tag_threshold=self.tag_threshold)
        if self.loaded.model.classes != ensemble.classes:
            raise ConfigError(f"{self.recipe}: has other classes than {paths[0]}")
        assemble(
            ensemble,
            HeldOut(self.loaded, at.needs["data"]),
            at.folder / "bundle",
            latency_s=self.latency_s,
            version=self.version,
        )
        return True
