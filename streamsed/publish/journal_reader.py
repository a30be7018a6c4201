"""Reading the journal, while the daemon writes it or when none runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from streamsed.publish.journal_format import APPLICATION_ID, ROW, VERSION, damage_as_error, is_whole

_BUSY_S = 0.25

_LAST_SEQ = """
SELECT max(
    coalesce((SELECT max(seq) FROM messages), 0),
    coalesce((SELECT max(last) FROM gaps), 0),
    coalesce((SELECT max(last) FROM unused), 0)
)
"""
_MESSAGES = f"SELECT {ROW} FROM messages WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608
_RANGES = "SELECT max(first, ?), min(last, ?) FROM {} WHERE last > ? AND first <= ? ORDER BY first"


@dataclass(frozen=True, slots=True)
class JournalPage:
    """Messages of the journal after some number.

    Attributes:
        rows: number, topic and JSON of messages, in order; as many as were requested, but for
            those that are damaged.
        gaps: first and last of the numbers whose messages are not there or damaged, in order.
        through: nothing else has a number up to this one.
        at_end: whether the journal holds no higher number.
    """

    rows: list[tuple[int, str, str]]
    gaps: list[tuple[int, int]]
    through: int
    at_end: bool = False


class JournalReader:
    """A connection that only reads; for one thread. It delays no writer.

    Every method may raise :class:`sqlite3.Error`.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            sqlite3.Error: it cannot be opened, or is no journal of this version.
        """
        try:
            self._connection = _opened(path, "mode=ro")
        except sqlite3.OperationalError:
            # SQLite makes others beside it, which may not be permitted. A file with nothing
            # in its log is at rest, and can be read as it is.
            log = path.with_name(path.name + "-wal")
            if log.exists() and log.stat().st_size:
                raise
            self._connection = _opened(path, "mode=ro&immutable=1")

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def after(self, seq: int, *, rows: int) -> JournalPage:
        """Read on from a number.

        Args:
            seq: of the last message that is known already.
            rows: the most to read.
        """
        execute = self._connection.execute
        with damage_as_error(), self._snapshot():
            found = execute(_MESSAGES, (seq, rows)).fetchall()
            through = found[-1][0] if len(found) == rows else execute(_LAST_SEQ).fetchone()[0]
            if not seq:  # a request for all there is has missed nothing before the beginning
                (first,) = execute("SELECT max(last) FROM gaps WHERE first = 0").fetchone()
                seq = min(first or 0, through)
            bounds = (seq + 1, through, seq, through)
            gaps, unused = (
                execute(_RANGES.format(table), bounds).fetchall() for table in ("gaps", "unused")
            )
        whole = [(row[0], row[2].decode(), row[3].decode()) for row in found if is_whole(row)]
        known = sorted([*((n, n) for n, _, _ in whole), *gaps, *unused])
        missing = _joined([*gaps, *_holes(known, seq, through)])
        return JournalPage(whole, missing, through, at_end=len(found) < rows)

    def events(
        self,
        *,
        begin_us: int,
        end_us: int,
        sources: Sequence[str] = (),
        labels: Sequence[str] = (),
        limit: int,
    ) -> list[str]:
        """Return the latest message of events, as JSON, in the order of their onsets.

        Args:
            begin_us: the first onset, in microseconds since 1970.
            end_us: all onsets are before.
            sources: whose; none for all.
            labels: of which class; none for any.
            limit: the most events; the newest are taken.
        """
        conditions = ["onset_us >= ?", "onset_us < ?"]
        values = [begin_us, end_us, *sources, *labels]
        for column, wanted in (("source", sources), ("label", labels)):
            if wanted:
                conditions.append(f"{column} IN ({', '.join('?' * len(wanted))})")
        rows = self._connection.execute(
            f"SELECT {ROW} FROM events JOIN messages ON seq = last_seq"  # noqa: S608 - no values in it
            f" WHERE {' AND '.join(conditions)} ORDER BY onset_us DESC, last_seq DESC LIMIT ?",
            (*values, limit),
        )
        return [row[3].decode() for row in rows if is_whole(row)][::-1]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _holes(known: list[tuple[int, int]], after: int, through: int) -> list[tuple[int, int]]:
    """Return what ranges leave out of the numbers after ``after``, up to ``through``."""
    holes = []
    for first, last in [*known, (through + 1, through + 1)]:
        if first > after + 1:
            holes.append((after + 1, first - 1))
        after = max(after, last)
    return holes


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same numbers as ranges that neither touch nor overlap, in order."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _opened(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{how}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
    )
    try:
        found = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        ]
        if found != [APPLICATION_ID, VERSION]:
            raise sqlite3.DatabaseError(f"no journal of version {VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection
