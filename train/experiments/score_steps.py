"""Steps that score: a checkpoint on a part of a data set, and the mean of several scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from streamsed.errors import ConfigError
from train.checkpoint import load_model
from train.data.clips import ClipSet
from train.data.desed import Part, read_desed
from train.engine.machine import MachineConfig, make_fabric
from train.experiments.artefact import Artefact
from train.experiments.scoring import Reached, figures, score, tagged_scores
from train.experiments.step import Need, Place, Step
from train.layering import Plain
from train.pseudo_labels import best_thresholds
from train.stages.validation import Scores
from train.writing import replacing

SCORES = "scores.npz"
FIGURES = "figures.json"

_FRAME_S, _CLASSES = "@frame_s", "@classes"  # no file is named so


@dataclass(frozen=True)
class Scored:
    """What scoring found, as tables show it.

    Attributes:
        reached: the figures.
        parameters: number of weights; of a mean of several, of all together.
        step: of the checkpoint; None of a mean.
        look_ahead_s: of a stream; None where clips were scored whole.
    """

    reached: Reached
    parameters: int
    step: int | None = None
    look_ahead_s: float | None = None


@dataclass(frozen=True)
class ScoreFile:
    """Scores of clips on one frame grid.

    Attributes:
        clips: ``(T, C)`` by name.
        frame_s: seconds of a frame.
        classes: of the columns.
    """

    clips: Mapping[str, Scores]
    frame_s: float
    classes: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write it as ``.npz``."""
        also = {_FRAME_S: np.float64(self.frame_s), _CLASSES: np.array(self.classes)}
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, **self.clips, **also)  # type: ignore[arg-type]  # clips by name

    @classmethod
    def load(cls, path: Path) -> ScoreFile:
        """Read what :meth:`save` wrote."""
        with np.load(path) as kept:
            frame_s, classes = float(kept[_FRAME_S]), tuple(kept[_CLASSES].tolist())
            clips = {name: kept[name] for name in kept.files if name not in (_FRAME_S, _CLASSES)}
        return cls(clips, frame_s, classes)


def read_scored(folder: Path) -> Scored:
    """Return what a step that scores found."""
    content = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    return Scored(**{**content, "reached": Reached(**content["reached"])})


