"""Levels: the latest of each source, kept for status requests, and published at their interval."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from streamsed.detect.level import LevelReport
from streamsed.publish import message_builders
from streamsed.publish.messages import Level
from streamsed.publish.stream_clock import StreamClock

REPORT_S = 1.0
"""Audio of a report; the interval of messages, where that is shorter."""


def report_interval_s(levels_every_s: float) -> float:
    """Return how often the detector should report, where messages go out at ``levels_every_s``."""
    return min(levels_every_s or REPORT_S, REPORT_S)


class Levels:
    """Takes the detector's reports, in the detection thread; any thread may read the latest."""

    def __init__(
        self,
        *,
        classes: Sequence[str],
        every_s: float,
        disabled: Collection[str] = (),
        publish: Callable[[message_builders.LevelBuilder], None],
    ) -> None:
        """Begin.

        Args:
            classes: the bundle's.
            disabled: classes that no level names.
            every_s: interval of messages, in each source's audio; 0 for no messages.
            publish: takes messages without a number.
        """
        self._classes = tuple(classes)
        self._disabled = frozenset(disabled)
        self._every_s = every_s
        self._publish = publish
        self._latest: dict[str, Level] = {}
        self._unpublished: dict[str, LevelReport] = {}

    def note(self, report: LevelReport, clock: StreamClock) -> None:
        """Keep a report of a source, whose clock this is, and publish its level if it is due."""
        self._latest[report.source] = self._level(report, clock)
        if not self._every_s:
            return
        before = self._unpublished.pop(report.source, None)
        joined = report if before is None else before.joined(report)
        if joined.samples < self._every_s * clock.sample_rate:
            self._unpublished[report.source] = joined
            return
        level = self._level(joined, clock)
        self._publish(message_builders.level_message(report.source, level))

    def _level(self, report: LevelReport, clock: StreamClock) -> Level:
        return message_builders.level(
            report, clock=clock, classes=self._classes, disabled=self._disabled
        )

    def adopt(self, classes: Sequence[str], *, disabled: Collection[str] = ()) -> None:
        """Take reports of another bundle's classes, or with others disabled, from now on."""
        self._classes, self._disabled = tuple(classes), frozenset(disabled)
        self._unpublished.clear()

    def forget(self, source: str) -> None:
        """Drop what is known of a source that has ended."""
        self._latest.pop(source, None)
        self._unpublished.pop(source, None)

    def latest(self, source: str) -> Level | None:
        """Return the level of a source over the last second or so; None without audio."""
        return self._latest.get(source)
