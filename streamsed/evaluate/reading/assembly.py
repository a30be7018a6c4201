"""Everything that was read, put on one set of names and classes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from streamsed.errors import DataError
from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.reading.chosen_recordings import Recordings
from streamsed.evaluate.reading.delimited import Note, counted, few
from streamsed.evaluate.reading.event_tables import EventFile, EventRow, merge_connected
from streamsed.evaluate.reading.labels import choose_classes, note_without_truth, of_classes
from streamsed.evaluate.reading.naming import RecordingNames
from streamsed.evaluate.reading.recordings import (
    check_units,
    complete_durations,
    known_only,
    note_other_ends,
    without_beyond_end,
)
from streamsed.evaluate.reading.score_files import ScoreFile, find_score_files, read_score_file
from streamsed.evaluate.tables import event_table

_ROUNDED_S = 1e-3  # durations are written rounded
_NOTES_OF_POINTS = 3  # fifty would repeat the same


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Score files of the recordings that are evaluated.

    Attributes:
        origin: their folder.
        classes: of the first file, whose order all tables have.
        files: by recording.
    """

    origin: Path
    classes: tuple[str, ...]
    files: Mapping[str, ScoreFile]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What was read of one evaluation.

    Attributes:
        truth: as its file has it.
        recordings: that are evaluated.
        audio: by recording.
        scores: None if there are none.
        events: detections; None if there are none.
        operating_points: detections by threshold.
        classes: that were asked for; None for those that there are.
        threshold: where there are no events.
        broken_off: recordings that could not be read to their ends.
    """

    truth: EventFile
    recordings: Recordings
    audio: Mapping[str, Path]
    scores: Scores | None
    events: EventFile | None
    operating_points: Mapping[float, EventFile]
    classes: Sequence[str] | None
    threshold: float
    broken_off: Collection[str] = ()


def read_scores(names: RecordingNames, folder: Path, *, note: Note) -> Scores:
    """Read the score files of those recordings that are evaluated.

    Raises:
        DataError: a file cannot be used, or none is of a recording that is evaluated.
    """
    paths = find_score_files(folder)
    matches = names.match(paths, origin=str(folder))
    known = known_only(matches, what="scores", origin=folder, names=names, note=note)
    first: ScoreFile | None = None
    files = {}
    for name, recording in known.items():
        file = read_score_file(paths[name])
        first = first or file
        if file.classes != first.classes:
            present = frozenset(first.classes)
            if extra := [label for label in file.classes if label not in present]:
                raise DataError(
                    f"{first.path}, line 1: has no column {extra[0]!r}, which {file.path} has"
                )
        table = file.ordered(first.classes, like=first.path)
        files[recording] = ScoreFile(file.path, first.classes, table)
    assert first is not None
    return Scores(folder, first.classes, files)


def check_all_scored(recordings: Recordings, scores: Scores) -> None:
    """Check that every recording that is evaluated has a score file.

    One without would count as having nothing detected in it: scores of 20 of 700 recordings give
    figures that look like those of a bad system.

    Raises:
        DataError: there are recordings without; names what can be done.
    """
    names = recordings.names.names
    missing = [name for name in names if name not in scores.files]
    if missing:
        raise DataError(
            f"{scores.origin}: has scores of {len(scores.files)} of the {len(names)} recordings "
            f"that the ground truth and the durations name, and none of {few(missing)}; "
            "--only-scored evaluates those with scores, --subset LIST those of a list, and a file "
            "of zeros counts as nothing detected"
        )


def data_of(inputs: Inputs, *, note: Note, notes: Callable[[], Iterable[str]]) -> EvaluationData:
    """Put everything on one set of names and classes, and check it.

    Args:
        inputs: what was read.
        note: is called with each line that people should read.
        notes: called at the end; returns everything that was noted.
    """
    names, of_truth = inputs.recordings.names, inputs.recordings.of_truth
    durations = _durations(inputs, note=note)
    truth_rows = [
        row._replace(recording=of_truth[row.recording])
        for row in inputs.truth.rows
        if row.recording in of_truth
    ]
    found = None if inputs.events is None else _renamed(inputs.events, names, note)
    of_points = _FewNotes(note)
    points = {
        at: _renamed(file, names, of_points.take) for at, file in inputs.operating_points.items()
    }
    predicted = [row for rows in (found or [], *points.values()) for row in rows]
    scored = None if inputs.scores is None else inputs.scores.classes
    classes = choose_classes(inputs.classes, scored=scored, truth=truth_rows, found=predicted)
    asked = inputs.classes is not None
    check_units(truth_rows, durations, origin=inputs.truth.path)
    truth = _true_events(truth_rows, inputs, classes, durations, note=note)
    scores = None
    if inputs.scores is not None:
        scores = _score_tables(inputs.scores, classes, durations, note=note)
    table = None
    if found is not None:
        table = _detections(found, classes, durations, asked=asked, note=note)
        _note_few_named(found, durations, note=note)
    tables = {
        at: _detections(rows, classes, durations, asked=asked, note=of_points.take)
        for at, rows in points.items()
    }
    of_points.end()
    chosen = frozenset(classes)
    note_without_truth(truth, (row for row in predicted if row.label in chosen), note=note)
    return EvaluationData(
        classes=classes,
        durations_s=durations,
        truth=_event_table(truth),
        events=table,
        scores=scores,
        operating_points=tables or None,
        audio=inputs.audio,
        notes=tuple(notes()),
        threshold=inputs.threshold,
    )


class _FewNotes:
    """Passes on what is noted of the first operating point, and counts that of the others."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._taken = 0

    def take(self, line: str) -> None:
        """Take a note of one operating point."""
        self._taken += 1
        if self._taken <= _NOTES_OF_POINTS:
            self._note(line)

    def end(self) -> None:
        """Note how many were not passed on."""
        if self._taken > _NOTES_OF_POINTS:
            self._note(
                f"and {counted(self._taken - _NOTES_OF_POINTS, 'note')} like these of the "
                "operating points"
            )


