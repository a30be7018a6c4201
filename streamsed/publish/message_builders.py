"""Message builders: messages but for their number and time, which the sequencer adds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path

from streamsed.detect.events import Kind, Reason, Transition
from streamsed.detect.level import LevelReport
from streamsed.publish.messages import (
    BundleName,
    ClassScore,
    EventMessage,
    EventScore,
    Level,
    LevelMessage,
    Moment,
    NumberedMessage,
    SourceCondition,
    StatusMessage,
)
from streamsed.publish.stream_clock import StreamClock

MessageBuilder = Callable[[int, datetime], NumberedMessage]
"""Completes a message, given its ``seq`` and the UTC of its publication."""

LevelBuilder = Callable[[datetime], LevelMessage]
"""Completes a message that has no number, given the UTC of its publication."""

TOP_CLASSES = 5


def event(
    transition: Transition,
    *,
    clock: StreamClock,
    bundle: BundleName,
    onset: Moment | None = None,
    clip: Path | None = None,
) -> MessageBuilder:
    """Build the message of a transition.

    Args:
        transition: what was decided.
        clock: of the source, as it stands now.
        bundle: whose scores these are.
        onset: of the event's first message; a clock may have moved since.
        clip: where its recording lies, or will.
    """
    onset = onset or clock.moment(transition.onset_sample)
    offset = None if transition.offset_sample is None else clock.moment(transition.offset_sample)
    captured = {Kind.ONSET: onset, Kind.OFFSET: offset}.get(transition.kind)

    def complete(seq: int, published: datetime) -> EventMessage:
        latency_ms = None
        if clock.real_time and captured is not None:
            latency_ms = round((published - captured.utc).total_seconds() * 1e3, 1)
        return EventMessage(
            kind=transition.kind,
            seq=seq,
            event_id=clock.event_id(transition.number),
            source=transition.source,
            label=transition.label,
            onset=onset,
            offset=offset,
            duration=None if offset is None else offset.seconds - onset.seconds,
            score=EventScore(
                current=transition.score.current,
                peak=transition.score.peak,
                mean=transition.score.mean,
            ),
            reason=transition.reason,
            latency_ms=latency_ms,
            bundle=bundle,
            clip=None if clip is None else str(clip),
            published=published,
        )

    return complete


def interrupted(message: EventMessage, *, position: Moment | None) -> MessageBuilder:
    """Build the offset of an event that an earlier run left open.

    Args:
        message: the latest of the event.
        position: how far its source is known to have got; None if only the onset is known.
    """
    onset = message.onset
    offset = position if position is not None and position.sample > onset.sample else onset
    fields = dict(message) | {
        "kind": Kind.OFFSET,
        "offset": offset,
        "duration": offset.seconds - onset.seconds,
        "reason": Reason.INTERRUPTED,
        "latency_ms": None,
    }
    return lambda seq, published: EventMessage(**fields | {"seq": seq, "published": published})


def status(condition: SourceCondition) -> MessageBuilder:
    """Build a source's status message."""
    fields = dict(condition)
    return lambda seq, published: StatusMessage(seq=seq, published=published, **fields)


def level(
    report: LevelReport,
    *,
    clock: StreamClock,
    classes: Sequence[str],
    disabled: Collection[str] = (),
) -> Level:
    """Return the level of a source for messages.

    Args:
        report: what was measured.
        clock: of the source, as it stands now.
        classes: the bundle's.
        disabled: those of them that are left out.
    """
    order = report.scores.argsort()[::-1].tolist()
    best = [i for i in order if classes[i] not in disabled][:TOP_CLASSES]
    return Level(
        end=clock.moment(report.end_sample),
        duration=report.samples / clock.sample_rate,
        rms_dbfs=report.rms_dbfs,
        peak_dbfs=report.peak_dbfs,
        clipped_samples=report.clipped_samples,
        digital_silence=report.digital_silence,
        top=tuple(ClassScore(label=classes[i], score=float(report.scores[i])) for i in best),
    )


def level_message(source: str, level: Level) -> LevelBuilder:
    """Build a message of a source's level."""
    fields = dict(level)
    return lambda published: LevelMessage(source=source, published=published, **fields)
