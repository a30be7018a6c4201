"""Steps of the soft-label paper: recordings, scores pooled over folds, floors, and views."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter
from rich.console import Console
from rich.progress import Progress

from streamsed.errors import ConfigError
from streamsed.yaml_document import Document
from train.checkpoint import load_model
from train.data.audio import read_audio
from train.data.bank import Bank
from train.data.clips import ClipSet
from train.data.crops import OrderedCrops, SoftCrops
from train.data.headers import refuse_undecodable
from train.data.labels import rasterise
from train.data.loading import load
from train.data.maestro import EVALUATED, FOLDS, SCENES, read_maestro, scene_of
from train.data.recording_set import RecordingSet
from train.data.recordings_config import RecordingsConfig, load_recordings
from train.data.sets.maestro import crop_shape, soft_crops
from train.engine.machine import MachineConfig, make_fabric
from train.experiments.artefact import Artefact
from train.experiments.soft_scoring import Pooled, SoftScores, pooled
from train.experiments.soft_views import draw_attention, draw_embeddings, look
from train.experiments.step import Need, Place, Step
from train.layering import Plain
from train.models.model import SoundEventModel
from train.places import ScenesFile
from train.stages.recordings import score_recordings
from train.writing import replacing

SCORES, FIGURES = "scores.npz", "figures.json"
EMBEDDINGS, ATTENTION = "embeddings.png", "attention.png"
_BATCH = 4
_FOLD = "{fold}"


@dataclass(frozen=True, kw_only=True)
class Recordings(Step):
    """A data set of recordings of minutes, in MAESTRO Real's shape.

    Attributes:
        bank: recordings to mix them of.
        scenes: what they are like, by name or file.
        recordings: of each kind of scene.
        duration_s: of each; null as ``scenes`` has it.
        seed: of recordings and opinions.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    bank: str = "bank"
    scenes: ScenesFile
    recordings: int
    duration_s: float | None = None
    seed: int = 1
    kind: Literal["recordings"] = "recordings"

    def needs(self) -> Mapping[str, Need]:
        """Return the bank."""
        return {"bank": Need("bank", self.bank)}

    def yields(self) -> Mapping[str, Artefact]:
        """Return the data set."""
        return {"data": Artefact("data", Path("data"))}

    def identity(self) -> Plain:
        """Return the whole distribution of recordings, wherever it stands."""
        config = TypeAdapter(RecordingsConfig).dump_python(self.config(), mode="json")
        return {**super().identity(), "scenes": config}

    def check(self, documents: Sequence[Document] = ()) -> None:
        """Read what recordings are like."""
        del documents  # what is wrong stands in a file of its own
        self.config()

    def config(self) -> RecordingsConfig:
        """Return what recordings are like."""
        config = load_recordings(self.scenes)
        return config if self.duration_s is None else replace(config, duration_s=self.duration_s)

    def run(self, at: Place) -> bool:
        """Mix what is not there yet."""
        bank = Bank.open(at.needs["bank"])
        refuse_undecodable(bank.folder / clip.file for clip in bank.clips)
        made = RecordingSet(
            at.folder / "data",
            bank=bank,
            recordings=self.recordings,
            config=self.config(),
            seed=self.seed,
            cache=at.machine.cache,
        )
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("mixing", total=made.total)
            made.write(jobs=at.machine.jobs, progress=lambda done: bar.advance(task, done))
        return True


