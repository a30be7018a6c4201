"""Mixtures with their sources, and sums of clips whose sources nobody knows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from streamsed.errors import ConfigError
from train.data.desed import Part, read_desed
from train.data.fuss import MOST_SOURCES, Split, read_fuss
from train.data.headers import decodable, refuse_undecodable
from train.data.mixtures import MixtureBatches, MixtureSet, Pairs, Sources
from train.data.sets.registry import DATA
from train.data.soundscape_set import SEPARATION
from train.engine.stage import Sets
from train.models.conv_tasnet import ConvTasNetConfig

if TYPE_CHECKING:
    from train.recipe.schema import Recipe


@dataclass(frozen=True)
class MixturesConfig:
    """Mixtures in FUSS's shape.

    Attributes:
        batch: mixtures in each batch.
        duration_s: clips are padded with silence or cropped at random to this.
        steps_per_epoch: null ends an epoch with the mixtures.
        kind: names this form.
    """

    yields: ClassVar[Literal["clips", "mixtures"]] = "mixtures"
    batch: int = 8
    duration_s: float = 10.0
    steps_per_epoch: int | None = None
    kind: Literal["mixtures"] = "mixtures"

    def __post_init__(self) -> None:
        if self.batch < 1 or self.duration_s <= 0.0:
            raise ValueError("batch must be 1 or more, duration_s positive")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch {self.steps_per_epoch}; must be 1 or more")


@dataclass(frozen=True)
class PairsConfig:
    """Sums of two clips of a data set in DESED's shape.

    Synthetic and unlabelled clips are trained on, weak ones validated on.

    Attributes:
        batch: sums in each batch.
        duration_s: clips are padded with silence or cropped at random to this.
        steps_per_epoch: null ends an epoch with the clips.
        gain_db: by how much either clip is made louder or softer at the most.
        missing: ``refuse`` a data set of which a file is missing or cannot be decoded, or
            ``leave_out`` the file.
        kind: names this form.
    """

    yields: ClassVar[Literal["clips", "mixtures"]] = "mixtures"
    batch: int = 8
    duration_s: float = 10.0
    steps_per_epoch: int | None = None
    gain_db: float = 0.0
    missing: Literal["refuse", "leave_out"] = "refuse"
    kind: Literal["pairs"] = "pairs"

    def __post_init__(self) -> None:
        if self.batch < 1 or self.duration_s <= 0.0 or self.gain_db < 0.0:
            raise ValueError("batch must be 1 or more, duration_s positive, gain_db 0 or more")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch {self.steps_per_epoch}; must be 1 or more")


@dataclass(frozen=True)
class MixtureSets(Sets):
    """Mixtures for training and validation.

    Attributes:
        recipe: of the run.
        training: to learn from.
        validation: to compare checkpoints on.
        names: of its files by set.
    """

    recipe: Recipe
    training: MixtureSet
    validation: MixtureSet
    names: Mapping[str, list[str]]

    def batches(self, *, rank: int = 0, ranks: int = 1) -> MixtureBatches:
        """Return training batches; see the base class."""
        data = self.recipe.data
        assert isinstance(data, MixturesConfig | PairsConfig)
        return MixtureBatches(
            self.training,
            batch=data.batch,
            seed=self.recipe.seed,
            steps_per_epoch=data.steps_per_epoch,
            rank=rank,
            ranks=ranks,
        )

    def counts(self) -> dict[str, int]:
        """Return the number of files by set."""
        return {name: len(files) for name, files in self.names.items()}

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of the names of all files, not of their audio."""
        return hashlib.sha256(json.dumps(self.names).encode()).hexdigest()[:16]


@DATA.register(MixturesConfig)
def read_mixtures(root: Path, recipe: Recipe) -> MixtureSets:
    """Read mixtures below FUSS's root, or where ``streamsed-train soundscapes`` put some.

    Raises:
        ConfigError: the separator has fewer outputs than mixtures have sources.
        DataError: a part is missing or wrong.
    """
    model = recipe.model
    assert isinstance(model, ConvTasNetConfig)
    if model.sources < MOST_SOURCES:
        raise ConfigError(f"model.sources {model.sources}; mixtures have up to {MOST_SOURCES}")
    below = root / SEPARATION
    root = below if below.is_dir() else root
    samples = round(recipe.data.duration_s * model.sample_rate)
    splits: tuple[Split, ...] = ("train", "validation")
    training, validation = (read_fuss(root, split) for split in splits)
    whole = (*training, *validation)
    refuse_undecodable(path for mixture in whole for path in (mixture.path, *mixture.sources))
    return MixtureSets(
        recipe,
        Sources(training, samples, model.sample_rate, model.sources),
        Sources(validation, samples, model.sample_rate, model.sources),
        {
            "train": [mixture.name for mixture in training],
            "validation: validation": [mixture.name for mixture in validation],
        },
    )


@DATA.register(PairsConfig)
def read_pairs(root: Path, recipe: Recipe) -> MixtureSets:
    """Read the clips of a data set in DESED's shape.

    Raises:
        DataError: a part is missing or wrong.
    """
    model, data = recipe.model, recipe.data
    assert isinstance(model, ConvTasNetConfig)
    assert isinstance(data, PairsConfig)
    rate, samples = model.sample_rate, round(data.duration_s * model.sample_rate)
    wanted: tuple[Part, ...] = ("strong", "unlabelled", "weak")
    parts = {part: read_desed(root, part, missing=data.missing) for part in wanted}
    clips = {part: of.clips for part, of in decodable(parts, missing=data.missing).items()}
    trained_on = [clip.path for part in wanted[:2] for clip in clips[part]]
    return MixtureSets(
        recipe,
        Pairs(trained_on, samples, rate, data.gain_db),
        Pairs([clip.path for clip in clips["weak"]], samples, rate),
        {
            "strong": [clip.name for clip in clips["strong"]],
            "unlabelled": [clip.name for clip in clips["unlabelled"]],
            "validation: weak": [clip.name for clip in clips["weak"]],
        },
    )
