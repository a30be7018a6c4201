"""Delivery: puts what comes live and what is caught up in order, each message once. No I/O.

Numbers are not enough to see a loss: on some topics only, jumps are normal. So whenever there is a
number that is not accounted for, the messages after the last that is are requested, and what comes
live meanwhile is held until the reply is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

_MOST_HELD = 10_000

T = TypeVar("T")


class GapReason(StrEnum):
    """Why messages may be missing."""

    REMOVED = "removed"
    UNANSWERED = "unanswered"
    RESTARTED = "restarted"


@dataclass(frozen=True, slots=True)
class Gap:
    """In the place of messages that may have been sent and cannot be had.

    Attributes:
        after: number of the last message that is accounted for.
        before: number from which on all is well again.
        reason: ``removed``: the journal no longer holds them, or never did. ``unanswered``: the
            daemon runs and answers no requests, or none for a minute; until it does, losses on
            some topics go unseen.
            ``restarted``: the daemon has lost its numbers, and counts from the beginning.
    """

    after: int
    before: int
    reason: GapReason


class Delivery(Generic[T]):
    """Everything in the order of its number.

    Attributes:
        ready: what may be handed to the user, in order.
    """

    def __init__(
        self, *, since: int | None = None, every_number: bool, most_held: int = _MOST_HELD
    ) -> None:
        """Begin with nothing known.

        Args:
            since: number of the last message that the user knows; None to begin with what comes.
            every_number: whether the topics that are subscribed to are all there are, so that
                without an answer, too, a jump is known to be a loss.
            most_held: messages held at most; what comes beyond is caught up instead.
        """
        self.ready: deque[T | Gap] = deque()
        self._cursor = since
        self._resumed = since is not None
        self._every_number = every_number
        self._most_held = most_held
        self._held: dict[int, T] = {}
        self._known = since or 0  # the highest number that is known of
        self._in_doubt = self._resumed  # until the daemon replies
        self._verified = True
        self._began: int | None = None
        self._replayed: set[int] = set()

    @property
    def cursor(self) -> int | None:
        """Number up to which everything was made ready; None before anything was received."""
        return self._cursor

    @property
    def needs(self) -> int | None:
        """The number after which messages are to be requested; None if nothing is missing."""
        if self._cursor is None:
            return None
        missing = self._known > self._cursor or self._in_doubt or not self._verified
        return self._cursor if missing else None

    def arrived(self, seq: int, item: T) -> None:
        """Take a message that came live."""
        if self._cursor is None:
            self._begin(seq - 1)
        assert self._cursor is not None
        self._known = max(self._known, seq)
        if seq > self._cursor and len(self._held) < self._most_held:
            self._held[seq] = item
        self._release()

    def replayed(self, seq: int, item: T) -> None:
        """Take a message that came again, because a client subscribed.

        What was published before the subscription is made ready at once, as a last value; of
        the rest only the number counts.
        """
        if self._resumed or (self._began is not None and seq > self._began):
            self.announced(max(seq, self._cursor or 0))
        elif seq not in self._replayed:
            self._replayed.add(seq)
            self.ready.append(item)

    def announced(self, last_seq: int) -> None:
        """Take the last number, as a heartbeat has it."""
        if self._cursor is None:
            self._begin(last_seq)
        elif last_seq < self._cursor:
            self._in_doubt = True  # old news, or the daemon counts anew
        self._known = max(self._known, last_seq)

    def caught_up(
        self,
        since: int,
        *,
        through: int,
        last_seq: int,
        messages: Iterable[tuple[int, T]],
        missing: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Take a reply.

        Args:
            since: of the request.
            through: the reply accounts for every number up to this one.
            last_seq: the last number there is.
            messages: with their numbers, in order.
            missing: first and last of numbers that can be had no more, in order.
        """
        assert self._cursor is not None, "nothing was requested"
        if since > self._cursor:
            return  # to a request from before a restart
        self._in_doubt, self._verified = False, True
        if last_seq < since:
            self._restart()
            return
        found = {seq: item for seq, item in self._held.items() if seq <= through}
        self._held = {seq: item for seq, item in self._held.items() if seq > through}
        found |= dict(messages)
        position = self._cursor
        for seq in sorted(seq for seq in found if seq > self._cursor):
            self._add_gaps(missing, after=position, before=seq)
            self.ready.append(found[seq])
            position = seq
        self._add_gaps(missing, after=position, before=through + 1)
        self._cursor = max(self._cursor, through)
        self._known = max(self._known, last_seq)
        self._release()

    def unanswered(self) -> None:
        """Go on with what there is: the daemon does not reply."""
        if self._cursor is None:
            return
        if self._verified and not self._every_number and self._known > self._cursor:
            first = min(self._held, default=self._known + 1)
            self.ready.append(Gap(self._cursor, first, GapReason.UNANSWERED))
        self._in_doubt = self._verified = False
        self._release()

    def _begin(self, cursor: int) -> None:
        self._cursor = self._began = cursor

    def _restart(self) -> None:
        assert self._cursor is not None
        self.ready.append(Gap(self._cursor, 1, GapReason.RESTARTED))
        self._begin(0)
        self._known, self._in_doubt = 0, True
        self._held.clear()
        self._replayed.clear()

    def _add_gaps(self, missing: Sequence[tuple[int, int]], *, after: int, before: int) -> None:
        """Add gaps for the numbers between two that are missing."""
        for first, last in missing:
            low, high = max(first, after + 1), min(last, before - 1)
            if low <= high:
                self.ready.append(Gap(low - 1, high + 1, GapReason.REMOVED))

    def _release(self) -> None:
        """Make ready what needs no reply."""
        assert self._cursor is not None
        while self._cursor + 1 in self._held:
            self._cursor += 1
            self.ready.append(self._held.pop(self._cursor))
        if not self._verified:
            for seq in sorted(self._held):
                self._skip_to(seq)
                self.ready.append(self._held.pop(seq))
                self._cursor = seq
            self._skip_to(self._known + 1)

    def _skip_to(self, seq: int) -> None:
        assert self._cursor is not None
        if seq > self._cursor + 1:
            if self._every_number:
                self.ready.append(Gap(self._cursor, seq, GapReason.UNANSWERED))
            self._cursor = seq - 1
