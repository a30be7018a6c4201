"""Events with exact times: the strong labels of a recording, and their DCASE table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamsed.errors import ConfigError

HEADER = ("filename", "onset", "offset", "event_label")


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One sound event.

    Attributes:
        label: class name.
        onset_s: where it starts, in seconds from the recording's first sample.
        offset_s: where it ends; greater than the onset.
    """

    label: str
    onset_s: float
    offset_s: float

    def __post_init__(self) -> None:
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
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(HEADER)
        for filename, events in recordings.items():
            if not events:
                rows.writerow((filename, "", "", ""))
            for event in events:
                times = (f"{event.onset_s:.3f}", f"{event.offset_s:.3f}")
                rows.writerow((filename, *times, event.label))


def read_tsv(path: Path) -> dict[str, tuple[Event, ...]]:
    """Read a DCASE table of events, by filename, each recording's events sorted by onset.

    Raises:
        ConfigError: the file is missing, lacks a column, or has a row with a wrong value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    if missing := [name for name in HEADER if name not in (rows.fieldnames or ())]:
        raise ConfigError(
            f"{path}: column {missing[0]} is missing; the columns are {', '.join(HEADER)}"
        )
    recordings: dict[str, list[Event]] = {}
    for row in rows:
        events = recordings.setdefault(row["filename"], [])
        if not row["event_label"]:
            continue
        try:
            events.append(Event(row["event_label"], float(row["onset"]), float(row["offset"])))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}: line {rows.line_num}: {error}") from error
    return {
        name: tuple(sorted(events, key=lambda e: (e.onset_s, e.offset_s, e.label)))
        for name, events in recordings.items()
    }
