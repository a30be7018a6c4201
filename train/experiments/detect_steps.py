"""A step that tags clips and detects events in them, with windows of two kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter

from streamsed.errors import ConfigError
from streamsed.evaluate.criteria.collar import event_counts
from streamsed.evaluate.criteria.error_counts import ErrorCounts, macro
from streamsed.evaluate.criteria.segments import segment_counts
from train.checkpoint import load_model
from train.data.clips import ClipSet
from train.data.desed import Part, read_desed
from train.engine.machine import MachineConfig, make_fabric
from train.experiments.artefact import Artefact
from train.experiments.scoring import tagged_scores
from train.experiments.step import Need, Place, Step
from train.postprocess.choices import DEFAULT_ETA
from train.postprocess.twice import active_frames, event_durations
from train.postprocess.windows import Durations, Rule, WindowConfig, class_window
from train.stages.validation import Scores, active_events, odd_frames, true_events
from train.writing import replacing

DETECTED = "detected.json"
RESAMPLES = 1000
RULES: dict[Literal["average", "event_specific"], Rule] = {
    "average": Rule.MEAN,
    "event_specific": Rule.KNEE,
}


@dataclass(frozen=True)
class F1:
    """F1 of one kind.

    Attributes:
        macro: mean over the classes with truth.
        interval: of its central 95 % when the clips are resampled.
        classes: of each; None without truth.
    """

    macro: float
    interval: tuple[float, float]
    classes: dict[str, float | None]


@dataclass(frozen=True)
class Windowed:
    """What is found with windows of one kind.

    Attributes:
        events: event-based F1, collars of 200 ms or 20 % of the duration.
        segments: segment-based F1, of 1 s.
        tags: F1 of clips' tags: the classes of which an event is left after the windows. So windows
            change tags, as in the paper's Table 3.
        windows_s: of each class.
        confusion: of each class, the share of clips with it that have each class as a tag; of
            other classes, only the clips without them count. None where there are no such clips.
    """

    events: F1
    segments: F1
    tags: F1
    windows_s: dict[str, float]
    confusion: dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Detected:
    """What a checkpoint tags and detects.

    Attributes:
        tags: F1 of the tags that gate, before windows.
        average: with windows of the average duration.
        event_specific: with windows of the durations up to their knee.
        parameters: number of weights.
    """

    tags: F1
    average: Windowed
    event_specific: Windowed
    parameters: int


def read_detected(folder: Path) -> Detected:
    """Return what a :class:`Detect` found."""
    text = (folder / DETECTED).read_text(encoding="utf-8")
    return TypeAdapter(Detected).validate_json(text)


@dataclass(frozen=True, kw_only=True)
class Detect(Step):
    """A checkpoint's tags and events.

    Attributes:
        checkpoint: of a detector with a clip-level output.
        gate: checkpoint whose tags gate, such as the teacher's; null for the detector's own.
        title: of its row in tables; null for none.
        data: data set.
        part: of it, with events.
        duration_s: of each clip; longer ones are cropped.
        durations_of: part whose events windows are made of.
        eta: a window as a share of the mean duration.
        threshold: of frames.
        tag_threshold: of tags.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    captions: ClassVar[tuple[str, ...]] = ("title",)

    checkpoint: str
    gate: str | None = None
    title: str | None = None
    data: str = "data"
    part: Part = "validation"
    duration_s: float = 10.0
    durations_of: Part = "strong"
    eta: float = DEFAULT_ETA
    threshold: float = 0.5
    tag_threshold: float = 0.5
    kind: Literal["detect"] = "detect"

    def needs(self) -> Mapping[str, Need]:
        """Return the checkpoint and the data set."""
        needs = {
            "checkpoint": Need("checkpoint", self.checkpoint),
            "data": Need("data", self.data),
        }
        return needs if self.gate is None else {**needs, "gate": Need("checkpoint", self.gate)}

    def yields(self) -> Mapping[str, Artefact]:
        """Return what was tagged and detected."""
        return {"detected": Artefact("figures", Path(DETECTED))}

    def run(self, at: Place) -> bool:
        """Score the clips, and detect."""
        model = load_model(at.needs["checkpoint"]).model
        config = model.config
        clips = read_desed(at.needs["data"], self.part, classes=config.classes)
        frame_s = config.frame_samples / config.front_end.sample_rate
        device = make_fabric(MachineConfig(**at.machine.recipes)).device
        found = tagged_scores(model, clips, duration_s=self.duration_s, device=device)
        tags = found.tags
        if self.gate is not None:
            gate = load_model(at.needs["gate"]).model
            if gate.config.classes != config.classes:
                raise ConfigError(f"{self.gate}: its classes are not those of {self.checkpoint}")
            tags = tagged_scores(gate, clips, duration_s=self.duration_s, device=device).tags
        parameters = sum(weights.numel() for weights in model.parameters())
        training = read_desed(at.needs["data"], self.durations_of, classes=config.classes)
        detected = self._detected(found.frames, tags, clips, training, frame_s, parameters)
        with replacing(at.folder / DETECTED) as part:
            part.write_text(json.dumps(asdict(detected), indent=1), encoding="utf-8")
        return True

    def _detected(
        self,
        frames: Mapping[str, Scores],
        tags: Mapping[str, Scores],
        clips: ClipSet,
        training: ClipSet,
        frame_s: float,
        parameters: int,
    ) -> Detected:
        durations, durations_s = event_durations(training), clips.durations()
        truth = true_events(clips, durations_s=durations_s)
        true = np.array([[label in clip.labels for label in clips.classes] for clip in clips.clips])
        found: dict[str, Windowed] = {}
        for name, rule in RULES.items():
            lengths_s = self._windows_s(durations, rule)
            sizes = [odd_frames(lengths_s[label], frame_s) for label in clips.classes]
            active = {
                clip: active_frames(
                    scores,
                    tags[clip],
                    windows=sizes,
                    threshold=self.threshold,
                    tag_threshold=self.tag_threshold,
                )
                for clip, scores in frames.items()
            }
            events = active_events(
                active, classes=clips.classes, frame_s=frame_s, durations_s=durations_s
            )
            left = np.stack([active[clip.name].any(axis=0) for clip in clips.clips])
            found[name] = Windowed(
                events=event_f1(events, truth, clips),
                segments=segment_f1(events, truth, clips),
                tags=_f1(_tag_counts(left, true), clips.classes),
                windows_s={label: lengths_s[label] for label in clips.classes},
                confusion=tag_confusion(left, true, clips.classes),
            )
        on = np.stack([tags[clip.name] > self.tag_threshold for clip in clips.clips])
        return Detected(
            tags=_f1(_tag_counts(on, true), clips.classes), parameters=parameters, **found
        )

    def _windows_s(self, durations: Mapping[str, Durations], rule: Rule) -> dict[str, float]:
        """Return each class's window; 0, no filter, of one without any event to learn from."""
        config = WindowConfig(rule=rule, eta=self.eta)
        return {
            label: class_window(label, of, config).window_s if len(of.durations_s) else 0.0
            for label, of in durations.items()
        }


