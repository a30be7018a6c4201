"""Small datasets for reports: drawn at random, with audio, measured for real."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf

from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.tables import event_table

FRAME_S = 0.05
CLASSES = ("Cat", "Running_water", "Speech")


def draw_data(
    *,
    classes: Sequence[str] = CLASSES,
    recordings: Sequence[str] = ("a.wav", "b.wav", "c/d.wav"),
    duration_s: float = 10.0,
    events_each: int = 1,
    seed: int = 1,
) -> EvaluationData:
    """Return data with scores that are high where the truth is, now and then elsewhere."""
    random = np.random.default_rng(seed)
    frames = round(duration_s / FRAME_S)
    edges_s = np.arange(frames + 1) * FRAME_S
    truth, scores = [], {}
    for name in recordings:
        # Filtered scores change seldom: exact PSDS looks at every value that occurs.
        values = np.repeat(random.integers(0, 4, (-(-frames // 40), len(classes))), 40, axis=0)
        values = values[:frames] / 10.0
        for c, label in enumerate(classes):
            pitch_s = duration_s / events_each
            for number in range(events_each):
                onset = number * pitch_s + float(random.uniform(0.1, pitch_s / 2))
                offset = onset + float(random.uniform(0.2, pitch_s / 3))
                truth.append((name, round(onset, 3), round(offset, 3), label))
                late = int(random.integers(-3, 8))
                first, last = round(onset / FRAME_S) + late, round(offset / FRAME_S) + 2
                values[max(0, first) : last, c] = random.integers(8, 21) / 20.0
            stray = int(random.integers(0, frames - 10))
            if random.uniform() < 0.3:
                values[stray : stray + 8, c] = random.integers(10, 19) / 20.0
        scores[name] = ScoreTable(edges_s, values.astype(np.float32))
    return EvaluationData(
        classes=tuple(classes),
        durations_s=dict.fromkeys(recordings, duration_s),
        truth=event_table(truth),
        scores=scores,
    )


def publish(events: pd.DataFrame, *, delay_s: float) -> pd.DataFrame:
    """Return when events would have been published, each ``delay_s`` after it happened."""
    return events.assign(
        onset_decided=events["onset"] + delay_s, offset_decided=events["offset"] + delay_s
    )


def write_audio(folder: Path, data: EvaluationData, *, rate: int = 16000) -> dict[str, Path]:
    """Write a recording with a tone wherever an event is true; return where."""
    random = np.random.default_rng(2)
    found = {}
    for index, (name, duration_s) in enumerate(data.durations_s.items()):
        time_s = np.arange(round(duration_s * rate)) / rate
        samples = random.normal(0.0, 0.003, len(time_s))
        own = data.truth[data.truth["filename"] == name]
        for event in own.itertuples():
            pitch_hz = 400.0 * 2 ** data.classes.index(str(event.event_label))
            on = (time_s >= event.onset) & (time_s < event.offset)
            samples += on * 0.2 * np.sin(2 * np.pi * pitch_hz * time_s)
        found[name] = folder / f"{index}.wav"
        sf.write(found[name], samples, rate)
    return found
