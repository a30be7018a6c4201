"""Ground truth: strong labels, or soft labels that are made strong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from streamsed.bundle.manifest import class_name
from streamsed.evaluate.reading.delimited import Note, counted
from streamsed.evaluate.reading.event_tables import EventFile, read_event_file
from streamsed.evaluate.reading.label_folders import JAMS, read_jams, read_label_folder

SOFT_THRESHOLD = 0.5
_NAMED = 3


def read_ground_truth(path: Path, *, note: Note) -> EventFile:
    """Read the true events.

    A file is a table ``filename onset offset event_label``. A further column ``soft_label`` (or
    ``confidence``) holds soft labels. A folder holds a file a recording, as MAESTRO Real comes
    (Martin-Morato and Mesaros 2023): ``soft_labels_<recording>.txt`` with ``onset offset label
    soft`` on each line, without a head, in segments of 1 s. Labels are true from a soft label of
    0.5; segments that touch become one event.

    Args:
        path: of the file or folder.
        note: is called with each line that people should read.

    Raises:
        DataError: file and line of what cannot be used.
    """
    truth = read_events(path, note=note)
    return _hardened(truth, note=note) if truth.soft else truth


def read_events(path: Path, *, note: Note, may_be_empty: bool = False) -> EventFile:
    """Read events of any form: a table, a folder with a file a recording, or a JAMS file.

    A slash in a label becomes a hyphen, as in the classes of bundles.

    Args:
        path: of the file or folder.
        note: is called with each line that people should read.
        may_be_empty: whether an empty file means that there are no events.

    Raises:
        DataError: file and line of what cannot be used.
    """
    if path.is_dir():
        events = read_label_folder(path, note=note)
    elif path.suffix.lower() == JAMS:
        events = read_jams(path)
    else:
        events = read_event_file(path, note=note, may_be_empty=may_be_empty)
    changed = sorted({row.label for row in events.rows if class_name(row.label) != row.label})
    if not changed:
        return events
    names = ", ".join(f"{label!r} is {class_name(label)!r}" for label in changed[:_NAMED])
    more = f", and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    note(f"{path}: slashes of labels are hyphens: {names}{more}")
    rows = tuple(row._replace(label=class_name(row.label)) for row in events.rows)
    return replace(events, rows=rows)


def _hardened(truth: EventFile, *, note: Note) -> EventFile:
    kept = tuple(row for row in truth.rows if row.soft >= SOFT_THRESHOLD)
    note(
        f"{truth.path}: soft labels count as true from {SOFT_THRESHOLD:g}: "
        f"{len(kept)} of {counted(len(truth.rows), 'label')}"
    )
    return EventFile(truth.path, kept, truth.recordings)