def _renamed(file: EventFile, names: RecordingNames, note: Note) -> list[EventRow]:
    """Return the events of a file of predictions under the names of the recordings."""
    matches = names.match(file.recordings, origin=str(file.path))
    known = known_only(matches, what="events", origin=file.path, names=names, note=note)
    return [
        row._replace(recording=known[row.recording]) for row in file.rows if row.recording in known
    ]


def _durations(inputs: Inputs, *, note: Note) -> dict[str, float]:
    files = {} if inputs.scores is None else inputs.scores.files
    ends = {name: float(file.table.edges_s[-1]) for name, file in files.items()}
    durations = complete_durations(
        inputs.recordings.names.names,
        listed=inputs.recordings.listed_s,
        audio=inputs.audio,
        score_ends_s=ends,
        places=inputs.truth.recordings,
    )
    note_other_ends(ends, durations, note=note)
    if not durations:
        raise DataError(f"{inputs.truth.path}: names no recording; give --durations with them")
    return durations


def _true_events(
    rows: Iterable[EventRow],
    inputs: Inputs,
    classes: Sequence[str],
    durations: Mapping[str, float],
    *,
    note: Note,
) -> list[EventRow]:
    rows = of_classes(rows, classes, asked=inputs.classes is not None, note=note)
    rows = without_beyond_end(rows, durations, broken_off=inputs.broken_off, note=note)
    over = [row for row in rows if row.offset_s > durations[row.recording] + _ROUNDED_S]
    if over:
        note(
            f"{counted(len(over), 'true event ends', 'true events end')} after the recording, "
            f"up to {max(r.offset_s - durations[r.recording] for r in over):.3g} s, and "
            f"{'was' if len(over) == 1 else 'were'} left so: first {over[0].place}"
        )
    merged, absorbed = merge_connected(rows, touching=True)
    if absorbed:
        first = min(absorbed, key=lambda row: (str(row.path), row.line))
        note(
            f"{inputs.truth.path}: merged {counted(len(absorbed), 'label')} into others of the "
            "same class that they overlap or touch, the first "
            f"{first.label} in {first.place}"
        )
    return merged


def _detections(
    rows: Iterable[EventRow],
    classes: Sequence[str],
    durations: Mapping[str, float],
    *,
    asked: bool,
    note: Note,
) -> pd.DataFrame:
    rows = of_classes(rows, classes, asked=asked, note=note)
    late = [row for row in rows if row.onset_s >= durations[row.recording]]
    if late:
        where = (
            f"the first {late[0].label} at {late[0].onset_s:g} s of "
            f"{durations[late[0].recording]:g} s on line {late[0].line}"
        )
        if 2 * len(late) > len(rows):
            raise DataError(
                f"{late[0].path}: {len(late)} of {counted(len(rows), 'detection')} are after the "
                f"end of the recording, {where}; onsets, offsets and durations in seconds, of the "
                "same recordings, would be right"
            )
        note(
            f"{late[0].path}: {counted(len(late), 'detection')} after the end of the recording, "
            f"{where}"
        )
    merged, absorbed = merge_connected(rows, touching=False)
    if absorbed:
        first = min(absorbed, key=lambda row: row.line)
        note(
            f"{first.path}: merged {counted(len(absorbed), 'detection')} into others of the "
            f"same class that they overlap, the first {first.label} on line {first.line}"
        )
    return _event_table(merged)


def _note_few_named(
    found: Sequence[EventRow], durations: Mapping[str, float], *, note: Note
) -> None:
    named = len({row.recording for row in found})
    if found and 2 * named < len(durations):
        note(
            f"{found[0].path}: has events of {named} of {len(durations)} recordings; in the others "
            "nothing counts as detected. If they were not looked at, --subset LIST leaves them out"
        )


def _score_tables(
    scores: Scores, classes: tuple[str, ...], durations: Mapping[str, float], *, note: Note
) -> dict[str, ScoreTable]:
    """Return scores of every recording: those without a file score 0 all the time."""
    tables = {}
    silent = []
    for name, duration_s in durations.items():
        file = scores.files.get(name)
        if file is not None:
            tables[name] = file.ordered(classes, like=file.path)
        else:
            silent.append(name)
            nothing = np.zeros((1, len(classes)), np.float32)
            tables[name] = ScoreTable(np.array([0.0, duration_s]), nothing)
    if silent:
        note(
            f"{scores.origin}: no score file of {counted(len(silent), 'recording')}, in "
            f"which nothing counts as detected: {few(silent)}"
        )
    return tables


def _event_table(rows: Iterable[EventRow]) -> pd.DataFrame:
    return event_table((row.recording, row.onset_s, row.offset_s, row.label) for row in rows)