@dataclass(frozen=True, kw_only=True)
class _OfFolds(Step):
    """What is scored on the ``test`` recordings of folds, all pooled.

    Attributes:
        title: of its row in tables; null for none.
        data: data set.
        scenes: of its recordings.
        classes: that are evaluated; null for those of the models, or MAESTRO's.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    captions: ClassVar[tuple[str, ...]] = ("title",)

    title: str | None = None
    data: str = "data"
    scenes: tuple[str, ...] = SCENES
    classes: tuple[str, ...] | None = None

    def yields(self) -> Mapping[str, Artefact]:
        """Return the scores, and what they reach."""
        return {
            "scores": Artefact("scores", Path(SCORES)),
            "figures": Artefact("figures", Path(FIGURES)),
        }

    def _test(self, at: Place, fold: int, classes: tuple[str, ...]) -> ClipSet:
        return read_maestro(
            at.needs["data"], fold=fold, part="test", classes=classes, scenes=self.scenes
        )

    def _keep(self, at: Place, scores: SoftScores, of: dict[int, list[str]], **more: Any) -> bool:
        evaluated = self.classes or scores.classes
        reached = pooled(scores, evaluated=evaluated, folds=of, **more)
        scores.save(at.folder / SCORES)
        with replacing(at.folder / FIGURES) as part:
            part.write_text(json.dumps(asdict(reached), indent=1), encoding="utf-8")
        return True


@dataclass(frozen=True, kw_only=True)
class ScoreFolds(_OfFolds):
    """Scores of checkpoints, each on the test recordings of its fold.

    Attributes:
        checkpoints: the steps that made them, by a name that holds ``{fold}``.
        folds: that are scored.
        target_s: seconds of a crop that are scored at once.
        streamed: score recordings as a stream instead, from their beginning.
    """

    checkpoints: str
    folds: tuple[int, ...] = FOLDS
    target_s: float = 20.0
    streamed: bool = False
    kind: Literal["score_folds"] = "score_folds"

    def __post_init__(self) -> None:
        if _FOLD not in self.checkpoints:
            raise ValueError(f"checkpoints {self.checkpoints!r}; must hold {_FOLD}")
        if not self.folds or not set(self.folds) <= set(FOLDS):
            raise ValueError(f"folds {self.folds}; must be some of 1 to 5")

    def needs(self) -> Mapping[str, Need]:
        """Return the checkpoints and the data set."""
        needs = {
            f"checkpoints.{fold}": Need("checkpoint", self.checkpoints.replace(_FOLD, str(fold)))
            for fold in self.folds
        }
        return {**needs, "data": Need("data", self.data)}

    def identity(self) -> Plain:
        """Return what decides the scores, whatever the names of the checkpoints."""
        return {**super().identity(), "checkpoints": None}

    def run(self, at: Place) -> bool:
        """Score the recordings of each fold."""
        device = make_fabric(MachineConfig(**at.machine.recipes)).device
        found: dict[str, NDArray[np.float32]] = {}
        labels: dict[str, NDArray[np.float32]] = {}
        of_fold: dict[int, list[str]] = {}
        for fold in self.folds:
            model = load_model(at.needs[f"checkpoints.{fold}"]).model.to(device)
            clips = self._test(at, fold, model.config.classes)
            crops = self._crops(model, clips, at)
            if self.streamed:
                scores = _as_streams(model, crops, clips)
            else:
                batches = OrderedCrops(crops, clips, batch=_BATCH)
                loaded = load(batches, range(len(batches)))
                scores = score_recordings(model, loaded, device=device)
            found |= scores
            labels |= {clip.name: crops.labels(clip) for clip in clips.clips}
            of_fold[fold] = list(scores)
        config = model.config
        frame_s = config.frame_samples / config.front_end.sample_rate
        ahead = config.latency_frames * frame_s
        return self._keep(
            at,
            SoftScores(found, labels, frame_s, config.classes),
            of_fold,
            parameters=sum(weights.numel() for weights in model.parameters()),
            look_ahead_s=ahead,
        )

    def _crops(self, model: SoundEventModel, clips: ClipSet, at: Place) -> SoftCrops:
        audio = self.streamed or getattr(model.config, "query", None) == "wav2vec2"
        return soft_crops(
            model.config,
            clips.clips,
            target_s=self.target_s,
            scenes=self.scenes,
            cache=None if self.streamed else at.machine.features,
            audio=audio,
        )


def _as_streams(
    model: SoundEventModel, crops: SoftCrops, clips: ClipSet
) -> dict[str, NDArray[np.float32]]:
    model.eval()
    scores = {}
    for clip in clips.clips:
        audio = read_audio(clip.path, sample_rate=crops.grid.sample_rate)
        with torch.no_grad():
            streamed = model.scores(torch.from_numpy(audio)[None])[0]
        scores[clip.name] = streamed.cpu().numpy()
    return scores


@dataclass(frozen=True, kw_only=True)
class Floors(_OfFolds):
    """What is reached without any audio.

    Attributes:
        which: ``positive`` has every class in every second; ``scene_rate`` is given the scene of a
            recording, and scores a class by how often it is present in the fold's training
            recordings of that scene.
    """

    which: Literal["positive", "scene_rate"]
    kind: Literal["floors"] = "floors"

    def needs(self) -> Mapping[str, Need]:
        """Return the data set."""
        return {"data": Need("data", self.data)}

    def run(self, at: Place) -> bool:
        """Score the recordings of every fold."""
        classes = self.classes or EVALUATED
        found: dict[str, NDArray[np.float32]] = {}
        labels: dict[str, NDArray[np.float32]] = {}
        of_fold: dict[int, list[str]] = {}
        for fold in FOLDS:
            clips = self._test(at, fold, classes)
            rates = self._rates(at, fold, classes)
            for clip in clips.clips:
                true = second_labels(clips, clip.name)
                rate = rates.get(scene_of(clip), np.zeros(len(classes)))
                found[clip.name] = np.broadcast_to(rate, true.shape).astype(np.float32)
                labels[clip.name] = true
            of_fold[fold] = [clip.name for clip in clips.clips]
        return self._keep(at, SoftScores(found, labels, 1.0, classes), of_fold, parameters=0)

    def _rates(
        self, at: Place, fold: int, classes: tuple[str, ...]
    ) -> dict[str, NDArray[np.float64]]:
        if self.which == "positive":
            return {scene: np.ones(len(classes)) for scene in self.scenes}
        options: dict[str, Any] = {"classes": classes, "scenes": self.scenes}
        clips = read_maestro(at.needs["data"], fold=fold, part="train", **options)
        by_scene: dict[str, list[NDArray[np.float32]]] = {}
        for clip in clips.clips:
            by_scene.setdefault(scene_of(clip), []).append(second_labels(clips, clip.name))
        return {
            scene: (np.concatenate(parts) >= 0.5).mean(axis=0) for scene, parts in by_scene.items()
        }


def second_labels(clips: ClipSet, name: str) -> NDArray[np.float32]:
    """Return the soft labels ``(T, C)`` of a recording's whole seconds."""
    clip = next(clip for clip in clips.clips if clip.name == name)
    return rasterise(
        clip.events or (),
        classes=clips.classes,
        frames=max(int(clips.durations()[name]), 1),
        frame_samples=1,
        sample_rate=1,
    )