@dataclass(frozen=True, kw_only=True)
class Scoring(Step):
    """What all steps that score have in common.

    Attributes:
        title: of its row in tables; null for none.
        selected: which network it is, for tables.
        data: data set.
        part: of it, with events.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    captions: ClassVar[tuple[str, ...]] = ("title", "selected")

    title: str | None = None
    selected: str | None = None
    data: str = "data"
    part: Part = "validation"

    @property
    def row(self) -> str | None:
        """Which network it is: as given, or by the name of what is scored."""
        return self.selected

    def yields(self) -> Mapping[str, Artefact]:
        """Return the scores, and what they reach."""
        return {
            "scores": Artefact("scores", Path(SCORES)),
            "figures": Artefact("figures", Path(FIGURES)),
        }

    def clips(self, at: Place, classes: tuple[str, ...]) -> ClipSet:
        """Return the clips that are scored."""
        return read_desed(at.needs["data"], self.part, classes=classes)

    def _keep(self, at: Place, scores: ScoreFile, clips: ClipSet, **of: Any) -> bool:
        reached = figures(scores.clips, clips, frame_s=scores.frame_s)
        scores.save(at.folder / SCORES)
        with replacing(at.folder / FIGURES) as part:
            part.write_text(json.dumps(asdict(Scored(reached, **of)), indent=1), encoding="utf-8")
        return True


@dataclass(frozen=True, kw_only=True)
class Score(Scoring):
    """A checkpoint's scores.

    Attributes:
        checkpoint: of a detector.
        model: laid over the model's configuration, such as which of its branches detects; what has
            weights stays as it is.
        duration_s: of each clip; longer ones are cropped.
        look_ahead_frames: score each clip as a stream with this look-ahead; null scores it whole.
        under_tags: part of the data set, with events, on which the threshold of tags of the highest
            F1 is chosen for each class; a class that is none of a clip's tags scores 0 in it.
            Null scores all classes in all clips.
    """

    checkpoint: str
    model: Plain = field(default_factory=dict)
    duration_s: float = 10.0
    look_ahead_frames: int | None = None
    under_tags: Part | None = None
    kind: Literal["score"] = "score"

    @property
    def row(self) -> str | None:
        """Which network it is: as given, or by the name of what is scored."""
        return self.selected or self.checkpoint.partition("/")[2] or None

    def needs(self) -> Mapping[str, Need]:
        """Return the checkpoint and the data set."""
        return {
            "checkpoint": Need("checkpoint", self.checkpoint),
            "data": Need("data", self.data),
        }

    def identity(self) -> Plain:
        """Return what decides the scores; what is seldom given, only where it is."""
        plain = super().identity()
        seldom = ("model", "under_tags")
        return {key: value for key, value in plain.items() if key not in seldom or value}

    def run(self, at: Place) -> bool:
        """Score the clips."""
        saved = load_model(at.needs["checkpoint"], changes=self.model)
        config = saved.model.config
        clips = self.clips(at, config.classes)
        frame_s = config.frame_samples / config.front_end.sample_rate
        ahead = self.look_ahead_frames
        device = make_fabric(MachineConfig(**at.machine.recipes)).device
        scores = score(
            saved.model,
            clips,
            duration_s=self.duration_s,
            look_ahead_frames=ahead,
            device=device,
        )
        if self.under_tags is not None:
            fitted_on = read_desed(at.needs["data"], self.under_tags, classes=config.classes)
            known, tags = (
                tagged_scores(saved.model, of, duration_s=self.duration_s, device=device).tags
                for of in (fitted_on, clips)
            )
            scores = under_tags(scores, tags, above=tag_thresholds(known, fitted_on))
        return self._keep(
            at,
            ScoreFile(scores, frame_s, config.classes),
            clips,
            parameters=sum(weights.numel() for weights in saved.model.parameters()),
            step=saved.step,
            look_ahead_s=None if ahead is None else ahead * frame_s,
        )


def tag_thresholds(tags: Mapping[str, Scores], clips: ClipSet) -> NDArray[np.float32]:
    """Return the threshold ``(C,)`` of tags of the highest F1 of each class on clips."""
    found = np.stack([tags[clip.name] for clip in clips.clips])
    true = [[label in clip.labels for label in clips.classes] for clip in clips.clips]
    return best_thresholds(found, np.array(true))


def under_tags(
    scores: Mapping[str, Scores], tags: Mapping[str, Scores], *, above: NDArray[np.float32]
) -> dict[str, Scores]:
    """Return scores ``(T, C)`` by clip, 0 where the clip's tag ``(C,)`` is not above a threshold.

    A specialised decision surface and a tag-conditioned CNN are published so: their frames locate
    a class in a clip, and its tags decide whether it is there at all.
    """
    return {name: values * (tags[name] > above) for name, values in scores.items()}


@dataclass(frozen=True, kw_only=True)
class Fuse(Scoring):
    """The weighted mean of scores, frame by frame, before any filter.

    Attributes:
        scores: weights, positive, by the steps that score.
    """

    scores: dict[str, Annotated[float, Field(gt=0.0)]]
    kind: Literal["fuse"] = "fuse"

    def needs(self) -> Mapping[str, Need]:
        """Return the scores and the data set."""
        scores = {f"scores.{of}": Need("scores", of) for of in self.scores}
        return {**scores, "data": Need("data", self.data)}

    def identity(self) -> Plain:
        """Return the weights, whatever the names of what they weigh."""
        plain = super().identity()
        return {**plain, "scores": list(self.scores.values())}

    def run(self, at: Place) -> bool:
        """Fuse them."""
        parts = {of: ScoreFile.load(at.needs[f"scores.{of}"]) for of in self.scores}
        scored = [read_scored(at.needs[f"scores.{of}"].parent) for of in self.scores]
        mean = fused(parts, self.scores)
        clips = self.clips(at, mean.classes)
        return self._keep(at, mean, clips, parameters=sum(of.parameters for of in scored))


def fused(parts: Mapping[str, ScoreFile], weights: Mapping[str, float]) -> ScoreFile:
    """Return the weighted mean of several systems' scores, clip by clip.

    Raises:
        ConfigError: the systems differ in clips, frames or classes.
    """
    first = next(iter(parts.values()))
    for system, scores in parts.items():
        if (
            scores.clips.keys() != first.clips.keys()
            or scores.classes != first.classes
            or any(scores.clips[name].shape != of.shape for name, of in first.clips.items())
        ):
            raise ConfigError(f"{system}: its scores are of other clips, frames or classes")
    total = sum(weights[system] for system in parts)
    mean = {
        name: sum(weights[of] / total * scores.clips[name] for of, scores in parts.items())
        for name in first.clips
    }
    return ScoreFile(mean, first.frame_s, first.classes)  # type: ignore[arg-type]
