"""Mqtt: publishes events, states and Home Assistant discovery on a broker."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Container, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from streamsed.detect.events import Kind
from streamsed.errors import SinkError
from streamsed.publish.messages import EventMessage, SourceState, StatusMessage
from streamsed.sinks.context import SinkContext
from streamsed.sinks.cursor import RecordedMessage
from streamsed.sinks.cursor_sink import CursorSink
from streamsed.sinks.kinds.mqtt import MqttSink
from streamsed.sinks.mqtt.connection import Connection, port_of
from streamsed.sinks.mqtt.discovery import discovery
from streamsed.sinks.mqtt.topics import (
    AVAILABLE,
    NOT_AVAILABLE,
    OFF,
    ON,
    Publication,
    Topics,
)
from streamsed.sinks.state_file import FOLDER, read_state, write_state

_AVAILABLE_IN = frozenset({SourceState.RUNNING, SourceState.SILENT})
_FRESH = timedelta(seconds=30)  # an event that ended before its onset came here is not shown as ON
_LAST_S = 1.0  # for the broker to take the last messages
_AT_ONCE = 100  # publications between two waits

log = structlog.get_logger()

Shown = tuple[tuple[str, ...], tuple[str, ...]]
"""Sources and classes, as they were published."""


class Mqtt(CursorSink):
    """Publishes on a broker; the position moves on as the broker acknowledges.

    States are retained. When the connection is new they are published as they are now, by the
    last-value cache; what catching up brings afterwards are the events of the meantime.
    """

    def __init__(self, config: MqttSink, context: SinkContext) -> None:
        """Take what it works with; nothing is connected or read."""
        super().__init__(config.name, context, kind=config.type)
        self.idle_s = config.level_every_s or None
        self._config = config
        self._topics = Topics(config.base)
        self._connection: Connection | None = None
        self._shown: Shown | None = None
        self._retained: set[str] | None = None  # topics that something was ever retained on
        self._retained_file = (
            None if context.folder is None else context.folder / FOLDER / f"{config.name}.mqtt.json"
        )
        self._level_at = -math.inf

    def connect(self) -> None:
        """Connect, and publish how everything is now.

        Raises:
            SinkError: that failed.
        """
        self._connection = Connection(
            self._config,
            will=self._topics.daemon,
            client_id=self._client_id,
            on_lost=self.wake,
        )
        self._show_all()
        self._publish([Publication(self._topics.daemon, AVAILABLE)])

    def deliver(self, messages: Sequence[RecordedMessage]) -> None:
        """Publish messages; those that the broker has acknowledged count as delivered.

        Raises:
            SinkError: the connection is lost.
        """
        connection = self._living()
        latest = {m.event.source: m.seq for m in messages if m.event and m.event.kind is Kind.ONSET}
        groups = [list(self._publications(message, set(latest.values()))) for message in messages]
        done = connection.publish([p for group in groups for p in group])
        for message, group in zip(messages, groups, strict=True):
            done -= len(group)
            if done < 0:
                break
            self.advance(message.seq)
        self._living()

    def idle(self) -> None:
        """Publish levels, and what changed of sources and classes.

        Raises:
            SinkError: the connection is lost.
        """
        connection = self._living()
        if self._shown != self._present():
            self._show_all()
        if self._config.level_every_s and time.monotonic() >= self._level_at:
            self._level_at = time.monotonic() + self._config.level_every_s
            for source in self.context.sources():
                if (level := self.context.level(source)) is not None:
                    values = {"rms_dbfs": level.rms_dbfs, "peak_dbfs": level.peak_dbfs}
                    topic = self._topics.level(source)
                    connection.send(Publication(topic, json.dumps(values), retain=False))

    def disconnect(self) -> None:
        """End the connection; publish that the daemon is offline if it is still there."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.lost is None:
            offline = Publication(self._topics.daemon, NOT_AVAILABLE)
            connection.publish([offline], timeout_s=_LAST_S)
        connection.close()

    def probe(self) -> str:
        """Connect for a moment, under another client id than the daemon's."""
        connection = Connection(
            self._config, will=None, client_id=f"{self._client_id}-check", on_lost=lambda: None
        )
        connection.close()
        return f"{self._config.host}:{port_of(self._config)}, which accepts the connection"

    @property
    def _client_id(self) -> str:
        return self._config.client_id or f"streamsed-{self.name}"

    def _living(self) -> Connection:
        connection = self._connection
        if connection is None or connection.lost is not None:
            why = "not connected" if connection is None else connection.lost
            raise SinkError(f"{self._config.host}:{port_of(self._config)}: {why}")
        return connection

    def _publish(self, publications: Sequence[Publication]) -> None:
        for begin in range(0, len(publications), _AT_ONCE):
            self._living().publish(publications[begin : begin + _AT_ONCE])
            self._living()

    def _present(self) -> Shown:
        return self.context.sources(), self.context.classes()

    def _show_all(self) -> None:
        """Publish discovery and all states as they are now; remove those that are no more."""
        self._shown = sources, classes = self._present()
        config = self._config
        entities: list[Publication] = []
        if config.discovery is not None:
            entities = discovery(
                self._topics,
                prefix=config.discovery,
                sources=sources,
                classes=classes,
                level_every_s=config.level_every_s,
            )
        cache = self.context.sequencer.last_value_cache
        opened = {(e.source, e.label) for e in cache.open_events.values()}
        states = [
            Publication(self._topics.state(source, label), ON if (source, label) in opened else OFF)
            for source in sources
            for label in classes
        ]
        available = [self._availability(source) for source in sources]
        wanted = {p.topic for p in (*entities, *states, *available)}
        wanted |= {self._topics.last_event(source) for source in sources}
        stale = self._remember(wanted)
        self._publish([Publication(topic, "") for topic in sorted(stale)])
        self._publish([*entities, *available, *states])
        self._forget(wanted)

    def _availability(self, source: str) -> Publication:
        cache = self.context.sequencer.last_value_cache
        found = cache.matching([f"status/{source}/".encode()])
        there = any(isinstance(m, StatusMessage) and m.state in _AVAILABLE_IN for m in found)
        return Publication(self._topics.source(source), AVAILABLE if there else NOT_AVAILABLE)

    def _publications(
        self, recorded: RecordedMessage, latest: Container[int]
    ) -> Iterator[Publication]:
        """Yield what a message becomes; ``latest`` are the numbers of the latest onsets."""
        assert self._shown is not None
        sources, classes = self._shown
        match recorded.message:
            case StatusMessage(source=source) if source in sources:
                yield self._availability(source)
            case EventMessage() as event:
                topic = self._topics.event(event.source, event.label)
                yield Publication(topic, recorded.body, retain=False)
                if event.source in sources and event.label in classes:
                    if recorded.seq in latest:
                        yield Publication(self._topics.last_event(event.source), recorded.body)
                    yield from self._states_after(event)

    def _states_after(self, event: EventMessage) -> Iterator[Publication]:
        topic = self._topics.state(event.source, event.label)
        fresh = datetime.now(UTC) - event.published < _FRESH
        opened = {} if fresh else self.context.sequencer.last_value_cache.open_events
        if event.kind is Kind.ONSET and (fresh or event.event_id in opened):
            yield Publication(topic, ON)
        elif event.kind is Kind.OFFSET:
            others = ((o.source, o.label) for o in opened.values())
            if (event.source, event.label) not in others:
                yield Publication(topic, OFF)

    def _remember(self, wanted: set[str]) -> set[str]:
        """Note what is about to be retained; return what was before and is not wanted any more."""
        if self._retained is None:
            self._retained = self._read_retained()
        stale = self._retained - wanted
        self._write_retained(self._retained | wanted)
        return stale

    def _forget(self, wanted: set[str]) -> None:
        """Note that nothing else is retained."""
        self._write_retained(wanted)

    def _read_retained(self) -> set[str]:
        if self._retained_file is None:
            return set()
        try:
            content = read_state(self._retained_file)
        except (OSError, ValueError) as error:
            log.warning("sink_topics_unreadable", sink=self.name, reason=repr(error))
            return set()
        topics = content.get("retained") if isinstance(content, dict) else None
        return {t for t in topics or () if isinstance(t, str) and not set(t) & set("+#")}

    def _write_retained(self, topics: set[str]) -> None:
        if topics == self._retained:
            return
        self._retained = set(topics)
        if self._retained_file is None:
            return
        try:
            write_state(self._retained_file, {"retained": sorted(topics)})
        except OSError as error:
            log.warning("sink_topics_not_saved", sink=self.name, reason=str(error))
