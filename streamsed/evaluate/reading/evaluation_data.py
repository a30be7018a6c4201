"""Reading: tables and folders of the field's tools, made into the data of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from streamsed.errors import DataError
from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.reading.assembly import Inputs, check_all_scored, data_of, read_scores
from streamsed.evaluate.reading.chosen_recordings import (
    all_recordings,
    find_audio_of,
    listed_only,
    only,
    replayed_recordings,
)
from streamsed.evaluate.reading.decisions import DECIDED_COLUMNS, read_decisions
from streamsed.evaluate.reading.delimited import Note, counted, few, read_delimited, read_text
from streamsed.evaluate.reading.event_tables import (
    EventFile,
    read_durations,
    read_event_file,
    read_subset,
)
from streamsed.evaluate.reading.ground_truth import read_events, read_ground_truth
from streamsed.evaluate.reading.labels import IN_REPLAY, of_classes
from streamsed.evaluate.reading.operating_points import read_operating_points
from streamsed.evaluate.reading.recordings import find_audio

DEFAULT_THRESHOLD = 0.5
_REPLAY = "a folder that streamsed replay wrote would be right"


class Notes:
    """What was mended or left out: lines for people, in order, each once."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def add(self, line: str) -> None:
        """Add a line."""
        self._lines.setdefault(line)

    def lines(self) -> tuple[str, ...]:
        """Return all of them."""
        return tuple(self._lines)


def read_evaluation_data(
    *,
    ground_truth: Path,
    durations: Path | None = None,
    events: Path | None = None,
    scores: Path | None = None,
    operating_points: Path | None = None,
    audio: Path | None = None,
    classes: Sequence[str] | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    only_scored: bool = False,
    subset: Path | None = None,
) -> EvaluationData:
    """Read what is to be evaluated, whoever wrote it.

    The recordings that are evaluated are those of the durations and of the ground truth; how
    they are matched with the other files is described by
    :class:`~streamsed.evaluate.reading.naming.RecordingNames`. One without events has no
    detections; one that only the durations name has no true events; predictions for others are
    left out. All of it is noted. One without a score file,
    where there are others, is an error: ``only_scored`` or ``subset`` leave it out.

    Events of one class of one recording that overlap are merged, and true events also if they
    touch. Labels that are no class of the scores are an error unless ``classes`` are given.

    Without ``events``, the operating point is what exceeds ``threshold`` in the scores, or the
    one of the ``operating_points`` whose threshold is nearest.

    Args:
        ground_truth: table of true events, or folder of soft labels.
        durations: table of lengths; without it, ``audio`` is looked at, then the scores' ends.
        events: table of detections.
        scores: folder of score files.
        operating_points: folder of tables of detections.
        audio: folder of the recordings.
        classes: that are evaluated; by default those of the scores, else every label.
        threshold: where there are no ``events``.
        only_scored: whether recordings without a score file are left out.
        subset: list of the recordings that are evaluated, one a line, or a table with a column
            ``filename``; None for all.

    Raises:
        DataError: which file and line cannot be used, and what would be right.
    """
    if scores is not None and operating_points is not None:
        raise DataError("both scores and operating points are given; one of them would be right")
    if not (events or scores or operating_points):
        raise DataError("there is nothing to evaluate: no scores, operating points nor events")
    if only_scored and scores is None:
        raise DataError("--only-scored: there are no --scores; --subset LIST would be right")
    notes = Notes()
    truth = read_ground_truth(ground_truth, note=notes.add)
    listed_s = None if durations is None else read_durations(durations, note=notes.add)
    recordings = all_recordings(truth, listed_s, origin=durations, note=notes.add)
    if subset is not None:
        recordings = listed_only(recordings, read_subset(subset), origin=subset)
        notes.add(f"{subset}: only its {counted(len(recordings.names.names), 'recording')} counts")
    scored = None if scores is None else read_scores(recordings.names, scores, note=notes.add)
    if scored is not None and only_scored:
        left = len(recordings.names.names) - len(scored.files)
        recordings = only(recordings, scored.files.keys())
        notes.add(f"--only-scored: left out {counted(left, 'recording')} without scores")
    if scored is not None:
        check_all_scored(recordings, scored)
    found = None
    if audio is not None:
        found = find_audio_of(recordings.names, find_audio(audio), origin=audio, note=notes.add)
    detected = None
    if events is not None:
        detected = read_events(events, note=notes.add, may_be_empty=True)
    points: Mapping[float, EventFile] = {}
    if operating_points is not None:
        points = read_operating_points(operating_points, note=notes.add)
    inputs = Inputs(
        truth=truth,
        recordings=recordings,
        audio=found or {},
        scores=scored,
        events=detected,
        operating_points=points,
        classes=classes,
        threshold=threshold,
    )
    return data_of(inputs, note=notes.add, notes=notes.lines)


