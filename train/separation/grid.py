"""The experiments of the JSS paper: which separators, stages and selections, and their fusions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from streamsed.errors import ConfigError
from train.layering import Plain, laid_over, read_layers
from train.recipe.schema import Recipe, parse_recipe

Pretraining = Literal["FUSS", "DESED"]
TrainedStage = Literal["S1", "S2", "JT"]

BASELINE = "SED baseline"
STAGES = ("S0", "S1", "S2", "JT")
SELECTIONS: tuple[str, ...] = ("student", "teacher")


@dataclass(frozen=True)
class Grid:
    """What is trained, from recipes beside the grid's file.

    Attributes:
        title: of the page.
        about: what a reader should know of the figures.
        sed: recipe of the detector.
        separators: recipes by what separators learn from.
        stages: recipes of the stages that train; S0 trains nothing.
        fusions: weights of systems in a mean of scores, by the fusion's name; all by teacher
            selection.
        source_norm: of the joint models.
        detection: laid over the recipes of detection.
        separation: laid over the recipes of separation.
        file: that it was read from.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    title: str
    about: str
    sed: Path
    separators: dict[Pretraining, Path]
    stages: dict[TrainedStage, Path]
    fusions: dict[str, dict[str, float]] = field(default_factory=dict)
    source_norm: Literal["source", "mixture"] = "source"
    detection: Plain = field(default_factory=dict)
    separation: Plain = field(default_factory=dict)
    file: Path = Path()

    def __post_init__(self) -> None:
        systems = set(self.systems())
        for name, weights in self.fusions.items():
            if odd := sorted(weights.keys() - systems):
                raise ValueError(f"fusions: {name}: no system {odd[0]}")
            if not weights or min(weights.values()) <= 0.0:
                raise ValueError(f"fusions: {name}: weights must be positive")

    def systems(self) -> Iterator[str]:
        """Yield the names of all systems, in the order of the paper's Table 1."""
        yield BASELINE
        for separator in self.separators:
            yield from (f"{separator}-{stage}" for stage in STAGES)

    def detector(self) -> Recipe:
        """Return the recipe of the detector."""
        return self._detection(self.sed, name="sed")

    def stage(self, stage: TrainedStage) -> Recipe:
        """Return the recipe of a stage."""
        return self._detection(self.stages[stage], name=stage.lower())

    def separator(self, learned_from: Pretraining) -> Recipe:
        """Return the recipe of a separator."""
        path = self.file.parent / self.separators[learned_from]
        content = laid_over(read_layers(path), self.separation)
        name = f"separator-{learned_from.lower()}"
        return parse_recipe({**content, "name": name}, where=str(path))

    def _detection(self, recipe: Path, *, name: str) -> Recipe:
        path = self.file.parent / recipe
        content = laid_over(read_layers(path), self.detection)
        return parse_recipe({**content, "name": name}, where=str(path))


_GRID = TypeAdapter(Grid)


def load_grid(path: Path) -> Grid:
    """Read a grid and check its recipes.

    Raises:
        ConfigError: a file is missing, or something in it is wrong; the line names it.
    """
    try:
        grid = replace(_GRID.validate_python(read_layers(path)), file=path)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {key or 'grid'}: {first['msg']}") from error
    grid.detector()
    for stage in grid.stages:
        grid.stage(stage)
    for separator in grid.separators:
        grid.separator(separator)
    return grid