def event_f1(events: pd.DataFrame, truth: pd.DataFrame, clips: ClipSet) -> F1:
    """Return the event-based F1 of an event table, collars of 200 ms or 20 % of the duration."""
    recordings = [clip.name for clip in clips.clips]
    counts = event_counts(events, truth, recordings=recordings, classes=clips.classes)
    return _f1(counts, clips.classes)


def segment_f1(events: pd.DataFrame, truth: pd.DataFrame, clips: ClipSet) -> F1:
    """Return the segment-based F1 of an event table, in segments of 1 s."""
    counts = segment_counts(events, truth, durations_s=clips.durations(), classes=clips.classes)
    return _f1(counts, clips.classes)


def tag_confusion(
    found: NDArray[np.bool_], true: NDArray[np.bool_], classes: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Return the shares of :attr:`Windowed.confusion` of tags ``(R, C)``."""
    shares: dict[str, dict[str, float | None]] = {}
    for row, label in enumerate(classes):
        shares[label] = {}
        for column, other in enumerate(classes):
            clips = true[:, row] if row == column else true[:, row] & ~true[:, column]
            share = float(found[clips, column].mean()) if clips.any() else None
            shares[label][other] = share
    return shares


def _tag_counts(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> ErrorCounts:
    parts = (found & true, found & ~true, ~found & true)
    return ErrorCounts(*(part.astype(np.int64) for part in parts))


def _f1(counts: ErrorCounts, classes: Sequence[str]) -> F1:
    values = counts.f1()
    clips = len(counts.hits)
    weights = np.random.default_rng(0).multinomial(clips, [1 / clips] * clips, size=RESAMPLES)
    low, high = np.nanpercentile(counts.resampled_f1(weights.astype(np.float64)), [2.5, 97.5])
    of = {
        label: None if np.isnan(value) else float(value)
        for label, value in zip(classes, values, strict=True)
    }
    return F1(float(macro(values)), (float(low), float(high)), of)
