"""Sequencer: numbers messages and has them written to the journal before they are sent.

Publishing never depends on the journal. Where it cannot be written in time (a full disk, one that
hangs, a file that is read-only, locked or damaged) messages are numbered all the same, the newest
are kept in memory, and the journal catches up as soon as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from streamsed.publish import message_builders
from streamsed.publish.archive import Archive, PositionOf, beyond
from streamsed.publish.backlog import Backlog
from streamsed.publish.disk_thread import DiskThread
from streamsed.publish.journal import Retention
from streamsed.publish.journal_format import JournalEntry, microseconds
from streamsed.publish.last_value_cache import LastValueCache
from streamsed.publish.messages import JournalCondition, JournalState
from streamsed.publish.recent_messages import RecentMessages

_BEGIN_S = 10.0  # for the journal to be opened and looked at
_COMMIT_S = 3.0  # for a group of messages to be on the disk
_CLOSE_S = 2.0  # for the last of them, and the end

_KEEP_ALL = Retention(keep_us=2**62, max_bytes=2**62)

log = structlog.get_logger()


class Sequencer:
    """Gives messages their numbers, and a place in the journal.

    Belongs to one thread; any thread may read its attributes. The disk is another thread's, which
    is waited for so long and no longer.

    Numbers rise by one, over restarts too. Where the numbers used before are not known for certain
    they skip ahead, to the microseconds since 1970: beyond anything that can have been used.

    Attributes:
        last_seq: the last number given; 0 before the first.
        recent: the latest messages.
        last_value_cache: open events, and the last status messages.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        retention: Retention = _KEEP_ALL,
        position: PositionOf = lambda source: None,  # noqa: ARG005
    ) -> None:
        """Take what it works with; :meth:`open` opens the file.

        Args:
            folder: where the journal lies; None for no journal at all.
            retention: how much of it is kept.
            position: returns how far a source has got; called as events begin and go on.
        """
        self.last_seq = 0
        self.recent = RecentMessages()
        self.last_value_cache = LastValueCache()
        self._backlog = Backlog()
        self._disk = DiskThread()
        self._late = False
        self._archive = None
        if folder is not None:
            self._archive = Archive(
                folder, backlog=self._backlog, retention=retention, position=position
            )

    @property
    def path(self) -> Path | None:
        """The file; None if there is to be none."""
        return None if self._archive is None else self._archive.path

    @property
    def generation(self) -> int:
        """Rises when another file may have taken the place of the journal."""
        return 0 if self._archive is None else self._archive.generation

    @property
    def condition(self) -> JournalCondition:
        """The state of the journal."""
        if self._archive is None:
            return JournalCondition(state=JournalState.OFF)
        if self._late:
            return JournalCondition(
                state=JournalState.DEGRADED,
                message=f"{self._archive.path}: the disk does not answer",
            )
        return self._archive.condition

    def open(self) -> None:
        """Open the journal and go on from its last number."""
        if self._archive is not None:
            self._do(self._archive.begin, timeout_s=_BEGIN_S)
        self.last_seq = self._backlog.begin(beyond(0) - 1)  # unless it has begun
        self.recent.begin(self.last_seq)

    def take_interrupted(self) -> list[message_builders.MessageBuilder]:
        """Return the offsets of events that a run before left open; they come before all else."""
        taken: list[message_builders.MessageBuilder] = []
        while self._archive is not None and self._archive.interrupted:
            taken.append(self._archive.interrupted.popleft())
        return taken

    def record(self, builders: Sequence[message_builders.MessageBuilder]) -> list[JournalEntry]:
        """Number messages, and have them written as one group.

        Returns:
            What is to be sent: in the journal, if that is in order.
        """
        entries = []
        for builder in builders:
            published = datetime.now(UTC)
            message = builder(self.last_seq + 1, published)
            self.last_seq += 1
            entry = JournalEntry.of(
                message, seq=self.last_seq, published_us=microseconds(published)
            )
            entries.append(entry)
        if entries and self._archive is not None:
            self._backlog.add(entries)
            self._do(self._archive.write, timeout_s=_COMMIT_S)
        self.recent.extend(entries)  # not before they are safe, for others read it
        for entry in entries:
            self.last_value_cache.update(entry.message)
        return entries

    def beat(self) -> None:
        """Do what is due now and then: note positions, or try a journal that was out of order."""
        if self._archive is not None:
            self._do(self._archive.beat, timeout_s=_COMMIT_S)

    def tidy(self) -> None:
        """Remove some of what is too old, if it is time; takes milliseconds."""
        if self._archive is not None and self._archive.is_untidy:
            self._do(self._archive.tidy, timeout_s=_COMMIT_S)

    def close(self) -> None:
        """Close the journal, after a last try if it was out of order; twice is fine."""
        if self._archive is not None:
            self._do(self._archive.close, timeout_s=_CLOSE_S)
            self._disk.close()

    def _do(self, job: Callable[[], None], *, timeout_s: float) -> None:
        """Have the disk's thread do something; go on without it where that takes too long."""
        assert self._archive is not None
        done = self._disk.call(job, timeout_s=timeout_s)
        if not done and not self._late:
            log.error("journal_degraded", reason="disk hangs", path=str(self._archive.path))
            self._archive.unrecorded.write(self.last_seq)
        elif done and self._late:
            log.info("disk_answers", path=str(self._archive.path))
        self._late = not done
