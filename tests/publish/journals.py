"""A sequencer for tests, what it is given to write, and a look at its file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from streamsed.detect.events import Kind, Reason
from streamsed.publish import message_builders
from streamsed.publish.archive import JOURNAL_NAME, Archive
from streamsed.publish.journal import Journal
from streamsed.publish.journal_reader import JournalReader
from streamsed.publish.ledger import Ledger
from streamsed.publish.messages import (
    BundleName,
    EventMessage,
    EventScore,
    Moment,
    SourceCondition,
    SourceState,
)
from streamsed.publish.sequencer import Sequencer

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
) -> message_builders.MessageBuilder:
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


def status(text: str = "here", source: str = "kitchen") -> message_builders.MessageBuilder:
    return message_builders.status(
        SourceCondition(source=source, state=SourceState.RUNNING, message=text)
    )


def prepare(folder: Path) -> None:
    """Leave what a daemon that has sent nothing leaves: the next number is 1."""
    if folder.exists() and any(folder.iterdir()):
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    Journal(folder / JOURNAL_NAME).close()
    ledger = Ledger(folder)
    ledger.begin(0, [])
    ledger.close(0)


def opened(folder: Path, *, first: bool = False, **settings: Any) -> Sequencer:
    """Open a sequencer, whose first number is 1 unless it is the ``first`` in its folder."""
    if not first:
        prepare(folder)
    sequencer = Sequencer(folder, **settings)
    sequencer.open()
    return sequencer


def archive(sequencer: Sequencer) -> Archive:
    assert sequencer._archive is not None
    return sequencer._archive


def journal(sequencer: Sequencer) -> Journal:
    found = archive(sequencer).journal
    assert found is not None
    return found


def crash(sequencer: Sequencer) -> None:
    """Do to a sequencer what the end of its process would do."""
    of = archive(sequencer)
    if of.journal is not None:
        of.journal.close()
    of.ledger.release()
    if of._lock is not None:
        os.close(of._lock)


def flip(path: Path, place: int, bit: int) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(place % max(1, path.stat().st_size))
        if byte := file.read(1):
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ (1 << bit)]))


def kept(folder: Path, *, since: int = 0) -> tuple[dict[int, str], list[tuple[int, int]]]:
    """Return what whoever asks is given: JSON by number, and the numbers that are missing."""
    with contextlib.closing(JournalReader(folder / JOURNAL_NAME)) as reader:
        found = reader.after(since, rows=1_000_000)
    return {seq: body for seq, _, body in found.rows}, found.gaps


def journaled(folder: Path) -> dict[int, str]:
    """Return what the file holds: JSON by number."""
    with contextlib.closing(sqlite3.connect(folder / JOURNAL_NAME)) as connection:
        return dict(connection.execute("SELECT seq, body FROM messages ORDER BY seq"))


def gaps(folder: Path) -> list[tuple[int, int]]:
    with contextlib.closing(sqlite3.connect(folder / JOURNAL_NAME)) as connection:
        return list(connection.execute("SELECT first, last FROM gaps ORDER BY first"))
