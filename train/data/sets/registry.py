"""Which kinds of data a run can learn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from streamsed.registry import Registry
from train.engine.stage import Sets

if TYPE_CHECKING:
    from train.recipe.schema import Recipe


class DataConfig(Protocol):
    """What all kinds have.

    Attributes:
        kind: names the kind.
        duration_s: clips are padded with silence or cropped at random to this.
        yields: what batches are of; a stage takes one or the other.
        steps_per_epoch: batches between validations; None where the data has an end of its own.
    """

    yields: ClassVar[Literal["clips", "mixtures", "crops"]]

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def duration_s(self) -> float: ...  # noqa: D102
    @property
    def steps_per_epoch(self) -> int | None: ...  # noqa: D102


DATA: Registry[Callable[[Path, Recipe], Sets]] = Registry(
    "data", package="train.data.sets", default="desed"
)
"""Functions that read what a recipe learns from below a folder, by kind of data."""
