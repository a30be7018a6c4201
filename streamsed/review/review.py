"""Review: what a person decided about an event, or about a sound that made none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from streamsed.errors import ReviewError
from streamsed.publish.messages import EventMessage


class Verdict(StrEnum):
    """What was decided."""

    RIGHT = "right"
    WRONG = "wrong"  # there was no sound of a class worth a name
    RELABELLED = "relabelled"  # there was one, of another class
    MISSED = "missed"  # there was one, and no event


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One review, with what it needs of its event: the journal may forget that.

    Attributes:
        verdict: what was decided.
        source: name of the source.
        label: class that was there; of a wrong event, that of the event.
        detected: class of the event; None if there was none.
        event_id: of the event; None if there was none.
        begin: onset.
        end: offset.
        clip: path of its recording; None if there is none.
        reviewer: who decided.
        reviewed: when.
        number: of the review, rising; 0 before it is stored.
    """

    verdict: Verdict
    source: str
    label: str
    detected: str | None
    event_id: UUID | None
    begin: datetime
    end: datetime
    clip: str | None
    reviewer: str
    reviewed: datetime
    number: int = 0

    @classmethod
    def of_event(
        cls,
        event: EventMessage,
        verdict: Verdict,
        *,
        reviewer: str,
        reviewed: datetime,
        label: str | None = None,
    ) -> Self:
        """Review an event that has ended.

        Args:
            event: its offset message.
            verdict: right, wrong or relabelled.
            reviewer: who decided.
            reviewed: when.
            label: class that was there, for ``relabelled`` alone.

        Raises:
            ReviewError: the event goes on, or verdict and label do not belong together.
        """
        if event.offset is None:
            raise ReviewError(f"event {event.event_id} goes on; review it after its offset")
        if verdict is Verdict.MISSED:
            raise ReviewError(f"event {event.event_id} was not missed; right, wrong or relabelled")
        if (verdict is Verdict.RELABELLED) != (label is not None):
            raise ReviewError(
                "a class goes with an event that was another, and with no other review"
            )
        if label == event.label:
            raise ReviewError(f"event {event.event_id} is {label!r} already; that is 'right'")
        return cls(
            verdict=verdict,
            source=event.source,
            label=event.label if label is None else label,
            detected=event.label,
            event_id=event.event_id,
            begin=event.onset.utc,
            end=event.offset.utc,
            clip=event.clip,
            reviewer=reviewer,
            reviewed=reviewed,
        )
