"""A recorder for tests, what it is given to write, and a look at its file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from streamsed.detect.events import Kind, Reason
from streamsed.publish import compose
from streamsed.publish.journal_recorder import JOURNAL_NAME, Recorder
from streamsed.publish.messages import (
    BundleName,
    EventMessage,
    EventScore,
    Moment,
    SourceCondition,
    SourceState,
)

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def moment(seconds: float) -> Moment:
    return Moment(
        seconds=seconds, sample=round(16000 * seconds), utc=STARTED + timedelta(seconds=seconds)
    )


def event(
    kind: Kind,
    event_id: UUID | None = None,
    *,
    source: str = "kitchen",
    label: str = "Dog",
    onset_s: float = 1.0,
    offset_s: float = 2.0,
) -> compose.Draft:
    ended = kind is Kind.OFFSET
    event_id = event_id or uuid4()
    return lambda seq, published: EventMessage(
        seq=seq,
        kind=kind,
        event_id=event_id,
        source=source,
        label=label,
        onset=moment(onset_s),
        offset=moment(offset_s) if ended else None,
        duration=offset_s - onset_s if ended else None,
        score=EventScore(current=0.5, peak=0.9, mean=0.7),
        reason=Reason.SILENCE if ended else None,
        latency_ms=None,
        bundle=BundleName(name="tones", version="1"),
        published=published,
    )


def status(text: str = "here", source: str = "kitchen") -> compose.Draft:
    return compose.status(SourceCondition(source=source, state=SourceState.RUNNING, message=text))


def opened(folder: Path, **settings: Any) -> Recorder:
    recorder = Recorder(folder, **settings)
    recorder.open()
    return recorder


def crash(recorder: Recorder) -> None:
    """Do to a recorder what the end of its process would do."""
    if recorder._journal is not None:
        recorder._journal.close()
    if recorder._folder_lock is not None:
        os.close(recorder._folder_lock)


def journaled(folder: Path) -> dict[int, str]:
    """Return what the file holds: JSON by number."""
    with contextlib.closing(sqlite3.connect(folder / JOURNAL_NAME)) as connection:
        return dict(connection.execute("SELECT seq, body FROM messages ORDER BY seq"))


def gaps(folder: Path) -> list[tuple[int, int]]:
    with contextlib.closing(sqlite3.connect(folder / JOURNAL_NAME)) as connection:
        return list(connection.execute("SELECT first, last FROM gaps ORDER BY first"))
