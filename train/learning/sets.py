"""What a run learns from and is validated on."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from streamsed.errors import ConfigError
from train.data.bank import TABLE, Bank
from train.data.batches import TrainingBatches
from train.data.clips import Clip, ClipSet
from train.data.desed import Part, read_desed
from train.data.inputs import Inputs
from train.data.scenes import SceneBatches
from train.data.soundscape import SoundscapeGenerator
from train.data.soundscape_set import SoundscapeSet
from train.layering import signature
from train.learning.data_config import DataConfig, ScenesConfig
from train.learning.recipe import HeldOutPart, LearningRecipe, ValidationConfig, dump_recipe

CACHE = Path(".cache")
"""Where simulated rooms and held-out scenes are kept: they are the same for many runs."""
HELD_OUT_SEED = 1
"""Of held-out scenes, whatever a run's own seed; the one of ``streamsed-train soundscapes``."""


@dataclass(frozen=True)
class Mixing:
    """Scenes to be mixed as training goes on.

    Attributes:
        generator: of the scenes.
        config: how many a batch.
    """

    generator: SoundscapeGenerator
    config: ScenesConfig

    @property
    def bank(self) -> str:
        """16 hexadecimal digits of the bank's table."""
        table = self.generator.bank.folder / TABLE
        return hashlib.sha256(table.read_bytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Sets:
    """Clips of a run.

    Attributes:
        training: sets, and how many clips of each stand in a batch; none if scenes are mixed.
        strong: with events, to validate on.
        weak: with tags, to validate on; None if the run learns from no tags.
        mixing: scenes to learn from; None if it learns from sets.
    """

    training: tuple[tuple[ClipSet, int], ...]
    strong: ClipSet
    weak: ClipSet | None
    mixing: Mixing | None = None

    def batches(
        self, recipe: LearningRecipe, inputs: Inputs, *, rank: int = 0, ranks: int = 1
    ) -> TrainingBatches | SceneBatches:
        """Return the batches of a run without end.

        Args:
            recipe: says how many clips and which seed.
            inputs: of the sets.
            rank: of this process among ``ranks`` that share each batch.
            ranks: how many there are.

        Raises:
            DataError: batches cannot be made of these sets, or not be shared.
        """
        steps = recipe.data.steps_per_epoch
        if self.mixing is not None:
            assert steps is not None
            return SceneBatches(
                self.mixing.generator,
                inputs.grid,
                batch=self.mixing.config.batch,
                steps_per_epoch=steps,
                rank=rank,
                ranks=ranks,
            )
        return TrainingBatches(
            inputs,
            self.training,
            seed=recipe.seed,
            steps_per_epoch=steps,
            rank=rank,
            ranks=ranks,
        )

    @property
    def clips(self) -> list[Clip]:
        """All of them."""
        sets = [*(clips for clips, _ in self.training), self.strong]
        return [
            clip for part in (*sets, *([self.weak] if self.weak else [])) for clip in part.clips
        ]

    def counts(self) -> dict[str, int]:
        """Number of clips by set; scenes to be mixed cannot be counted."""
        counts = {clips.name: len(clips) for clips, _ in self.training}
        counts[f"validation: {self.strong.name}"] = len(self.strong)
        if self.weak is not None:
            counts[f"validation: {self.weak.name}"] = len(self.weak)
        return counts

    def fingerprint(self) -> str:
        """16 hexadecimal digits of the names and labels of all clips, not of their audio."""
        described = [
            [clip.name, clip.tags, [[e.label, e.onset_s, e.offset_s] for e in clip.events or ()]]
            for clip in self.clips
        ]
        bank = [] if self.mixing is None else [self.mixing.bank]
        return hashlib.sha256(json.dumps(described + bank).encode()).hexdigest()[:16]


def scene_sets(bank: Path, recipe: LearningRecipe) -> Sets:
    """Return scenes of a bank to learn from, and clips of held-out ones to validate on.

    Raises:
        ConfigError: the bank cannot be used.
        DataError: the held-out scenes cannot be written.
    """
    data, validation = recipe.data, recipe.validation
    assert isinstance(data, ScenesConfig)
    recordings = Bank.open(bank)
    generator = SoundscapeGenerator(
        recordings, split="train", config=data.soundscape, seed=recipe.seed, cache=CACHE
    )
    root = held_out_scenes(recordings, recipe, parts=[validation.part])
    strong = read_desed(root, validation.part, classes=recipe.model.classes)
    return Sets(training=(), strong=strong, weak=None, mixing=Mixing(generator, data))


def held_out_scenes(bank: Bank, recipe: LearningRecipe, *, parts: Sequence[HeldOutPart]) -> Path:
    """Return a data set in DESED's shape with held-out scenes of a bank; they are mixed once.

    Raises:
        ConfigError: the bank cannot be used.
        DataError: the scenes cannot be written.
    """
    data = recipe.data
    assert isinstance(data, ScenesConfig)
    count, config = data.held_out_clips, dump_recipe(recipe)["data"]["held_out"]
    table = hashlib.sha256((bank.folder / TABLE).read_bytes()).hexdigest()
    folder = CACHE / f"held-out-{signature({'count': count, 'scenes': config, 'bank': table})}"
    CACHE.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other runs may want the same scenes now
        made = SoundscapeSet(
            folder,
            bank=bank,
            clips=dict.fromkeys(parts, count),
            config=data.held_out,
            seed=HELD_OUT_SEED,
            cache=CACHE,
        )
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("held-out scenes", total=sum(made.clips.values()))
            made.write(jobs=os.cpu_count() or 1, progress=lambda done: bar.advance(task, done))
    return folder


def read_sets(
    root: Path, data: DataConfig, validation: ValidationConfig, *, classes: tuple[str, ...]
) -> Sets:
    """Read what a recipe asks for of a data set in DESED's shape.

    Raises:
        DataError: a part is missing or wrong.
        ConfigError: nothing is learned from labels.
    """
    if not data.strong and not data.strong_real and not data.weak:
        raise ConfigError("data: only unlabelled clips; some must have labels")
    counts: dict[Part, int] = {
        "strong": data.strong,
        "strong_real": data.strong_real,
        "weak": data.weak,
        "unlabelled": data.unlabelled,
    }
    sets = {
        part: read_desed(root, part, classes=classes, missing=data.missing)
        for part, count in counts.items()
        if count
    }
    weak = None
    if "weak" in sets:
        sets["weak"], weak = sets["weak"].split(1.0 - data.weak_validation, seed=data.split_seed)
    return Sets(
        training=tuple((clips, counts[part]) for part, clips in sets.items()),
        strong=read_desed(root, validation.part, classes=classes, missing=data.missing),
        weak=weak,
    )
