"""Scenes of a recording bank, mixed as training goes on."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import TypeAdapter
from rich.progress import Progress

from train.console import PrintableConsole
from train.data.bank import TABLE, Bank
from train.data.desed import read_desed
from train.data.headers import refuse_undecodable
from train.data.scenes import SceneBatches
from train.data.sets.clips import ClipSets, clips_fingerprint
from train.data.sets.registry import DATA
from train.data.soundscape import SoundscapeGenerator
from train.data.soundscape_config import SoundscapeConfig
from train.data.soundscape_set import SoundscapeSet
from train.layering import signature
from train.places import cache_folder

if TYPE_CHECKING:
    from train.recipe.schema import HeldOutPart, Recipe

HELD_OUT_SEED = 1
"""Of held-out scenes, whatever a run's own seed; the one of ``streamsed-train soundscapes``."""


@dataclass(frozen=True)
class ScenesConfig:
    """Scenes of a recording bank, mixed anew for every step: none comes twice.

    Attributes:
        batch: scenes in each batch.
        steps_per_epoch: an epoch is what lies between validations, for there is no end of scenes.
        soundscape: what is trained on.
        held_out: what is validated, calibrated and reported on; as natural as can be, where
            training may go to extremes.
        held_out_clips: of each part that the recipe names. They are those that
            ``streamsed-train soundscapes`` writes with its own seed.
        kind: names this form.
    """

    yields: ClassVar[Literal["clips", "mixtures"]] = "clips"
    batch: int = 16
    steps_per_epoch: int = 500
    soundscape: SoundscapeConfig = field(default_factory=SoundscapeConfig)
    held_out: SoundscapeConfig = field(default_factory=SoundscapeConfig)
    held_out_clips: int = 500
    kind: Literal["scenes"] = "scenes"

    def __post_init__(self) -> None:
        if min(self.batch, self.steps_per_epoch, self.held_out_clips) < 1:
            raise ValueError("batch, steps_per_epoch and held_out_clips must be 1 or more")
        if self.soundscape.duration_s != self.held_out.duration_s:
            raise ValueError("soundscape and held_out differ in duration_s")

    @property
    def duration_s(self) -> float:
        """Length of every clip."""
        return self.soundscape.duration_s


@dataclass(frozen=True)
class SceneSets(ClipSets):
    """Scenes to learn from, and clips of held-out ones to validate on.

    Attributes:
        generator: of the scenes.
    """

    generator: SoundscapeGenerator

    def batches(self, *, rank: int = 0, ranks: int = 1) -> SceneBatches:
        """Return training batches; see the base class."""
        data = self.recipe.data
        assert isinstance(data, ScenesConfig)
        return SceneBatches(
            self.generator,
            self.inputs.grid,
            batch=data.batch,
            steps_per_epoch=data.steps_per_epoch,
            rank=rank,
            ranks=ranks,
        )

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of the bank's table and of the held-out clips' labels."""
        table = (self.generator.bank.folder / TABLE).read_bytes()
        return clips_fingerprint(self.clips, beside=[hashlib.sha256(table).hexdigest()[:16]])


@DATA.register(ScenesConfig)
def scene_sets(bank: Path, recipe: Recipe) -> SceneSets:
    """Return scenes of a bank to learn from, and clips of held-out ones to validate on.

    Raises:
        ConfigError: the bank cannot be used.
        DataError: the held-out scenes cannot be written.
    """
    data, part = recipe.data, recipe.validation.part
    assert isinstance(data, ScenesConfig)
    recordings = Bank.open(bank)
    refuse_undecodable(recordings.folder / clip.file for clip in recordings.clips)
    root = held_out_scenes(recordings, recipe, parts=[part])
    return SceneSets(
        recipe,
        training=(),
        strong=read_desed(root, part, classes=recipe.model.classes),
        weak=None,
        generator=SoundscapeGenerator(
            recordings,
            split="train",
            config=data.soundscape,
            seed=recipe.seed,
            cache=cache_folder(),
        ),
    )


def held_out_scenes(bank: Bank, recipe: Recipe, *, parts: Sequence[HeldOutPart]) -> Path:
    """Return a data set in DESED's shape with held-out scenes of a bank; they are mixed once.

    Raises:
        ConfigError: the bank cannot be used.
        DataError: the scenes cannot be written.
    """
    data = recipe.data
    assert isinstance(data, ScenesConfig)
    count, config = (
        data.held_out_clips,
        TypeAdapter(SoundscapeConfig).dump_python(data.held_out, mode="json"),
    )
    table = hashlib.sha256((bank.folder / TABLE).read_bytes()).hexdigest()
    cache = cache_folder()
    folder = cache / f"held-out-{signature({'count': count, 'scenes': config, 'bank': table})}"
    cache.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other runs may want the same scenes now
        made = SoundscapeSet(
            folder,
            bank=bank,
            clips=dict.fromkeys(parts, count),
            config=data.held_out,
            seed=HELD_OUT_SEED,
            cache=cache,
        )
        with Progress(console=PrintableConsole(stderr=True), transient=True) as bar:
            task = bar.add_task("held-out scenes", total=sum(made.clips.values()))
            made.write(jobs=os.cpu_count() or 1, progress=lambda done: bar.advance(task, done))
    return folder
