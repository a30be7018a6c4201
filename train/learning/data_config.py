"""What a run hears: a data set on disk, or scenes that are mixed as it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from train.data.soundscape_config import SoundscapeConfig


@dataclass(frozen=True)
class DataConfig:
    """What of a data set in DESED's shape is trained on.

    Attributes:
        strong: synthetic clips with events in each batch; 0 leaves a part out.
        strong_real: recorded clips with events in each batch. None in 2021.
        weak: clips with tags in each batch.
        unlabelled: clips without labels in each batch.
        duration_s: clips are padded with silence or cropped at random to this.
        weak_validation: share of the weak clips, by recording, that is kept to validate on. The
            baseline's is a tenth of the clips, drawn without regard to recordings.
        split_seed: of that share.
        steps_per_epoch: null ends an epoch with the shortest set, as the baseline: 1420 weak
            clips and 12 a batch make 118 steps.
        missing: ``refuse`` a data set of which a file is missing, or ``leave_out`` the file.
        kind: names this form.
    """

    strong: int = 12
    strong_real: int = 0
    weak: int = 12
    unlabelled: int = 24
    duration_s: float = 10.0
    weak_validation: float = 0.1
    split_seed: int = 42
    steps_per_epoch: int | None = None
    missing: Literal["refuse", "leave_out"] = "refuse"
    kind: Literal["desed"] = "desed"

    def __post_init__(self) -> None:
        counts = (self.strong, self.strong_real, self.weak, self.unlabelled)
        if min(counts) < 0 or not any(counts):
            raise ValueError(f"counts {counts}; must be 0 or more, and not all 0")
        if not 0.0 < self.weak_validation < 1.0:
            raise ValueError(f"weak_validation {self.weak_validation}; must be between 0 and 1")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch {self.steps_per_epoch}; must be 1 or more")


@dataclass(frozen=True)
class ScenesConfig:
    """Scenes of a recording bank, mixed anew for every step: none is heard twice.

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


def _kind(config: object) -> Any:
    if isinstance(config, dict):
        return config.get("kind", DataConfig.kind)
    return getattr(config, "kind", None)


AnyDataConfig = Annotated[
    Annotated[DataConfig, Tag("desed")] | Annotated[ScenesConfig, Tag("scenes")],
    Discriminator(_kind),
]
"""A field of this type holds either; plain data that says no ``kind`` is of a data set."""
