"""What the journal costs: a commit by size of its group, with and without a flush of the disk.

A few seconds, on the disk of the working directory. The daemon flushes (FULL), so that what a
subscriber saw survives a power cut; NORMAL would survive only the end of the process.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
from rich.console import Console
from rich.table import Table

from streamsed.detect.events import Kind
from streamsed.publish.journal import Journal
from streamsed.publish.journal_format import JournalEntry, microseconds
from streamsed.publish.messages import BundleName, EventMessage, EventScore, Moment

GROUPS = (1, 16, 256)
COMMITS = 200
SINCE = datetime(2026, 1, 2, tzinfo=UTC)


def onset(seq: int) -> JournalEntry:
    """Compose a message as the publisher does."""
    published = SINCE + timedelta(seconds=seq)
    message = EventMessage(
        seq=seq,
        kind=Kind.ONSET,
        event_id=uuid4(),
        source="kitchen",
        label="Running_water",
        onset=Moment(seconds=seq, sample=16_000 * seq, utc=published),
        offset=None,
        duration=None,
        score=EventScore(current=0.83, peak=0.91, mean=0.78),
        reason=None,
        latency_ms=412.0,
        bundle=BundleName(name="domestic", version="1"),
        published=published,
    )
    return JournalEntry.of(message, seq=seq, published_us=microseconds(published))


def commits_ms(folder: Path, *, group: int, synchronous: str) -> list[float]:
    """Time commits, each of a group of messages."""
    journal = Journal(folder / f"{synchronous}-{group}.sqlite")
    journal._connection.execute(f"PRAGMA synchronous = {synchronous}")
    found = []
    for number in range(COMMITS):
        entries = [onset(number * group + i + 1) for i in range(group)]
        began = time.perf_counter()
        journal.append(entries, lambda _: None)
        found.append(1e3 * (time.perf_counter() - began))
    journal.close()
    return found


def main() -> None:
    """Measure both, and print a table."""
    table = Table("messages", "synchronous", "p50 ms", "p99 ms", "a message", title="A commit")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        for group in GROUPS:
            for synchronous in ("FULL", "NORMAL"):
                found = commits_ms(Path(name), group=group, synchronous=synchronous)
                p50, p99 = np.quantile(found, (0.5, 0.99))
                each = f"{np.mean(found) / group:.3f}"
                table.add_row(str(group), synchronous, f"{p50:.2f}", f"{p99:.2f}", each)
    Console().print(table)


if __name__ == "__main__":
    main()
