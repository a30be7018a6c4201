"""Message reader: messages after a number, from memory if it reaches back, else the journal."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from streamsed.errors import JournalError
from streamsed.publish.journal_reader import JournalPage, JournalReader
from streamsed.publish.sequencer import Sequencer


class MessageReader:
    """Reads messages again; for one thread, which need not be the outbox's."""

    def __init__(self, sequencer: Sequencer) -> None:
        """Take what keeps the messages; the file is opened when it is needed."""
        self._sequencer = sequencer
        self._reader: JournalReader | None = None
        self._generation = 0

    def after(self, seq: int, *, rows: int) -> tuple[JournalPage, int]:
        """Read on from a number.

        Args:
            seq: of the last message that is known already.
            rows: the most to read.

        Returns:
            The messages, and the last number used.

        Raises:
            JournalError: the messages are neither in memory nor can they be read just now.
        """
        entries, before, last_seq = self._sequencer.recent.after(seq, most=rows + 1)
        found = [(e.seq, e.topic.decode(), e.body.decode()) for e in entries[:rows]]
        through = last_seq if len(entries) <= rows else found[-1][0]
        if seq >= before:
            return JournalPage(found, [], through), last_seq
        path = self._sequencer.path
        if path is None:
            return JournalPage(found, [(seq + 1, before)], through), last_seq
        try:
            page = self._reading(path).after(seq, rows=rows)
        except sqlite3.Error as error:
            self.close()
            raise JournalError(f"the journal cannot be read now: {error}; request again") from error
        if page.through < before and page.at_end:
            # The journal is behind, because it is out of order: the rest is only in memory.
            first = max(page.through, seq) + 1
            page = JournalPage(page.rows, [*page.gaps, (first, before)], before)
        return page, last_seq

    def _reading(self, path: Path) -> JournalReader:
        if self._reader is None or self._generation != self._sequencer.generation:
            self.close()
            self._generation = self._sequencer.generation
            self._reader = JournalReader(path)
        return self._reader

    def close(self) -> None:
        """Close the file, in the thread that opened it; twice is fine."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
