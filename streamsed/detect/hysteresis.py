"""From the filtered scores of one class to events, frame by frame.

What an event is:

1. A run starts at the first frame whose score reaches ``enter`` and goes on while the score
   reaches ``exit``.
2. Runs separated by a pause shorter than ``min_off`` are one event, pauses included.
3. An event that reaches ``max_on`` ends there with reason ``max_duration``; what is left of it,
   if anything, is a new event that begins at that frame.
4. An event shorter than ``min_on`` is not reported.

An event is published as soon as it has been ``min_on`` long, and ended as soon as ``min_off``
frames of pause have passed; it ends with its last active frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamsed.detect.events import Kind, Reason, Score
from streamsed.detect.postprocessing import FrameRules

_NEVER = 2**63


@dataclass(slots=True)
class FrameTransition:
    """An onset, update or offset in frames; ``end_frame`` and ``reason`` belong to the offset.

    ``decided_frame`` is the frame whose score decided it; at the segment's end, the last.
    """

    kind: Kind
    first_frame: int
    end_frame: int | None
    score: Score
    reason: Reason | None
    decided_frame: int


class Hysteresis:
    """Finds the events of one class in one segment.

    Args:
        rules: the class's thresholds and durations in frames.

    Attributes:
        is_open: whether an event has begun and not ended, be it long enough to be reported or
            not. While none has, frames whose scores do not reach ``enter`` need not be pushed.
    """

    __slots__ = (
        "_changes",
        "_first",
        "_frame",
        "_latest",
        "_length",
        "_next",
        "_pause",
        "_peak",
        "_published",
        "_rules",
        "_total",
        "_update_at",
        "is_open",
    )

    def __init__(self, rules: FrameRules) -> None:
        self.is_open = False
        self._rules = rules
        self._frame = 0  # the latest
        self._changes: list[FrameTransition] = []
        self._pause: list[float] = []  # scores since its last active frame
        self._begin(0)

    def _begin(self, frame: int) -> None:
        self._first = frame
        self._length = 0  # frames up to and including the last active one
        self._latest = self._peak = self._total = 0.0
        self._published = False
        self._update_at = 0
        self._next = self._rules.min_on  # the length at which the next transition is due

    def push(self, first_frame: int, scores: Sequence[float]) -> list[FrameTransition]:
        """Add the scores of frames from ``first_frame`` on; return what they changed, in order."""
        if self._goes_on(first_frame, scores):
            return []
        enter, exit_ = self._rules.enter, self._rules.exit
        for frame, score in enumerate(scores, first_frame):
            self._frame = frame
            if not self.is_open:
                if score >= enter:
                    self.is_open = True
                    self._begin(frame)
                    self._go_on(score)
            elif score >= (enter if self._pause else exit_):
                self._go_on(score)
            else:
                self._pause.append(score)
                if len(self._pause) >= self._rules.min_off:
                    self._close(Reason.SILENCE)
        return self._taken()

    def end(self, reason: Reason) -> list[FrameTransition]:
        """End the segment: an open event ends with its last active frame, for ``reason``."""
        if self.is_open:
            self._close(reason)
        return self._taken()

    def update_every(self, frames: int) -> None:
        """Change the interval of updates, which changes no event; 0 for none."""
        self._rules = replace(self._rules, update=frames)
        if self._published:
            self._plan_update()

    def _goes_on(self, first_frame: int, scores: Sequence[float]) -> bool:
        """Take frames in all at once if they are an event that just goes on."""
        if not self.is_open or self._pause:
            return False
        length = self._length + len(scores)
        if length >= self._next or min(scores) < self._rules.exit:
            return False
        for score in scores:  # one by one: the sum must not depend on the cut
            self._total += score
        self._frame = first_frame + len(scores) - 1
        self._length = length
        self._latest = scores[-1]
        self._peak = max(self._peak, *scores)
        return True

    def _taken(self) -> list[FrameTransition]:
        changes, self._changes = self._changes, []
        return changes

    def _go_on(self, score: float) -> None:
        """Extend the event by an active frame, and by the pause before it."""
        if self._pause:
            for paused in self._pause:
                self._extend(paused)
            self._pause.clear()
        self._extend(score)
        length = self._length
        if not self._published:
            if length >= self._rules.min_on:
                self._publish()
        elif self._update_at and length >= self._update_at:
            self._emit(Kind.UPDATE)
            self._plan_update()

    def _extend(self, score: float) -> None:
        self._length += 1
        self._latest = score
        self._total += score
        self._peak = max(self._peak, score)
        if self._length == self._rules.max_on:
            if not self._published:
                self._publish()
            self._emit(Kind.OFFSET, Reason.MAX_DURATION)
            self._begin(self._first + self._length)

    def _publish(self) -> None:
        self._emit(Kind.ONSET)
        self._published = True
        self._plan_update()

    def _plan_update(self) -> None:
        every = self._rules.update
        self._update_at = (self._length // every + 1) * every if every else 0
        self._next = min(self._update_at or _NEVER, self._rules.max_on or _NEVER)

    def _close(self, reason: Reason) -> None:
        if self._published:
            self._emit(Kind.OFFSET, reason)
        self.is_open = False
        self._pause.clear()

    def _emit(self, kind: Kind, reason: Reason | None = None) -> None:
        score = Score(current=self._latest, peak=self._peak, mean=self._total / self._length)
        end = self._first + self._length if kind is Kind.OFFSET else None
        self._changes.append(FrameTransition(kind, self._first, end, score, reason, self._frame))
