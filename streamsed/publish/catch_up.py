"""Catch-up: the answer to ``since``, from memory if that reaches back, else from the journal."""

from __future__ import annotations

from streamsed.publish.message_reader import MessageReader
from streamsed.publish.requests import MissingRange, SinceReply, SinceRequest
from streamsed.publish.sequencer import Sequencer

_ROWS = 5000  # looked at for one answer, however few are on the topics
_BYTES = 1_000_000  # of messages in one answer


class CatchUp:
    """Reads messages again; for one thread, which need not be the publisher's."""

    def __init__(self, sequencer: Sequencer) -> None:
        """Take what keeps the messages; the file is opened when it is needed."""
        self._reader = MessageReader(sequencer)

    def answer(self, request: SinceRequest) -> bytes:
        """Write a :class:`SinceReply`.

        Raises:
            JournalError: the messages are neither in memory nor can they be read just now.
        """
        page, last_seq = self._reader.after(request.seq, rows=_ROWS)
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

    def close(self) -> None:
        """Close the file, in the thread that opened it; twice is fine."""
        self._reader.close()
