"""Reading the journal, while the daemon writes it or when none runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from streamsed.publish.journal import APPLICATION_ID, VERSION

_BUSY_S = 0.25

_LAST_SEQ = """
SELECT max(coalesce((SELECT max(seq) FROM messages), 0), coalesce((SELECT max(last) FROM gaps), 0))
"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the journal holds after some number.

    Attributes:
        rows: number, topic and JSON of messages, in order; as many as were asked for.
        gaps: first and last of the numbers whose messages are not there, in order.
        through: nothing else has a number up to this one.
    """

    rows: list[tuple[int, str, str]]
    gaps: list[tuple[int, int]]
    through: int


class JournalReader:
    """A connection that only reads; for one thread. It delays no writer.

    Every method may raise :class:`sqlite3.Error`.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            sqlite3.Error: it cannot be opened, or is no journal of this version.
        """
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
        self._connection = sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)
        try:
            found = [
                self._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("application_id", "user_version")
            ]
            if found != [APPLICATION_ID, VERSION]:
                raise sqlite3.DatabaseError(f"no journal of version {VERSION}")
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def after(self, seq: int, *, rows: int) -> Stretch:
        """Read on from a number.

        Args:
            seq: of the last message that is known already.
            rows: the most to read.
        """
        execute = self._connection.execute
        with self._snapshot():
            found = execute(
                "SELECT seq, topic, body FROM messages WHERE seq > ? ORDER BY seq LIMIT ?",
                (seq, rows),
            ).fetchall()
            through = found[-1][0] if len(found) == rows else execute(_LAST_SEQ).fetchone()[0]
            gaps = execute(
                "SELECT max(first, ?), min(last, ?) FROM gaps WHERE last > ? AND first <= ?"
                " ORDER BY first",
                (seq + 1, through, seq, through),
            ).fetchall()
        return Stretch(found, gaps, through)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
