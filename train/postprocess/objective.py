"""Objectives: what thresholds are fitted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from train.postprocess.intervals import Intervals, covered_share, event_hits, touches

INTERSECTION_SHARE = 0.5
"""Of a detection that must be true, and of an event that must be found (dtc and gtc)."""
FALSE_ALARM_PRICE = 0.001
"""Of one false alarm an hour, in F1: a hundred of them cost a tenth."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the detections of one class compare with its truth.

    Attributes:
        truth: true events.
        found: detections.
        event_hits: true events matched within the collars of event F1.
        covered: true events of which true detections cover half.
        valid: detections of which half is true.
        false_alarms: detections that touch no true event.
        hours: of audio.
    """

    truth: int
    found: int
    event_hits: int
    covered: int
    valid: int
    false_alarms: int
    hours: float

    @classmethod
    def of(cls, found: Intervals, truth: Intervals, *, hours: float) -> Outcome:
        """Compare."""
        valid = covered_share(found, truth) >= INTERSECTION_SHARE
        counted = Intervals(found.clip[valid], found.onset[valid], found.offset[valid])
        return cls(
            truth=len(truth),
            found=len(found),
            event_hits=event_hits(found, truth),
            covered=int((covered_share(truth, counted) >= INTERSECTION_SHARE).sum()),
            valid=int(valid.sum()),
            false_alarms=int((~touches(found, truth)).sum()),
            hours=hours,
        )

    @property
    def event_f1(self) -> float:
        """F1 with collars of 200 ms."""
        return 2 * self.event_hits / max(1, self.found + self.truth)

    @property
    def intersection_f1(self) -> float:
        """F1 of halves."""
        false = self.found - self.valid
        return 2 * self.covered / max(1, self.covered + false + self.truth)

    @property
    def false_alarms_per_hour(self) -> float:
        """Detections that touch nothing, in an hour of audio."""
        return self.false_alarms / self.hours


class Objective(Protocol):
    """Ranks outcomes of one class."""

    def value(self, outcome: Outcome) -> tuple[float, ...]:
        """Return what is to be as large as possible; later entries decide between equals."""


@dataclass(frozen=True, slots=True)
class EventF1:
    """Event F1 of each class, and so the macro event F1.

    Between equals: the better intersection F1, then the fewer false alarms. A class that never
    meets the collars is so fitted for what it can do.
    """

    def value(self, outcome: Outcome) -> tuple[float, ...]:
        """See :class:`Objective`."""
        return outcome.event_f1, outcome.intersection_f1, -outcome.false_alarms


@dataclass(frozen=True, slots=True)
class PricedF1:
    """Mean of event F1 and intersection F1, less a price of false alarms.

    The first wants exact boundaries, the second finds long events that the first gives up, and
    neither knows how few events an hour of an ordinary day holds.

    Attributes:
        false_alarm_price: F1 given up for one false alarm an hour less.
    """

    false_alarm_price: float = FALSE_ALARM_PRICE

    def value(self, outcome: Outcome) -> tuple[float, ...]:
        """See :class:`Objective`."""
        f1 = 0.5 * (outcome.event_f1 + outcome.intersection_f1)
        priced = f1 - self.false_alarm_price * outcome.false_alarms_per_hour
        return priced, -outcome.false_alarms


@dataclass(frozen=True, slots=True)
class FalseAlarmLimit:
    """At most so many false alarms an hour; within that the best intersection F1.

    Not the best recall: a detection without end touches every event and is no false alarm.
    If nothing keeps to the limit, the fewest false alarms.

    Attributes:
        per_hour: detections an hour that touch no true event.
    """

    per_hour: float

    def kept(self, outcome: Outcome) -> bool:
        """Whether an outcome keeps to the limit."""
        return outcome.false_alarms_per_hour <= self.per_hour

    def value(self, outcome: Outcome) -> tuple[float, ...]:
        """See :class:`Objective`."""
        if not self.kept(outcome):
            return 0.0, -outcome.false_alarms, outcome.intersection_f1
        return 1.0, outcome.intersection_f1, outcome.event_f1, -outcome.false_alarms
