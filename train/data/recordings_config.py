"""What generated recordings of minutes are like: kinds of scenes, each with its own classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from train.data.annotators import AnnotatorsConfig
from train.data.classes import CLASSES
from train.data.soundscape_config import SoundscapeConfig
from train.layering import read_layered


@dataclass(frozen=True)
class SceneKind:
    """A kind of scene.

    Attributes:
        classes: that sound in it, with how often, relative to each other.
        sources_a_minute: mean number of sources; a source may be many events.
        excluded_beds: background labels that are none of this kind's, besides those that no
            scene has.
    """

    classes: Mapping[str, float]
    sources_a_minute: float = 6.0
    excluded_beds: tuple[str, ...] = ()

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic's name for it

    def __post_init__(self) -> None:
        if odd := sorted(set(self.classes) - set(CLASSES)):
            raise ValueError(f"classes names {odd[0]}; must be one of {', '.join(CLASSES)}")
        if not self.classes or min(self.classes.values()) <= 0.0 or self.sources_a_minute <= 0.0:
            raise ValueError("classes must be one or more, all numbers above 0")


@dataclass(frozen=True)
class RecordingsConfig:
    """A distribution over recordings.

    Attributes:
        scenes: kinds by name.
        duration_s: of every recording; whole seconds.
        annotators: whose opinions become labels.
        soundscape: what all kinds have in common; its ``duration_s`` and ``sources`` are this
            class's to set.
    """

    scenes: Mapping[str, SceneKind]
    duration_s: float = 120.0
    annotators: AnnotatorsConfig = field(default_factory=AnnotatorsConfig)
    soundscape: SoundscapeConfig = field(default_factory=SoundscapeConfig)

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic's name for it

    def __post_init__(self) -> None:
        if not self.scenes or self.duration_s < 1.0 or self.duration_s % 1.0:
            raise ValueError("scenes must be one or more, duration_s whole seconds")
        for name in self.scenes:
            if not name.isidentifier():
                raise ValueError(f"scenes: {name!r}; must be a word of letters, digits and _")

    @property
    def classes(self) -> tuple[str, ...]:
        """Those that sound anywhere, in the order of the bank's classes."""
        every = {label for kind in self.scenes.values() for label in kind.classes}
        return tuple(label for label in CLASSES if label in every)

    def of_scene(self, name: str) -> SoundscapeConfig:
        """Return the distribution of one kind's recordings."""
        kind, common = self.scenes[name], self.soundscape
        plans = {
            label: replace(spec, weight=float(kind.classes.get(label, 0.0)))
            for label, spec in common.plans.items()
        }
        return replace(
            common,
            duration_s=self.duration_s,
            plans=plans,
            sources=_poisson(kind.sources_a_minute * self.duration_s / 60.0),
            speech_over_steady=common.speech_over_steady if "Speech" in kind.classes else 0.0,
            excluded_beds=(*common.excluded_beds, *kind.excluded_beds),
        )


def _poisson(mean: float) -> tuple[float, ...]:
    """Return the probabilities 0, and those of 1, 2... of a Poisson distribution that is cut."""
    most = math.ceil(mean + 4.0 * math.sqrt(mean))
    shares = [
        0.0,
        *(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(1, most + 1)),
    ]
    return tuple(share / sum(shares) for share in shares)


def load_recordings(path: Path) -> RecordingsConfig:
    """Read what recordings are like from a YAML file.

    Raises:
        ConfigError: the file is missing, or keys or values are wrong; the line names each.
    """
    return read_layered(path).checked(RecordingsConfig)
