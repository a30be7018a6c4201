"""What postprocessing reaches on replayed recordings, by the runtime's own decoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from streamsed.bundle.manifest import ClassPostprocessing, Manifest
from streamsed.detect.decoder import Decoder
from streamsed.detect.events import Kind, Reason
from streamsed.detect.postprocessing import FrameRules
from streamsed.evaluate.criteria.collar import event_counts
from streamsed.evaluate.criteria.error_counts import macro
from streamsed.evaluate.criteria.intersection import intersection_counts
from streamsed.evaluate.criteria.psds import PSDS1, PSDS2, psds
from streamsed.evaluate.data import ScoreTable
from streamsed.evaluate.intervals import Intervals
from streamsed.evaluate.metrics.counts import class_counts
from streamsed.evaluate.metrics.thresholds import THRESHOLDS, ScoreStack
from streamsed.evaluate.tables import event_table
from train.postprocess.replayed import Replayed

Postprocessing = Mapping[str, ClassPostprocessing]
EventRow = tuple[str, float, float, str]

_SLOT = 0  # of the decoder; there is one recording at a time


@dataclass(frozen=True)
class ClassMetrics:
    """What one class reaches; NaN without truth, but for the false alarms."""

    event_f1: float
    intersection_f1: float
    psds1: float
    psds2: float
    false_alarms_per_hour: float


@dataclass(frozen=True)
class Metrics:
    """What all classes reach.

    Attributes:
        overall: macro F1s, the PSDS over all classes, and the mean of the classes' false alarms.
        classes: by class; its PSDS are the areas below its own PSD-ROCs.
    """

    overall: ClassMetrics
    classes: Mapping[str, ClassMetrics]


def measure(replayed: Replayed, postprocessing: Mapping[str, Postprocessing]) -> Metrics:
    """Decode every recording as the daemon would and compare with the truth.

    Args:
        replayed: scores and truth.
        postprocessing: by recording (folds have each their own), by class.
    """
    rows: list[EventRow] = []
    filtered: dict[str, ScoreTable] = {}
    data = replayed.data
    assert data.scores is not None
    for index, name in enumerate(replayed.clips.names):
        events, scores = decode_recording(replayed, index, postprocessing[name])
        rows += events
        filtered[name] = ScoreTable(data.scores[name].edges_s, scores)
    return _figures(replayed, event_table(rows), filtered)


def decode_recording(
    replayed: Replayed, index: int, postprocessing: Postprocessing
) -> tuple[list[EventRow], NDArray[np.float32]]:
    """Run one recording's scores through the runtime's decoder.

    Returns:
        Its events ``(filename, onset_s, offset_s, label)`` and filtered scores ``(T, C)``, with 0
        for frames of the warm-up.
    """
    manifest, clips = replayed.manifest, replayed.clips
    name, scores, first = clips.names[index], clips.scores[index], int(clips.first_frames[index])
    filtered = np.zeros((first + len(scores), len(manifest.classes)), np.float32)
    if not len(scores):
        return [], filtered
    decoder = _decoder(manifest, postprocessing)
    received = round(float(clips.durations_s[index]) * manifest.sample_rate)
    decoder.begin(
        _SLOT,
        name,
        first_sample=first * manifest.frame_samples,
        first_received_sample=received,
        place_in_step=0,
        numbers=count(),
    )
    decoded = decoder.push([_SLOT], scores[None], [received])
    ended = decoder.end(_SLOT, Reason.END_OF_STREAM, received)
    transitions = decoded.transitions + ended.transitions
    filtered[first:] = np.concatenate([f.scores for f in decoded.filtered + ended.filtered])
    rate = manifest.sample_rate
    events = [
        (name, t.onset_sample / rate, t.offset_sample / rate, t.label)
        for t in transitions
        if t.kind is Kind.OFFSET and t.offset_sample is not None
    ]
    return events, filtered


def _decoder(manifest: Manifest, postprocessing: Postprocessing) -> Decoder:
    rules = [
        (label, FrameRules.of(postprocessing[label], frame_s=manifest.frame_s))
        for label in manifest.classes
    ]
    return Decoder(
        rules,
        frame_samples=manifest.frame_samples,
        frames_per_step=manifest.frames_per_chunk,
        keep_filtered=True,
    )


def _figures(
    replayed: Replayed, events: pd.DataFrame, filtered: Mapping[str, ScoreTable]
) -> Metrics:
    data = replayed.data
    truth, durations_s, classes = data.truth, data.durations_s, data.classes
    names = tuple(durations_s)
    event = event_counts(events, truth, recordings=names, classes=classes)
    (intersection,) = intersection_counts([events], truth, durations_s=durations_s, classes=classes)
    scores = ScoreStack(filtered, classes)
    found = [scores.events(t) for t in THRESHOLDS]
    first, second = (psds(found, truth, c, durations_s=durations_s) for c in (PSDS1, PSDS2))
    counts = class_counts(
        event,
        Intervals.of(events, recordings=names, classes=classes),
        Intervals.of(truth, recordings=names, classes=classes),
        classes=classes,
        hours=data.hours,
    )
    alarms = {label: count.false_alarms_per_hour for label, count in counts.items()}
    event_f1, intersection_f1 = event.f1(), intersection.f1()
    return Metrics(
        overall=ClassMetrics(
            event_f1=float(macro(event_f1)),
            intersection_f1=float(macro(intersection_f1)),
            psds1=first.value,
            psds2=second.value,
            false_alarms_per_hour=float(np.mean(list(alarms.values()))),
        ),
        classes={
            label: ClassMetrics(
                event_f1=float(event_f1[column]),
                intersection_f1=float(intersection_f1[column]),
                psds1=first.per_class.get(label, math.nan),
                psds2=second.per_class.get(label, math.nan),
                false_alarms_per_hour=alarms[label],
            )
            for column, label in enumerate(classes)
        },
    )
