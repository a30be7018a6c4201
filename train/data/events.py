"""Events with exact times: the strong labels of a recording, and their DCASE table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamsed.bundle.manifest import class_name
from streamsed.errors import DataError
from train.data.tables import read_rows, write_rows

HEADER = ("filename", "onset", "offset", "event_label")
CONFIDENCE = "confidence"


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One sound event.

    Attributes:
        label: class name.
        onset_s: where it starts, in seconds from the recording's first sample.
        offset_s: where it ends; greater than the onset.
        confidence: how sure the annotators are, 0 to 1; 1 of a hard label.
    """

    label: str
    onset_s: float
    offset_s: float
    confidence: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(
                f"event {self.label}: confidence {self.confidence}; must be from 0 to 1"
            )
        if not 0.0 <= self.onset_s < self.offset_s:
            raise ValueError(
                f"event {self.label}: onset {self.onset_s} and offset {self.offset_s}; "
                "must be 0 <= onset < offset"
            )


def merge(
    events: Iterable[Event], *, pause_s: Mapping[str, float] | float = 0.0
) -> tuple[Event, ...]:
    """Join events of one class that overlap or lie closer than a pause.

    Args:
        events: in any order.
        pause_s: longest pause in seconds that does not part two events; one number, or one a
            class (a class that is not named: 0, so that only overlaps are joined).

    Returns:
        Events sorted by onset, without overlaps within a class.
    """
    joined: list[Event] = []
    last: dict[str, int] = {}
    for event in sorted(events, key=lambda e: (e.onset_s, e.offset_s)):
        pause = pause_s if isinstance(pause_s, float | int) else pause_s.get(event.label, 0.0)
        at = last.get(event.label)
        if at is not None and event.onset_s <= joined[at].offset_s + pause:
            offset_s = max(joined[at].offset_s, event.offset_s)
            joined[at] = Event(event.label, joined[at].onset_s, offset_s)
        else:
            last[event.label] = len(joined)
            joined.append(event)
    return tuple(joined)


def write_tsv(path: Path, recordings: Mapping[str, Sequence[Event]]) -> None:
    """Write events as a DCASE table: ``filename onset offset event_label``, tab-separated.

    A recording without events gets one row with empty fields, as the field's tools write it.
    A column ``confidence`` is added if there is any but 1.
    """
    soft = any(event.confidence != 1.0 for events in recordings.values() for event in events)
    header = (*HEADER, CONFIDENCE) if soft else HEADER
    rows: list[tuple[str, ...]] = []
    for filename, events in recordings.items():
        if not events:
            rows.append((filename, *[""] * (len(header) - 1)))
        for event in events:
            row = (filename, f"{event.onset_s:.3f}", f"{event.offset_s:.3f}", event.label)
            rows.append((*row, f"{event.confidence:g}") if soft else row)
    write_rows(path, header, rows)


def read_tsv(path: Path) -> dict[str, tuple[Event, ...]]:
    """Read a DCASE table of events, by filename, each recording's events sorted by onset.

    A column ``confidence`` is read if it is there.

    Raises:
        DataError: the file is missing, lacks a column, or has a row with a wrong value.
    """
    recordings: dict[str, list[Event]] = {}
    for where, row in read_rows(path, HEADER):
        events = recordings.setdefault(row["filename"], [])
        if row["event_label"]:
            events.append(parse_event(row, where))
    return {
        name: tuple(sorted(events, key=lambda e: (e.onset_s, e.offset_s, e.label)))
        for name, events in recordings.items()
    }


def parse_event(row: Mapping[str, str], where: str) -> Event:
    """Make an event of a row's cells; a wrong one is a DataError that names the row.

    Its label is what a bundle calls it: a slash is a hyphen.
    """
    try:
        onset_s, offset_s = float(row["onset"]), float(row["offset"])
        label = class_name(row["event_label"])
        return Event(label, onset_s, offset_s, float(row.get(CONFIDENCE) or 1.0))
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
