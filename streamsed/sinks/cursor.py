"""Cursor: how far a sink has got in the recorded messages."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from streamsed.publish.message_reader import MessageReader
from streamsed.publish.messages import MESSAGE, EventMessage, NumberedMessage
from streamsed.publish.requests import MissingRange
from streamsed.sinks.context import SinkContext
from streamsed.sinks.position import Position


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """A message as it was published over ZeroMQ.

    Attributes:
        seq: its number.
        topic: its first frame.
        body: its second, JSON.
        message: the same, read.
    """

    seq: int
    topic: str
    body: str
    message: NumberedMessage

    @property
    def event(self) -> EventMessage | None:
        """The message, if it is one of an event."""
        return self.message if isinstance(self.message, EventMessage) else None


class Cursor:
    """Reads recorded messages after a position, which rises as they are delivered; one thread's."""

    def __init__(self, context: SinkContext, name: str) -> None:
        """Take what keeps the messages; :meth:`begin` finds the position."""
        self._sequencer = context.sequencer
        self._reader = MessageReader(context.sequencer)
        self.position = Position(context.folder, name)

    def begin(self) -> None:
        """Go on from where the sink was; at a first start, from now."""
        self.position.begin(self._sequencer.last_seq)

    @property
    def waiting(self) -> int:
        """How many messages were recorded and not delivered; any thread may read it."""
        return max(0, self._sequencer.last_seq - self.position.seq)

    def after(self, limit: int) -> tuple[list[RecordedMessage], list[MissingRange], int]:
        """Read on; the position stays.

        Args:
            limit: the most messages.

        Returns:
            The messages; the numbers that are kept no more; and the number through which that is
            everything, to :meth:`advance` to once it is delivered.

        Raises:
            JournalError: the messages cannot be read just now.
        """
        begin = self.position.seq
        entries, before, _ = self._sequencer.recent.after(begin, most=limit)
        if begin >= before:  # as nearly always: nothing has to be read from the disk, or parsed
            recent = [
                RecordedMessage(e.seq, e.topic.decode(), e.body.decode(), e.message)
                for e in entries
            ]
            return recent, [], recent[-1].seq if recent else begin
        page, _ = self._reader.after(begin, rows=limit)
        messages, gaps = [], [MissingRange(first=first, last=last) for first, last in page.gaps]
        for seq, topic, body in page.rows:
            try:
                message = MESSAGE.validate_json(body)
            except ValidationError:  # of a later version's journal
                gaps.append(MissingRange(first=seq, last=seq))
                continue
            messages.append(RecordedMessage(seq, topic, body, message))  # type: ignore[arg-type]
        return messages, gaps, max(page.through, begin)

    def advance(self, seq: int) -> None:
        """Everything up to a number is delivered."""
        self.position.seq = max(self.position.seq, seq)
        self.position.save()

    def close(self) -> None:
        """Keep the position and close the journal."""
        self.position.save(at_once=True)
        self._reader.close()
