"""What is written of a plan's results: a page of Markdown with tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsed.validation_messages import Location
from train.data.desed import Part, read_desed
from train.experiments.score_steps import Scored, Scoring, read_scored
from train.experiments.step import Step

PARTS: tuple[Part, ...] = ("strong", "weak", "unlabelled", "strong_validation", "validation")


@dataclass(frozen=True)
class Results:
    """What a plan has yielded so far.

    Attributes:
        title: of the page.
        about: what a reader should know.
        name: by which the plan is found again.
        steps: all of them, by name.
        folders: of the steps that are done.
        paths: of artefacts by reference, and of the inputs that were given.
        pictures: folder of the page's pictures, as the page links to them.
    """

    title: str
    about: str
    name: str
    steps: Mapping[str, Step]
    folders: Mapping[str, Path]
    paths: Mapping[str, Path]
    pictures: str = ""

    def scored(self) -> Iterator[tuple[str, Scoring, Scored | None]]:
        """Yield the steps that score and have a title, and what they found, once it is done."""
        for name, step in self.steps.items():
            if isinstance(step, Scoring) and step.title is not None:
                folder = self.folders.get(name)
                yield name, step, None if folder is None else read_scored(folder)

    def counts(self) -> dict[Part, int]:
        """Return the number of clips of each part of the data set.

        Raises:
            DataError: a part is missing or wrong.
        """
        return {part: len(read_desed(self.paths["data"], part)) for part in PARTS}


class Page(ABC):
    """What a plan's results look like: a frozen dataclass with a field ``kind``.

    All kinds are registered in :mod:`train.experiments.kinds`.
    """

    kind: Any

    def mistakes(self, steps: Mapping[str, Step]) -> Iterator[tuple[Location, str]]:
        """Yield what the page needs of steps that are not there: by which key, and the problem."""
        del steps
        yield from ()

    @abstractmethod
    def text(self, results: Results) -> str:
        """Return the page as Markdown; what is not done has a dash."""

    def draw(self, results: Results, folder: Path) -> None:  # noqa: B027 - may be nothing
        """Write the pictures that the page links to into a folder."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
