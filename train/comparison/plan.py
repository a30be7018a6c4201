"""What is compared: rows of recipes, on one footing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from streamsed.errors import ConfigError
from train.data.bank import Bank
from train.data.desed import Part
from train.data.soundscape_config import load_soundscapes
from train.data.soundscape_set import SoundscapeSet
from train.layering import Plain, laid_over, read_layers
from train.recipe.schema import Recipe, parse_recipe


@dataclass(frozen=True)
class Row:
    """A recipe that is trained from one or several seeds.

    Attributes:
        title: for the table.
        recipe: file of the recipe, beside the comparison's.
        changes: laid over the recipe and the comparison's ``common``.
        seeds: one run each.
        look_ahead_frames: the network is scored as a stream with each of these look-aheads.
        whole_clips: whether it is scored on whole clips too; without any look-ahead it is.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    title: str
    recipe: Path
    changes: Plain = field(default_factory=dict)
    seeds: tuple[int, ...] = (1,)
    look_ahead_frames: tuple[int, ...] = ()
    whole_clips: bool = False

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)}; must be one or more, all different")

    @property
    def hearings(self) -> tuple[int | None, ...]:
        """How the network is scored: with these look-aheads in frames; None is whole clips."""
        whole = self.whole_clips or not self.look_ahead_frames
        return (*([None] if whole else []), *self.look_ahead_frames)


@dataclass(frozen=True)
class MixedData:
    """A data set in DESED's shape that is mixed from a bank for a comparison.

    Attributes:
        scenes: file that says what they are like, beside the comparison's.
        clips: how many of each part.
        seed: of the scenes.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    scenes: Path
    clips: dict[Part, int]
    seed: int = 1

    @property
    def count(self) -> int:
        """Of all clips."""
        return sum(self.clips.values())


@dataclass(frozen=True)
class Run:
    """One training of a comparison.

    Attributes:
        row: its row's name.
        recipe: complete, seed included.
    """

    row: str
    recipe: Recipe

    @property
    def name(self) -> str:
        """Of the run's folder."""
        return f"{self.row}-{self.recipe.seed}"


@dataclass(frozen=True)
class Comparison:
    """Rows that are trained on the same data and measured in the same way.

    Attributes:
        title: of the results.
        about: what a reader should know of the figures.
        rows: by name.
        common: laid over every recipe, so that they differ in nothing else.
        data_set: what they learn from and are measured on unless other data is given.
        file: that it was read from.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    title: str
    about: str
    rows: dict[str, Row]
    common: Plain = field(default_factory=dict)
    data_set: MixedData | None = None
    file: Path = Path()

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("rows is empty; name at least one")

    def recipe(self, row: str, *, seed: int) -> Recipe:
        """Return the recipe of a row, all layers laid over each other.

        Raises:
            ConfigError: it is wrong.
        """
        entry = self.rows[row]
        content = read_layers(self.file.parent / entry.recipe)
        content = laid_over(laid_over(content, self.common), entry.changes)
        where = f"{self.file}: rows.{row}"
        return parse_recipe({**content, "name": row, "seed": seed}, where=where)

    def mix(
        self, folder: Path, *, bank: Bank, cache: Path, jobs: int, progress: Callable[[int], None]
    ) -> None:
        """Mix the comparison's data set, or what is missing of it.

        Args:
            folder: of the data set.
            bank: of recordings.
            cache: folder in which simulated rooms are kept.
            jobs: processes that mix.
            progress: called with the number of clips done.

        Raises:
            ConfigError: the comparison names none, or the folder holds another.
            DataError: it cannot be written.
        """
        if self.data_set is None:
            raise ConfigError(f"{self.file}: data_set is missing; give --data, not --bank")
        config = load_soundscapes(self.file.parent / self.data_set.scenes)
        SoundscapeSet(
            folder,
            bank=bank,
            clips=self.data_set.clips,
            config=config,
            seed=self.data_set.seed,
            cache=cache,
        ).write(jobs=jobs, progress=progress)

    def runs(self) -> Iterator[Run]:
        """Yield every run, row by row."""
        for name, row in self.rows.items():
            for seed in row.seeds:
                yield Run(name, self.recipe(name, seed=seed))


_COMPARISON = TypeAdapter(Comparison)


def load_comparison(path: Path) -> Comparison:
    """Read a comparison and check all its recipes.

    Raises:
        ConfigError: a file is missing, or something in it is wrong; the line names it.
    """
    try:
        comparison = _COMPARISON.validate_python(read_layers(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {key or 'comparison'}: {first['msg']}") from error
    comparison = replace(comparison, file=path)
    for _ in comparison.runs():
        pass
    return comparison
