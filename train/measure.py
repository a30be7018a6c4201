"""Measure a bundle as it ships: scenes through the runtime's own engine and decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from streamsed.bundle import load
from streamsed.bundle.manifest import Manifest
from streamsed.detect.detector import Detector, StepResult
from streamsed.detect.engine import Engine
from streamsed.detect.events import Kind, Reason
from streamsed.detect.postprocessing import FrameRules
from streamsed.evaluate import metrics
from streamsed.evaluate.tables import event_table
from streamsed.sources.block import Block
from train.data.soundscape import Soundscape


@dataclass(frozen=True)
class ClassFigures:
    """What a bundle reaches on one class.

    Attributes:
        events: true events.
        event_f1: 200 ms collars, with the thresholds that ship.
        intersection_f1: dtc, gtc 0.5, with the thresholds that ship.
        psds1: area of the class's own PSD-ROC, scenario 1, over 50 thresholds.
        psds2: the same for scenario 2.
        false_alarms_per_hour: detections that meet no event of the class at all.
    """

    events: int
    event_f1: float
    intersection_f1: float
    psds1: float
    psds2: float
    false_alarms_per_hour: float


@dataclass(frozen=True)
class Figures:
    """What a bundle reaches on a set of scenes."""

    scenes: int
    hours: float
    event_f1: float
    intersection_f1: float
    psds1: float
    psds2: float
    classes: dict[str, ClassFigures]


def run_detector(
    bundle: Path, scenes: Sequence[Soundscape]
) -> tuple[Manifest, list[tuple[str, float, float, str]], dict[str, NDArray[np.float32]]]:
    """Send every scene through the detector.

    Returns:
        The manifest, the events found as ``(filename, onset_s, offset_s, label)``, and the fused
        scores ``(T, C)`` of each scene. Scene ``i`` has the filename ``i``.
    """
    engine = Engine(load(bundle), provider="cpu")
    detector = Detector(engine)
    rate = engine.manifest.sample_rate
    rows: list[tuple[str, float, float, str]] = []
    pieces: dict[str, list[NDArray[np.float32]]] = {str(i): [] for i in range(len(scenes))}

    def collect(result: StepResult) -> None:
        rows.extend(
            (t.source, t.onset_sample / rate, t.offset_sample / rate, t.label)
            for t in result.transitions
            if t.kind is Kind.OFFSET and t.offset_sample is not None
        )
        for frames in result.frames:
            pieces[frames.source].append(np.array(frames.scores))

    for index, scene in enumerate(scenes):
        name = str(index)
        detector.add(name)
        detector.push(name, Block(scene.audio, 0))
        detector.end(name, Reason.END_OF_STREAM)
        while (result := detector.step()) is not None:
            collect(result)
    return engine.manifest, rows, {name: np.concatenate(part) for name, part in pieces.items()}


def measure(bundle: Path, scenes: Sequence[Soundscape]) -> Figures:
    """Return what a bundle reaches on ``scenes``."""
    manifest, rows, scores = run_detector(bundle, scenes)
    classes, frame_s = manifest.classes, manifest.frame_s
    truth = event_table(
        (str(i), e.onset_s, e.offset_s, e.label) for i, s in enumerate(scenes) for e in s.events
    )
    durations_s = {str(i): len(s.audio) / manifest.sample_rate for i, s in enumerate(scenes)}
    filtered = {name: _filtered(array, manifest) for name, array in scores.items()}
    found = event_table(rows)
    event = metrics.event_f1(found, truth, classes=classes, files=list(durations_s))
    intersection = metrics.intersection_f1(found, truth, classes=classes, durations_s=durations_s)
    psds1, psds1_classes = metrics.psds(
        filtered, truth, metrics.PSDS1, classes=classes, frame_s=frame_s, durations_s=durations_s
    )
    psds2, psds2_classes = metrics.psds(
        filtered, truth, metrics.PSDS2, classes=classes, frame_s=frame_s, durations_s=durations_s
    )
    hours = sum(durations_s.values()) / 3600
    return Figures(
        scenes=len(scenes),
        hours=hours,
        event_f1=event.macro,
        intersection_f1=intersection.macro,
        psds1=psds1,
        psds2=psds2,
        classes={
            name: ClassFigures(
                events=int((truth.event_label == name).sum()),
                event_f1=event.per_class[name],
                intersection_f1=intersection.per_class[name],
                psds1=psds1_classes[name],
                psds2=psds2_classes[name],
                false_alarms_per_hour=_missing_truth(rows, scenes, name) / hours,
            )
            for name in classes
        },
    )


def _filtered(scores: NDArray[np.float32], manifest: Manifest) -> NDArray[np.float32]:
    """Apply each class's median window to ``(T, C)``."""
    filtered = np.empty_like(scores)
    for index, name in enumerate(manifest.classes):
        rules = FrameRules.of(
            manifest.postprocessing[name], frame_s=manifest.frame_s, update_every_s=0.0
        )
        filtered[:, index] = median_filter(scores[:, index], size=rules.median, mode="nearest")
    return filtered


def _missing_truth(
    rows: Sequence[tuple[str, float, float, str]], scenes: Sequence[Soundscape], label: str
) -> int:
    """Count detections of a class that touch no true event of it."""
    return sum(
        not any(
            event.label == label and event.onset_s < offset and event.offset_s > onset
            for event in scenes[int(name)].events
        )
        for name, onset, offset, found in rows
        if found == label
    )
