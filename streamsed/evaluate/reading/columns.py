"""Which column of a table holds what, whatever its head calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamsed.evaluate.reading.delimited import Delimited, is_number, with_points
from streamsed.evaluate.tables import EVENT_COLUMNS

FILENAME, ONSET, OFFSET, EVENT_LABEL = EVENT_COLUMNS
SOFT_LABEL = "soft_label"
SELECTION = "selection"
FILE_OFFSET = "file offset (s)"

NAMES: Mapping[str, tuple[str, ...]] = {
    FILENAME: (
        *(FILENAME, "file", "file_name", "audio_filename", "recording"),
        "segment_id",  # AudioSet-strong
        *("begin file", "begin path"),  # Raven
    ),
    ONSET: (
        *(ONSET, "event_onset", "start", "start_time", "begin"),
        *("start_time_seconds", "begin time (s)", "start (s)"),
    ),
    OFFSET: (
        *(OFFSET, "event_offset", "end", "end_time"),
        *("end_time_seconds", "end time (s)", "end (s)"),
    ),
    EVENT_LABEL: (EVENT_LABEL, "label", "class", "event", "annotation", "species", "common name"),
    SOFT_LABEL: (SOFT_LABEL, "soft_labels", "confidence"),
    SELECTION: (SELECTION,),
    FILE_OFFSET: (FILE_OFFSET,),
    "duration": ("duration", "duration_s", "length", "seconds"),
}
"""What a head may call a column, in small letters; the first is the field's."""

_HEAD = "a head 'filename onset offset event_label' and tabs between the columns"
_FOLDER = "put it into a folder with such a file a recording, and give the folder"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the columns of a table of events are.

    Attributes:
        columns: index by name, out of :data:`NAMES`; without ``filename`` where the file is of one
            recording.
        first_row: index of the first row that is no head.
        renamed: what the head calls columns that are not called as in the field.
    """

    columns: Mapping[str, int]
    first_row: int
    renamed: Mapping[str, str]


def find_columns(head: Sequence[str], wanted: Sequence[str]) -> dict[str, int]:
    """Return the index of each wanted column that a head has; capitals do not matter."""
    lower = [cell.lower() for cell in head]
    found = {}
    for column in wanted:
        name = next((name for name in NAMES[column] if name in lower), None)
        if name is not None:
            found[column] = lower.index(name)
    return found


def event_layout(table: Delimited, *, of_one: bool) -> Layout:
    """Find the columns of a table of events, with or without a head.

    Without one, the order is ``filename onset offset event_label``, or sed_eval's ``filename
    scene_label onset offset event_label``, or of a single recording ``onset offset label`` and
    perhaps a soft label, as Audacity, sed_eval and MAESTRO Real have it.

    Args:
        table: with a first row.
        of_one: whether the file may be of one recording, without a column of names.

    Raises:
        DataError: it has no such columns; names what would be right.
    """
    row = table.rows[0]
    head = row.cells
    columns = find_columns(head, (*EVENT_COLUMNS, SOFT_LABEL, SELECTION, FILE_OFFSET))
    timed = ONSET in columns and OFFSET in columns
    if timed and EVENT_LABEL in columns and (FILENAME in columns or of_one):
        _check_twice(table, head)
        renamed = {
            column: head[at]
            for column, at in columns.items()
            if column in EVENT_COLUMNS and head[at] != column
        }
        return Layout(columns, 1, renamed)
    comma = next((cell for cell in head if with_points(cell) != cell), None)
    if comma is not None:
        raise table.error(row.line, f"holds {comma!r}; a decimal point, not a comma")
    numbers = [is_number(cell) for cell in head[:5]]
    if numbers[1:4] == [True, True, False] and len(head) >= 4 and not _is_list(numbers):
        return Layout({name: at for at, name in enumerate(EVENT_COLUMNS)}, 0, {})
    if numbers[1:] == [False, True, True, False]:
        return Layout({FILENAME: 0, ONSET: 2, OFFSET: 3, EVENT_LABEL: 4}, 0, {})
    if _is_list(numbers):
        if not of_one:
            raise table.error(
                row.line,
                f"holds {_shown(head)}: labels of one recording, as Audacity and sed_eval write "
                f"them, which do not name it; {_FOLDER}",
            )
        columns = {ONSET: 0, OFFSET: 1, EVENT_LABEL: 2}
        if len(head) > 3:
            columns[SOFT_LABEL] = 3
        return Layout(columns, 0, {})
    if "event_labels" in head and not timed:
        raise table.error(
            row.line,
            "has weak labels, which name what occurs but not when; "
            "columns filename, onset, offset and event_label would be right",
        )
    if timed and EVENT_LABEL in columns:
        raise table.error(
            row.line,
            f"has the columns {_shown(head)}; filename is missing: {_HEAD} would be right. If "
            f"it is of one recording, as Raven's selections are, {_FOLDER}",
        )
    if of_one and not timed:
        raise table.error(
            row.line,
            f"holds {_shown(head)}; onset, offset and label (and a soft label) with tabs between "
            "and no head would be right in a folder of label files",
        )
    missing = [name for name in EVENT_COLUMNS if name not in columns]
    raise table.error(
        row.line,
        f"has the columns {_shown(head)}; {_and(missing)} {'is' if len(missing) == 1 else 'are'} "
        f"missing: {_HEAD} would be right",
    )


def _is_list(numbers: Sequence[bool]) -> bool:
    """Whether a row begins with onset, offset and label; a label may be a number, a name may not.

    With four cells, ``1 2 3 Dog`` could be of a recording ``1``, and ``1 2 Dog 0.5`` is not.
    """
    return len(numbers) >= 3 and numbers[:2] == [True, True] and not numbers[2]


def _check_twice(table: Delimited, head: Sequence[str]) -> None:
    for name in EVENT_COLUMNS:
        if head.count(name) > 1:
            raise table.error(table.rows[0].line, f"has two columns {name!r}; one would be right")


def _shown(cells: Sequence[str]) -> str:
    return ", ".join(repr(cell) for cell in cells)


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
