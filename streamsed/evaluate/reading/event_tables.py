"""Tables of events and of durations, read with the line of each row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from streamsed.errors import DataError
from streamsed.evaluate.reading.columns import (
    FILE_OFFSET,
    FILENAME,
    SELECTION,
    SOFT_LABEL,
    Layout,
    event_layout,
    find_columns,
)
from streamsed.evaluate.reading.delimited import (
    Delimited,
    Note,
    counted,
    is_number,
    number,
    read_delimited,
)
from streamsed.evaluate.tables import EVENT_COLUMNS

DURATION_COLUMNS = ("filename", "duration")
_DECIMALS = 9
_NOTHING = frozenset(("", "nan", "na", "none"))
_HEAD = "a head 'filename onset offset event_label' and tabs between the columns"


class EventRow(NamedTuple):
    """One event of a file, seconds.

    Attributes:
        recording: as the file calls it.
        onset_s: not negative.
        offset_s: after ``onset_s``.
        label: not empty.
        path: of the file.
        line: in the file, from 1.
        soft: soft label in [0, 1]; 1 where the file has none.
    """

    recording: str
    onset_s: float
    offset_s: float
    label: str
    path: Path
    line: int
    soft: float = 1.0

    @property
    def place(self) -> str:
        """File and line, for people."""
        return f"{self.path}, line {self.line}"


@dataclass(frozen=True, slots=True)
class EventFile:
    """A table of events.

    Attributes:
        path: of the file, or of the folder of files.
        rows: in the order of the file.
        recordings: every recording that is named, also those without events; where it is first.
        soft: whether there are soft labels.
    """

    path: Path
    rows: tuple[EventRow, ...]
    recordings: Mapping[str, str]
    soft: bool = False


def read_event_file(path: Path, *, note: Note, may_be_empty: bool = False) -> EventFile:
    """Read a table with columns ``filename onset offset event_label``, in any order.

    Other columns are ignored, but for a soft label. Columns may be called as AudioSet-strong,
    Raven and others do (:data:`~streamsed.evaluate.reading.columns.NAMES`); without a head they are
    in that order, or in sed_eval's. A row that has a filename alone means that the recording has no
    events. Events of no length are left out, with a note, as the field's libraries do.

    Args:
        path: of the file.
        note: is called with each line that people should read.
        may_be_empty: whether nothing at all, without even a head, means that there are no events;
            so tools write that nothing was detected.

    Raises:
        DataError: file and line of what cannot be used.
    """
    table = read_delimited(path, note=note)
    if not table.rows:
        if may_be_empty:
            return EventFile(path, (), {})
        raise DataError(f"{path}: is empty; {_HEAD} would be right")
    return _parsed(table, event_layout(table, of_one=False), recording=None, note=note)


def read_label_file(path: Path, recording: str, *, note: Note) -> EventFile:
    """Read the labels of one recording: ``onset offset label`` and perhaps a soft label.

    So MAESTRO Real's annotations, sed_eval's lists and Audacity's labels are written, without a
    head, and Raven's selections with one. If the rows name recordings, those count.

    Args:
        path: of the file.
        recording: whose labels these are, if they do not name it.
        note: is called with each line that people should read.

    Raises:
        DataError: file and line of what cannot be used.
    """
    table = read_delimited(path, note=note)
    # Audacity's second line of a label with a range of frequencies.
    table = replace(table, rows=[row for row in table.rows if row.cells[0] != "\\"])
    if not table.rows:
        return EventFile(path, (), {recording: str(path)})
    layout = event_layout(table, of_one=True)
    named = FILENAME in layout.columns
    return _parsed(table, layout, recording=None if named else recording, note=note)


def read_durations(path: Path, *, note: Note) -> dict[str, float]:
    """Read a table ``filename duration`` in seconds; without a head, in that order.

    Raises:
        DataError: file and line of what cannot be used, also of a second, different duration.
    """
    table = read_delimited(path, note=note)
    if not table.rows:
        raise DataError(f"{path}: is empty; a head 'filename duration' would be right")
    head = table.rows[0].cells
    first = 1
    columns = find_columns(head, DURATION_COLUMNS)
    if len(columns) == 2:
        name_at, duration_at = (columns[name] for name in DURATION_COLUMNS)
    elif len(head) == 2 and is_number(head[1]):
        name_at, duration_at, first = 0, 1, 0
    else:
        raise table.error(
            table.rows[0].line,
            f"has the columns {', '.join(map(repr, head))}; filename and duration would be right",
        )
    durations: dict[str, float] = {}
    lines: dict[str, int] = {}
    for row in table.rows[first:]:
        if len(row.cells) <= max(name_at, duration_at) or not row.cells[name_at]:
            raise table.error(row.line, "a filename and a duration would be right")
        name = row.cells[name_at]
        try:
            duration = number(row.cells[duration_at], "the duration")
        except ValueError as error:
            raise table.error(row.line, str(error)) from None
        if duration <= 0:
            raise table.error(row.line, f"the duration is {duration:g}; seconds would be right")
        if durations.setdefault(name, duration) != duration:
            raise table.error(
                row.line,
                f"{name!r} lasts {duration:g} s, but {durations[name]:g} s on line {lines[name]}",
            )
        lines.setdefault(name, row.line)
    if not durations:
        raise DataError(f"{path}: names no recording")
    return durations


def read_subset(path: Path) -> list[str]:
    """Read a list of recordings: one a line, or a table with a column ``filename``.

    Raises:
        DataError: it cannot be read, or names no recording.
    """
    table = read_delimited(path, note=lambda _: None)
    at = find_columns(table.rows[0].cells, (FILENAME,)).get(FILENAME) if table.rows else None
    rows = table.rows if at is None else table.rows[1:]
    names = [row.cells[at or 0] for row in rows]
    if not names:
        raise DataError(f"{path}: names no recording; one a line would be right")
    return list(dict.fromkeys(names))


def merge_connected(
    rows: Iterable[EventRow], *, touching: bool
) -> tuple[list[EventRow], list[EventRow]]:
    """Merge events of one class of one recording that overlap.

    Args:
        rows: in any order.
        touching: whether an event that begins where another ends is merged with it too.

    Returns:
        the events, by recording, label and onset; and those that were merged into an earlier one.
    """
    merged: list[EventRow] = []
    absorbed = []
    for row in sorted(rows, key=lambda row: (row.recording, row.label, row.onset_s, row.offset_s)):
        last = merged[-1] if merged else None
        if (
            last is not None
            and (last.recording, last.label) == (row.recording, row.label)
            and (row.onset_s < last.offset_s or (touching and row.onset_s == last.offset_s))
        ):
            merged[-1] = last._replace(offset_s=max(last.offset_s, row.offset_s))
            absorbed.append(row)
        else:
            merged.append(row)
    return merged, absorbed


def _parsed(table: Delimited, layout: Layout, *, recording: str | None, note: Note) -> EventFile:
    columns = layout.columns
    width = 1 + max(columns.values())
    recordings: dict[str, str] = {} if recording is None else {recording: str(table.path)}
    rows: list[EventRow] = []
    without_length: list[EventRow] = []
    selections: set[tuple[str, str]] = set()
    if layout.renamed:
        read_as = ", ".join(f"{head!r} as {name}" for name, head in layout.renamed.items())
        note(f"{table.path}: columns were read by another name than the field's: {read_as}")
    for row in table.rows[layout.first_row :]:
        cells = row.cells + [""] * (width - len(row.cells))
        name = cells[columns[FILENAME]] if recording is None else recording
        if not name:
            raise table.error(row.line, "the filename is missing")
        recordings.setdefault(name, f"{table.path}, line {row.line}")
        if SELECTION in columns:  # Raven has a row for each view of a selection
            selection = (name, cells[columns[SELECTION]])
            if selection[1] and selection in selections:
                continue
            selections.add(selection)
        try:
            event = _event(cells, columns, name, path=table.path, line=row.line)
        except ValueError as error:
            raise table.error(row.line, str(error)) from None
        if event is None:
            continue
        (rows if event.onset_s < event.offset_s else without_length).append(event)
    if SELECTION in columns and FILE_OFFSET not in columns and len(recordings) > 1:
        note(
            f"{table.path}: times were taken as seconds of each recording; Raven counts those of a "
            "list of files from the first, and a column 'File Offset (s)' is read instead"
        )
    if without_length:
        note(
            f"left out {counted(len(without_length), 'event')} of no length, first "
            f"{without_length[0].label} at {without_length[0].onset_s:g} s in "
            f"{without_length[0].place}"
        )
    return EventFile(table.path, tuple(rows), recordings, soft=SOFT_LABEL in columns)


def _event(
    cells: Sequence[str], columns: Mapping[str, int], name: str, *, path: Path, line: int
) -> EventRow | None:
    onset_text, offset_text, label = (cells[columns[key]] for key in EVENT_COLUMNS[1:])
    if all(text.lower() in _NOTHING for text in (onset_text, offset_text, label)):
        return None
    if label.lower() in _NOTHING:
        raise ValueError("the event_label is missing")
    onset, offset = number(onset_text, "the onset"), number(offset_text, "the offset")
    if FILE_OFFSET in columns and FILENAME in columns:
        # Raven counts a list of files as one; this is the same moment in its own file.
        within = number(cells[columns[FILE_OFFSET]], "the file offset")
        onset, offset = within, round(offset + (within - onset), _DECIMALS)
    if onset < 0:
        raise ValueError(f"the onset is {onset:g} s; an event cannot begin before its recording")
    if onset > offset:
        raise ValueError(f"the onset ({onset:g} s) is after the offset ({offset:g} s)")
    soft = 1.0
    if SOFT_LABEL in columns:
        soft = number(cells[columns[SOFT_LABEL]], "the soft label")
        if not 0 <= soft <= 1:
            raise ValueError(f"the soft label is {soft:g}; from 0 to 1 would be right")
    return EventRow(name, onset, offset, label, path, line, soft)
