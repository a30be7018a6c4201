"""Pictures of the worst recordings: which, and of which seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import soundfile as sf
from markupsafe import Markup

from streamsed.evaluate.criteria.collar import partners
from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.evaluation import Evaluation, RecordingErrors
from streamsed.evaluate.intervals import Floats, Intervals
from streamsed.evaluate.metrics.detections import operating_point
from streamsed.evaluate.report.scene import ClassRow, Scene, draw, margin_in
from streamsed.evaluate.report.sound import read_part, sound_url
from streamsed.evaluate.report.spectrogram import log_mel
from streamsed.evaluate.report.windows import Window, choose_windows
from streamsed.evaluate.report.wording import clock, count, legible

MOST_ROWS = 10
"""Classes that one picture shows at most."""
LIKELY = 0.5
"""A class without events is shown if its score gets this high."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and the text beside it.

    Attributes:
        recording: its name.
        summary: its errors.
        remarks: what is shown, and what is not.
        chart: the picture.
        sound: ``data:`` URL of what is shown; empty where there is none.
    """

    recording: str
    summary: str
    remarks: tuple[str, ...]
    chart: Markup
    sound: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Events of one recording, each with whether it matches."""

    truth: pd.DataFrame
    detections: pd.DataFrame

    def errors_s(self) -> Floats:
        """Onsets of missed and wrong events."""
        parts = [t.loc[~t["matched"], "onset"] for t in (self.truth, self.detections)]
        return np.concatenate([p.to_numpy(np.float64) for p in parts])


def worst_pictures(
    evaluation: Evaluation,
    data: EvaluationData,
    *,
    worst: int,
    thresholds: Mapping[str, float],
    sounds: bool,
) -> Iterator[Picture]:
    """Picture the recordings with most errors; one at a time, for they are large.

    Args:
        evaluation: has the worst in order.
        data: what happens in them.
        worst: how many pictures.
        thresholds: by class, to be drawn with the scores; may be empty.
        sounds: whether to add what is shown as sound.
    """
    errors = {e.recording: e for e in evaluation.by_recording[:worst] if e.errors}
    if not errors:
        return
    judged = _judged(data, tuple(errors))
    windows = choose_windows(
        {name: judged[name].errors_s() for name in errors}, data.durations_s, most=worst
    )
    for index, window in enumerate(windows):
        yield _picture(
            window,
            errors[window.recording],
            judged[window.recording],
            data,
            thresholds=thresholds,
            sounds=sounds,
            name=f"picture{index}",
        )


def _judged(data: EvaluationData, recordings: tuple[str, ...]) -> Mapping[str, _Judged]:
    """Return the events of some recordings, matched as the error counts are."""
    point = operating_point(data)
    assert point is not None, "errors were counted, so there are detections"
    truth, detections = (
        table[table["filename"].isin(recordings)].reset_index(drop=True)
        for table in (data.truth, point.events)
    )
    partner = partners(
        *(
            Intervals.of(table, recordings=recordings, classes=data.classes)
            for table in (detections, truth)
        )
    )
    hits = np.zeros(len(detections), bool)
    hits[partner[partner >= 0]] = True
    truth, detections = truth.assign(matched=partner >= 0), detections.assign(matched=hits)
    return {
        name: _Judged(truth[truth["filename"] == name], detections[detections["filename"] == name])
        for name in recordings
    }


def _picture(
    window: Window,
    errors: RecordingErrors,
    judged: _Judged,
    data: EvaluationData,
    *,
    thresholds: Mapping[str, float],
    sounds: bool,
    name: str,
) -> Picture:
    rows = _rows(window, judged, data, thresholds)
    remarks = []
    if len(rows) > MOST_ROWS:
        left_out = len(rows) - MOST_ROWS
        remarks.append(
            "1 class with fewer errors is not shown."
            if left_out == 1
            else f"{left_out} classes with fewer errors are not shown."
        )
        order = {row.label: i for i, row in enumerate(rows)}
        rows = sorted(rows, key=lambda row: (-row.errors, -row.events))[:MOST_ROWS]
        rows = sorted(rows, key=lambda row: order[row.label])
    level, rate, sound = None, 0, ""
    remark = "No spectrogram and no sound: the audio was not found."
    if path := data.audio.get(window.recording):
        try:
            samples, rate = read_part(path, begin_s=window.begin_s, end_s=window.end_s)
            level = log_mel(samples, rate, length_s=window.end_s - window.begin_s)
            sound = sound_url(samples, rate) if sounds else ""
            remark = ""
        except (OSError, sf.LibsndfileError) as error:
            reason = legible(str(error))
            remark = f"No spectrogram and no sound: the audio cannot be read ({reason})."
    if remark:
        remarks.append(remark)
    scene = Scene(window.begin_s, window.end_s, level=level, sample_rate=rate, rows=tuple(rows))
    missed = errors.truth - errors.hits
    summary = (
        f"{count(errors.errors)} errors: {count(missed)} of {count(errors.truth)} events missed, "
        f"{count(errors.wrong)} wrong detections"
    )
    shown = _shown(window, data.durations_s[window.recording])
    text = f"{legible(window.recording)}, {shown} {summary}. " + "; ".join(
        f"{legible(row.label)}: {len(row.truth)} true, {len(row.detections)} detected"
        for row in rows
    )
    return Picture(
        recording=legible(window.recording),
        summary=summary,
        remarks=(shown, *remarks),
        chart=draw(scene, margin=margin_in(data.classes), name=name, text=text),
        sound=sound,
    )


def _shown(window: Window, duration_s: float) -> str:
    if window.begin_s == 0.0 and window.end_s == duration_s:
        return f"All of its {duration_s:.1f} s are shown."
    errors = "1 error" if window.errors == 1 else f"{count(window.errors)} errors"
    return (
        f"Seconds {window.begin_s:.1f} to {window.end_s:.1f} of {duration_s:.1f} are shown"
        f" (from {clock(window.begin_s)}): {errors}."
    )


def _rows(
    window: Window, judged: _Judged, data: EvaluationData, thresholds: Mapping[str, float]
) -> list[ClassRow]:
    """Return a row for each class that has something in the window, in the classes' order."""
    scores = None if data.scores is None else data.scores.get(window.recording)
    values, edges_s = np.empty((0, len(data.classes)), np.float32), np.zeros(1)
    if scores is not None:
        first = max(0, int(np.searchsorted(scores.edges_s, window.begin_s, "right")) - 1)
        last = int(np.searchsorted(scores.edges_s, window.end_s, "left"))
        values, edges_s = scores.scores[first:last], scores.edges_s[first : last + 1]
    peaks = values.max(axis=0, initial=0.0)
    truth, detections = (_within(t, window) for t in (judged.truth, judged.detections))
    rows = []
    for c, label in enumerate(data.classes):
        row = ClassRow(
            label=label,
            truth=_triples(truth[truth["event_label"] == label]),
            detections=_triples(detections[detections["event_label"] == label]),
            edges_s=edges_s,
            scores=values[:, c],
            threshold=thresholds.get(label),
        )
        if row.events or peaks[c] >= LIKELY:
            rows.append(row)
    return rows


def _within(events: pd.DataFrame, window: Window) -> pd.DataFrame:
    return events[(events["offset"] > window.begin_s) & (events["onset"] < window.end_s)]


def _triples(events: pd.DataFrame) -> tuple[tuple[float, float, bool], ...]:
    columns = (events[c].tolist() for c in ("onset", "offset", "matched"))
    return tuple(zip(*columns, strict=True))
