"""What a step of a plan is: what it needs, what it yields, and what it does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter

from streamsed.yaml_document import Document
from train.experiments.artefact import Artefact, Kind
from train.layering import Plain


@dataclass(frozen=True)
class Need:
    """What a step is made of.

    Attributes:
        kind: of the artefact.
        of: ``STEP`` for the first or only thing that a step yields, ``STEP/NAME`` for another, or
            an input of the plan.
    """

    kind: Kind
    of: str


@dataclass(frozen=True)
class Machine:
    """What steps are computed with, instead of what recipes have; it changes no result's name.

    Attributes:
        recipes: laid over each recipe's ``machine``.
        cache: folder of what is the same for many runs, such as simulated rooms.
        features: folder of mel bands that trainings of a plan share.
        jobs: processes of a step that mixes scenes.
        until: monotonic time after which trainings stop, to be resumed.
    """

    recipes: Plain = field(default_factory=dict)
    cache: Path | None = None
    features: Path | None = None
    jobs: int = 1
    until: float | None = None


@dataclass(frozen=True)
class Place:
    """Where a step finds what it needs and leaves what it yields.

    Attributes:
        folder: its own; what a stopped step left is still there.
        needs: by the names that it gave them.
        machine: what it is computed with.
    """

    folder: Path
    needs: Mapping[str, Path]
    machine: Machine


class Step(ABC):
    """A step of a plan: a frozen dataclass with a field ``kind``.

    All kinds are registered in :mod:`train.experiments.kinds`. A step must yield the same from the
    same needs and the same :meth:`identity`, and go on where it was stopped, or begin anew, when it
    is run again in its folder.
    """

    kind: Any
    captions: ClassVar[tuple[str, ...]] = ()
    """Fields that name a step in tables, and change nothing that it makes."""

    @abstractmethod
    def needs(self) -> Mapping[str, Need]:
        """Return what it is made of, by names of its own."""

    @abstractmethod
    def yields(self) -> Mapping[str, Artefact]:
        """Return what it makes, paths relative to its folder; the first is what ``STEP`` means."""

    @abstractmethod
    def run(self, at: Place) -> bool:
        """Do it; return whether it is done, not stopped to be resumed.

        Raises:
            StreamsedError: it cannot be done.
        """

    def check(self, documents: Sequence[Document] = ()) -> None:
        """Refuse what cannot be done, before anything is.

        Args:
            documents: where the step's keys stand, for messages; the uppermost first.

        Raises:
            ConfigError: something that the step names is wrong.
        """
        del documents

    def identity(self) -> Plain:
        """Return what decides the result, besides the content of the needs."""
        plain: Plain = TypeAdapter(type(self)).dump_python(self, mode="json")
        without = {*self.captions, *self.needs()}
        return {key: value for key, value in plain.items() if key not in without}
