"""Folders with a file a recording: lists of labels, Raven's selections, JAMS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from streamsed.errors import DataError
from streamsed.evaluate.reading.delimited import Note, read_text
from streamsed.evaluate.reading.event_tables import EventFile, EventRow, read_label_file

JAMS = ".jams"
_ENDINGS = frozenset((".txt", ".tsv", ".csv", ".ann", JAMS))
_PREFIX = "soft_labels_"  # MAESTRO Real
_SUFFIXES = (".Table.1.selections", ".selections")  # Raven
_NAMESPACES = ("scaper", "tag_", "segment_")


def read_label_folder(folder: Path, *, note: Note) -> EventFile:
    """Read all label files below a folder.

    A file is of the recording that has its name, unless its rows name recordings.

    Args:
        folder: with ``.txt``, ``.tsv``, ``.csv``, ``.ann`` or ``.jams`` files.
        note: is called with each line that people should read.

    Raises:
        DataError: there is none, two are of one recording, or one cannot be used.
    """
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in _ENDINGS and path.is_file() and not path.name.startswith(".")
    ]
    if not files:
        raise DataError(f"{folder}: holds no label file; a .txt file a recording would be right")
    rows: list[EventRow] = []
    recordings: dict[str, str] = {}
    soft = False
    for path in files:
        name = _recording(path)
        is_jams = path.suffix.lower() == JAMS
        labels = read_jams(path) if is_jams else read_label_file(path, name, note=note)
        if twice := [each for each in labels.recordings if each in recordings]:
            raise DataError(
                f"{path}: a second file for {twice[0]!r}; the first is {recordings[twice[0]]}"
            )
        rows += labels.rows
        recordings |= labels.recordings
        soft |= labels.soft
    return EventFile(folder, tuple(rows), recordings, soft=soft)


def read_jams(path: Path) -> EventFile:
    """Read a JAMS file (Humphrey et al. 2014): its annotations of events, as scaper writes them.

    Namespaces ``scaper`` (foreground alone), ``tag_*`` and ``segment_*`` are read.

    Raises:
        DataError: it is no JAMS, or has no such annotation.
    """
    name = _recording(path)
    try:
        content = json.loads(read_text(path))
        annotations = [(str(a["namespace"]), a["data"]) for a in content["annotations"]]
        chosen = [data for space, data in annotations if space.startswith(_NAMESPACES)]
        if not chosen:
            found = ", ".join(sorted({space for space, _ in annotations})) or "none"
            raise DataError(
                f"{path}: has annotations of the namespaces {found}; scaper, tag_open or "
                "segment_open would be right"
            )
        rows = [row for data in chosen for row in _observations(path, name, data)]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is no JAMS file: {error!r}") from error
    return EventFile(path, tuple(rows), {name: str(path)})


def _observations(path: Path, name: str, data: Any) -> Iterator[EventRow]:
    if isinstance(data, Mapping):  # columns, as older versions wrote them
        data = [dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True)]
    for number, entry in enumerate(data, 1):
        value = entry["value"]
        if isinstance(value, Mapping):
            if value.get("role", "foreground") != "foreground":
                continue
            value = value["label"]
        onset, duration = float(entry["time"]), float(entry["duration"])
        if onset < 0 or not 0 < duration < float("inf"):
            raise DataError(
                f"{path}, observation {number}: begins at {onset:g} s and lasts {duration:g} s; "
                "a time from 0 and a duration above 0 would be right"
            )
        yield EventRow(name, onset, onset + duration, str(value), path, number)


def _recording(path: Path) -> str:
    name = path.stem.removeprefix(_PREFIX)
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name
