"""Catch-up: the answer to ``since``, from memory if that reaches back, else from the journal."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from streamsed.errors import JournalError
from streamsed.publish.journal_reader import JournalPage, JournalReader
from streamsed.publish.requests import MissingRange, SinceReply, SinceRequest
from streamsed.publish.sequencer import Sequencer

_ROWS = 5000  # looked at for one answer, however few are on the topics
_BYTES = 1_000_000  # of messages in one answer


class CatchUp:
    """Reads messages again; for one thread, which need not be the publisher's."""

    def __init__(self, sequencer: Sequencer) -> None:
        """Take what keeps the messages; the file is opened when it is needed."""
        self._sequencer = sequencer
        self._reader: JournalReader | None = None
        self._generation = 0

    def answer(self, request: SinceRequest) -> bytes:
        """Write a :class:`SinceReply`.

        Raises:
            JournalError: the messages are neither in memory nor can they be read just now.
        """
        page, last_seq = self._after(request.seq)
        topics = tuple(request.topics)
        bodies: list[str] = []
        size, through = 0, page.through
        for seq, topic, body in page.rows:
            if not topic.startswith(topics):
                continue
            if len(bodies) == request.limit or (bodies and size + len(body) > _BYTES):
                through = seq - 1
                break
            bodies.append(body)
            size += len(body)
        missing = tuple(
            MissingRange(first=first, last=min(last, through))
            for first, last in page.gaps
            if first <= through
        )
        head = SinceReply(
            through=through,
            more=through < last_seq,
            last_seq=max(last_seq, through),
            missing=missing,
            messages=(),
        )
        # The messages go out as they were published, unread.
        text = head.model_dump_json(by_alias=True).removesuffix("[]}")
        return f"{text}[{','.join(bodies)}]}}".encode()

    def _after(self, seq: int) -> tuple[JournalPage, int]:
        entries, before, last_seq = self._sequencer.recent.after(seq)
        rows = [(e.seq, e.topic.decode(), e.body.decode()) for e in entries[:_ROWS]]
        through = last_seq if len(entries) <= _ROWS else rows[-1][0]
        if seq >= before:
            return JournalPage(rows, [], through), last_seq
        path = self._sequencer.path
        if path is None:
            return JournalPage(rows, [(seq + 1, before)], through), last_seq
        try:
            page = self._reading(path).after(seq, rows=_ROWS)
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