def read_replay(
    folder: Path,
    *,
    ground_truth: Path,
    audio: Path | None = None,
    classes: Sequence[str] | None = None,
) -> EvaluationData:
    """Read what a replay found, with the times at which it would have been published.

    The recordings that are evaluated are those that were replayed.

    Args:
        folder: that ``streamsed replay`` wrote.
        ground_truth: table of true events, or folder of soft labels.
        audio: folder of the recordings, if they are no longer where they were.
        classes: that are evaluated; by default all of the bundle.

    Raises:
        DataError: which file and line cannot be used, and what would be right.
    """
    files = {name: folder / name for name in ("durations.tsv", "events.tsv", "scores")}
    for path in files.values():
        if not path.exists():
            raise DataError(f"{path}: no such file; {_REPLAY}, and the replay has to be finished")
    notes = Notes()
    truth = read_ground_truth(ground_truth, note=notes.add)
    durations = files["durations.tsv"]
    listed_s = read_durations(durations, note=notes.add)
    recordings = replayed_recordings(truth, listed_s, origin=durations, note=notes.add)
    names = recordings.names
    if audio is not None:
        found = find_audio_of(names, find_audio(audio), origin=audio, note=notes.add)
    else:
        journal = folder / "recordings.jsonl"
        found = find_audio_of(names, _replayed_audio(journal), origin=journal, note=None)
    inputs = Inputs(
        truth=truth,
        recordings=recordings,
        audio=found,
        scores=read_scores(names, files["scores"], note=notes.add),
        broken_off=_failures(folder / "failed.tsv", note=notes.add),
        events=read_event_file(files["events.tsv"], note=notes.add, may_be_empty=True),
        operating_points={},
        classes=classes,
        threshold=DEFAULT_THRESHOLD,
    )
    data = data_of(inputs, note=notes.add, notes=notes.lines)
    data = _as_run(data, folder / "replay.json")
    messages = folder / "messages.jsonl"
    if not messages.is_file():
        note = f"{messages}: no such file, so the latency of messages is not known"
        return replace(data, notes=(*data.notes, note))
    decided = [
        decision
        for decision in read_decisions(messages)
        if decision.label in data.classes and decision.recording in data.durations_s
    ]
    return replace(data, decided=pd.DataFrame(decided, columns=DECIDED_COLUMNS))


def check_ground_truth(path: Path, *, classes: Sequence[str]) -> None:
    """Check, before long work, that a ground truth can be used with the classes of a bundle.

    Args:
        path: table of true events, or folder of soft labels.
        classes: that can be detected.

    Raises:
        DataError: file and line of what cannot be used, also a label that is no class.
    """
    truth = read_ground_truth(path, note=lambda _: None)
    of_classes(truth.rows, classes, asked=False, note=lambda _: None, remedy=IN_REPLAY)


def _as_run(data: EvaluationData, description: Path) -> EvaluationData:
    """Add from a replay's description the bundle and its thresholds, if it is there."""
    if not description.is_file():
        return data
    try:
        run = json.loads(read_text(description))
        bundle = f"bundle {run['bundle']['name']}, version {run['bundle']['version']}"
        thresholds = {label: float(run["postprocessing"][label]["enter"]) for label in data.classes}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{description}: not what streamsed replay writes; {_REPLAY}") from error
    return replace(data, class_thresholds=thresholds, evaluated=bundle)


def _replayed_audio(journal: Path) -> dict[str, Path]:
    """Return where a replay found its recordings, as far as they are there still."""
    if not journal.is_file():
        return {}
    found = {}
    for line, text in enumerate(read_text(journal).splitlines(), 1):
        try:
            entry = json.loads(text)
            name, path = str(entry["name"]), Path(entry["path"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{journal}, line {line}: is no entry of a replay's journal") from error
        if path.is_file():
            found[name] = path
    return found


def _failures(path: Path, *, note: Note) -> list[str]:
    """Return which recordings a replay could not read to their ends, and note them."""
    if not path.is_file():
        return []
    names = [row.cells[0] for row in read_delimited(path, note=note).rows[1:]]
    if names:
        note(
            f"{path}: the replay failed on {counted(len(names), 'recording')}, of which only what "
            f"was processed before is evaluated: {few(names)}"
        )
    return names
