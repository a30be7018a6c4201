"""Steps that mix data sets from a recording bank."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter
from rich.progress import Progress

from streamsed.yaml_document import Document
from train.console import PrintableConsole
from train.data.bank import Bank
from train.data.desed import Part
from train.data.fuss import Split
from train.data.headers import refuse_undecodable
from train.data.soundscape_config import SoundscapeConfig, load_soundscapes
from train.data.soundscape_set import SoundscapeSet
from train.data.source_set import SourceSet
from train.experiments.artefact import Artefact
from train.experiments.step import Need, Place, Step
from train.layering import Plain
from train.places import ScenesFile

_CONFIG = TypeAdapter(SoundscapeConfig)


@dataclass(frozen=True, kw_only=True)
class _Mixed(Step):
    """What both kinds have in common.

    Attributes:
        made: what writes the data set.
        clips: how many of each of its parts.
        bank: recordings.
        scenes: what they are like, by name or file; null for the generator's defaults.
        duration_s: of each; null for that of ``scenes``.
        seed: of the scenes.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    made: ClassVar[Callable[..., SoundscapeSet | SourceSet]]

    clips: Mapping[Any, int]
    bank: str = "bank"
    scenes: ScenesFile | None = None
    duration_s: float | None = None
    seed: int = 1

    def needs(self) -> Mapping[str, Need]:
        """Return the bank."""
        return {"bank": Need("bank", self.bank)}

    def yields(self) -> Mapping[str, Artefact]:
        """Return the data set."""
        return {"data": Artefact("data", Path("data"))}

    def identity(self) -> Plain:
        """Return the whole distribution of scenes, wherever it stands."""
        plain = super().identity()
        return {**plain, "scenes": _CONFIG.dump_python(self.config(), mode="json")}

    def check(self, documents: Sequence[Document] = ()) -> None:
        """Read what scenes are like."""
        del documents  # what is wrong stands in a file of its own
        self.config()

    def config(self) -> SoundscapeConfig:
        """Return what scenes are like."""
        config = SoundscapeConfig() if self.scenes is None else load_soundscapes(self.scenes)
        return config if self.duration_s is None else replace(config, duration_s=self.duration_s)

    def run(self, at: Place) -> bool:
        """Mix what is not there yet."""
        bank = Bank.open(at.needs["bank"])
        refuse_undecodable(bank.folder / clip.file for clip in bank.clips)
        made = self.made(
            at.folder / "data",
            clips=self.clips,
            bank=bank,
            config=self.config(),
            seed=self.seed,
            cache=at.machine.cache,
        )
        with Progress(console=PrintableConsole(stderr=True), transient=True) as bar:
            task = bar.add_task("mixing", total=sum(self.clips.values()))
            jobs = at.machine.jobs or os.cpu_count() or 1
            made.write(jobs=jobs, progress=lambda done: bar.advance(task, done))
        return True


@dataclass(frozen=True, kw_only=True)
class Soundscapes(_Mixed):
    """A data set in DESED's shape.

    Attributes:
        clips: how many of each part.
    """

    made = SoundscapeSet

    clips: dict[Part, int]
    kind: Literal["soundscapes"] = "soundscapes"


@dataclass(frozen=True, kw_only=True)
class Mixtures(_Mixed):
    """Mixtures with their sources, in FUSS's shape.

    Attributes:
        clips: how many of each split.
    """

    made = SourceSet

    clips: dict[Split, int]
    kind: Literal["mixtures"] = "mixtures"
