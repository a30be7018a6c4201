"""ReviewStore: the SQLite file that holds reviews, beside the journal's.

It is a file of its own: what the journal keeps, prunes and sets aside has no part in it. Each call
opens it, does its one transaction and closes it again, so that several processes may use it.
"""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import structlog

from streamsed.errors import ReviewError
from streamsed.publish.journal_format import BESIDE, is_damage, microseconds
from streamsed.publish.set_aside import set_aside
from streamsed.review.review import Review, Verdict

REVIEWS_NAME = "reviews.sqlite"
LOCK_NAME = "reviews.lock"  # held while a damaged file is set aside
_BUSY_S = 10.0  # longest wait for another process's lock
_APPLICATION_ID = 0x53454452  # "SEDR"
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS reviews (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    verdict TEXT NOT NULL,
    source TEXT NOT NULL,
    label TEXT NOT NULL,
    detected TEXT,
    event_id TEXT,
    begin_us INTEGER NOT NULL,      -- microseconds of UTC since 1970
    end_us INTEGER NOT NULL,
    clip TEXT,
    reviewer TEXT NOT NULL,
    reviewed_us INTEGER NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0
)
"""
_ADD = """
INSERT INTO reviews (verdict, source, label, detected, event_id, begin_us, end_us, clip, reviewer,
                     reviewed_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# Of an event, the latest review counts; what was missed has no event, and each counts.
_CURRENT = """
SELECT number, verdict, source, label, detected, event_id, begin_us, end_us, clip, reviewer,
    reviewed_us
FROM reviews AS review
WHERE undone = 0 AND (event_id IS NULL OR number = (
    SELECT max(number) FROM reviews WHERE undone = 0 AND event_id = review.event_id))
ORDER BY begin_us, number
"""
_LATEST = """
SELECT number, verdict, source, label, detected, event_id, begin_us, end_us, clip, reviewer,
    reviewed_us
FROM reviews WHERE undone = 0 ORDER BY number DESC LIMIT 1
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DAMAGE = (sqlite3.Error, ValueError, TypeError, OverflowError)

T = TypeVar("T")
log = structlog.get_logger()


class ReviewStore:
    """Reviews in the journal's folder.

    A damaged file is set aside, as the journal's is, and a new one begun. Every method may raise
    :class:`ReviewError`: the file cannot be used, and nothing was written.
    """

    def __init__(self, folder: Path) -> None:
        """Open nothing yet.

        Args:
            folder: of the journal.
        """
        self._path = folder / REVIEWS_NAME

    def add(self, review: Review) -> int:
        """Store a review; of an event, it takes the place of the one before.

        Returns:
            Its number.
        """
        if review.end <= review.begin:
            raise ReviewError(f"the end, {review.end}, is not after the begin, {review.begin}")
        row = (
            review.verdict.value,
            review.source,
            review.label,
            review.detected,
            None if review.event_id is None else str(review.event_id),
            microseconds(review.begin),
            microseconds(review.end),
            review.clip,
            review.reviewer,
            microseconds(review.reviewed),
        )
        return self._transaction(lambda connection: connection.execute(_ADD, row).lastrowid or 0)

    def undo(self) -> Review | None:
        """Take the latest review back; the one before it of the same event counts again.

        Returns:
            What was taken back; None if there is no review.
        """

        def take_back(connection: sqlite3.Connection) -> Review | None:
            row = connection.execute(_LATEST).fetchone()
            if row is None:
                return None
            connection.execute("UPDATE reviews SET undone = 1 WHERE number = ?", row[:1])
            return _review(row)

        return self._transaction(take_back)

    def reviews(self) -> list[Review]:
        """Return the reviews that count, by onset."""
        return self._transaction(
            lambda connection: [_review(row) for row in connection.execute(_CURRENT)]
        )

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work and commit it; on a damaged file, once more on a new one."""
        try:
            try:
                return self._attempt(work)
            except _DAMAGE as error:
                if not _is_damage(error):
                    raise
                return self._attempt_anew(work)
        except sqlite3.Error as error:
            raise ReviewError(f"{self._path}: cannot be used: {error}") from error
        except OSError as error:
            raise ReviewError(f"{self._path}: cannot be used: {error.strerror}") from error

    def _attempt_anew(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Set a damaged file aside, unless another process did so, and begin a new one."""
        with self._path.with_name(LOCK_NAME).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # held for as long as a rename and one transaction
            try:
                return self._attempt(work)
            except _DAMAGE as error:
                if not _is_damage(error):
                    raise
                aside = set_aside(self._path, beside=BESIDE)
                if aside is None:
                    raise ReviewError(
                        f"{self._path}: is damaged and cannot be set aside: {error}"
                    ) from error
                log.error("reviews_set_aside", file=str(self._path), to=str(aside), why=str(error))
                return self._attempt(work)

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self._path.touch(mode=0o600, exist_ok=False)  # content is private, as the journal's
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._prepare(connection)
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            return result

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the table in a new file.

        Raises:
            ReviewError: a later version made the file, or another program.
        """
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if (application, version) == (0, 0):
            connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={_VERSION}")
        elif (application, version) != (_APPLICATION_ID, _VERSION):
            raise ReviewError(
                f"{self._path}: holds no reviews of version {_VERSION}; move it away, or use the "
                f"version of streamsed that made it"
            )
        connection.execute(_SCHEMA)


def _is_damage(error: Exception) -> bool:
    """Whether the file is at fault; what a damaged row raises is no error of SQLite."""
    return not isinstance(error, sqlite3.Error) or is_damage(error)


def _review(row: tuple[object, ...]) -> Review:
    number, verdict, source, label, detected, event_id, begin, end, clip, reviewer, reviewed = row
    return Review(
        number=int(str(number)),
        verdict=Verdict(str(verdict)),
        source=str(source),
        label=str(label),
        detected=None if detected is None else str(detected),
        event_id=None if event_id is None else UUID(str(event_id)),
        begin=_moment(begin),
        end=_moment(end),
        clip=None if clip is None else str(clip),
        reviewer=str(reviewer),
        reviewed=_moment(reviewed),
    )


def _moment(value: object) -> datetime:
    return _EPOCH + timedelta(microseconds=int(str(value)))
