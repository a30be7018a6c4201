"""An outbox with sinks, and messages for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

from streamsed.detect.events import Kind, Reason
from streamsed.publish.message_builders import MessageBuilder
from streamsed.publish.messages import (
    BundleName,
    DaemonMessage,
    DaemonState,
    EventMessage,
    EventScore,
    Level,
    Moment,
    SourceState,
    StatusMessage,
)
from streamsed.publish.outbox import Outbox
from streamsed.publish.sequencer import Sequencer
from streamsed.sinks.context import SinkContext
from streamsed.sinks.sink import Sink
from tests.sockets import PATIENCE_S

BUNDLE = BundleName(name="b", version="1")


def wait_for(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


AnySink = TypeVar("AnySink", bound=Sink)


class Recording:
    """An outbox with sinks."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.sequencer = Sequencer(folder)
        self.sources: tuple[str, ...] = ("kitchen",)
        self.classes: tuple[str, ...] = ("Alarm_bell_ringing", "Dog")
        self.levels: dict[str, Level] = {}
        self.context = SinkContext(
            sequencer=self.sequencer,
            folder=folder,
            sources=lambda: self.sources,
            classes=lambda: self.classes,
            level=self.levels.get,
        )
        self.sinks: list[Sink] = []
        self.outbox = Outbox(
            self.sequencer,
            lambda entries: None,  # noqa: ARG005
            queue_messages=1000,
            on_recorded=lambda: [sink.wake() for sink in self.sinks],
        )
        self.outbox.start()

    def add(self, sink: AnySink) -> AnySink:
        sink.start()
        self.sinks.append(sink)
        return sink

    def publish(self, *builders: MessageBuilder) -> None:
        last = self.sequencer.last_seq + len(builders)
        for builder in builders:
            self.outbox.publish(builder)
        wait_for(lambda: self.sequencer.last_seq == last)

    def record(self, messages: int) -> None:
        last = self.sequencer.last_seq + messages
        for _ in range(messages):
            self.outbox.publish(daemon_message)
        wait_for(lambda: self.sequencer.last_seq == last)

    def close(self) -> None:
        self.outbox.close()
        for sink in self.sinks:
            sink.close(PATIENCE_S)


def daemon_message(seq: int, published: datetime) -> DaemonMessage:
    return DaemonMessage(
        seq=seq,
        state=DaemonState.STARTED,
        message=None,
        version="1",
        provider="cpu",
        bundle=BUNDLE,
        published=published.astimezone(UTC),
    )


def status_message(source: str, state: SourceState) -> MessageBuilder:
    def complete(seq: int, published: datetime) -> StatusMessage:
        return StatusMessage(source=source, state=state, seq=seq, published=published)

    return complete


def event_message(
    source: str,
    label: str,
    kind: Kind,
    *,
    event_id: UUID | None = None,
    age: timedelta = timedelta(),
) -> MessageBuilder:
    event_id = event_id or uuid4()

    def complete(seq: int, published: datetime) -> EventMessage:
        moment = Moment(seconds=1.0, sample=16_000, utc=published - age)
        offset = moment if kind is Kind.OFFSET else None
        return EventMessage(
            kind=kind,
            seq=seq,
            event_id=event_id,
            source=source,
            label=label,
            onset=moment,
            offset=offset,
            duration=0.0 if offset else None,
            score=EventScore(current=0.9, peak=0.9, mean=0.9),
            reason=Reason.SILENCE if offset else None,
            latency_ms=None,
            bundle=BUNDLE,
            published=published - age,
        )

    return complete