@dataclass(frozen=True, kw_only=True)
class SoftViews(Step):
    """Pictures of a model: its embeddings of seconds by t-SNE, and what they attend to.

    Attributes:
        checkpoint: of a global-attention CRNN.
        data: data set.
        fold: whose test recordings are looked at.
        scenes: of its recordings.
        target_s: seconds of a crop.
        seconds: at most this many embeddings.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    checkpoint: str
    data: str = "data"
    fold: int = 1
    scenes: tuple[str, ...] = SCENES
    target_s: float = 20.0
    seconds: int = 800
    kind: Literal["soft_views"] = "soft_views"

    def needs(self) -> Mapping[str, Need]:
        """Return the checkpoint and the data set."""
        return {
            "checkpoint": Need("checkpoint", self.checkpoint),
            "data": Need("data", self.data),
        }

    def yields(self) -> Mapping[str, Artefact]:
        """Return the pictures."""
        return {
            "embeddings": Artefact("figures", Path(EMBEDDINGS)),
            "attention": Artefact("figures", Path(ATTENTION)),
        }

    def run(self, at: Place) -> bool:
        """Draw them.

        Raises:
            ConfigError: the checkpoint's model attends to nothing.
        """
        model = load_model(at.needs["checkpoint"]).model
        if not hasattr(model.config, "attention_units"):
            raise ConfigError(f"{at.needs['checkpoint']}: a {model.config.kind} attends to nothing")
        clips = read_maestro(
            at.needs["data"],
            fold=self.fold,
            part="test",
            classes=model.config.classes,
            scenes=self.scenes,
        )
        audio = getattr(model.config, "query", None) == "wav2vec2"
        crops = soft_crops(
            model.config,
            clips.clips,
            target_s=self.target_s,
            scenes=self.scenes,
            cache=at.machine.features,
            audio=audio,
        )
        assert crop_shape(model.config, target_s=self.target_s) == crops.shape
        seen = look(model, crops, clips, batch=_BATCH)
        draw_embeddings(seen, at.folder / EMBEDDINGS, scenes=self.scenes, most=self.seconds)
        draw_attention(
            seen,
            at.folder / ATTENTION,
            before=crops.shape.before,
            frame_s=crops.grid.frame_s,
            classes=model.config.classes,
        )
        return True


def read_pooled(folder: Path) -> Pooled:
    """Return what a step that scores folds found."""
    content = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    return TypeAdapter(Pooled).validate_python(content)
