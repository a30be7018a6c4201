"""History: events from the journal, whether or not a daemon runs."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from streamsed.errors import JournalError
from streamsed.publish.archive import JOURNAL_NAME
from streamsed.publish.journal_format import microseconds
from streamsed.publish.journal_reader import JournalReader

_ALL = 2**62


def history(
    folder: Path,
    *,
    begin: datetime | None = None,
    end: datetime | None = None,
    sources: Sequence[str] = (),
    labels: Sequence[str] = (),
    limit: int | None = None,
) -> list[str]:
    """Return the latest message of each event, as JSON, in the order of their onsets.

    Args:
        folder: of the journal.
        begin: of the first onset; None for the first of all.
        end: all onsets are before; None for all.
        sources: whose; none for all.
        labels: of which class; none for any.
        limit: the most events; the newest are taken. None for all.

    Raises:
        JournalError: there is no journal, or it cannot be read.
    """
    path = folder / JOURNAL_NAME
    try:
        with path.open("rb"):  # the system's error is clearer than SQLite's
            pass
        with contextlib.closing(JournalReader(path)) as reader:
            return reader.events(
                begin_us=-_ALL if begin is None else microseconds(begin),
                end_us=_ALL if end is None else microseconds(end),
                sources=sources,
                labels=labels,
                limit=_ALL if limit is None else limit,
            )
    except FileNotFoundError as error:
        raise JournalError(
            f"{path}: there is no journal; name its folder with --journal, or the daemon's "
            f"configuration with --config"
        ) from error
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror}") from error
    except sqlite3.Error as error:
        raise JournalError(f"{path}: cannot be read: {error}") from error
