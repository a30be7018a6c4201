"""A daemon in a thread of the test, and what it publishes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamsed.client import Subscriber
from streamsed.config import Config, parse_config
from streamsed.detect.events import Kind
from streamsed.publish.messages import (
    DaemonMessage,
    DaemonState,
    EventMessage,
    SourceState,
    StatusMessage,
)
from streamsed.service.daemon import Daemon
from streamsed.service.notify import Notifier
from streamsed.service.pipeline import Pipeline
from tests.bundles import SAMPLE_RATE
from tests.sockets import PATIENCE_S, RANDOM_PORT, AnyMessage, receive_until

PIPE = {"type": "pipe", "name": "pipe", "rate": SAMPLE_RATE, "format": "f32le"}


def configure(bundle: Path, sources: Sequence[dict[str, Any]], **settings: Any) -> Config:
    publish = {"bind": [RANDOM_PORT], "wait_for_subscriber_s": PATIENCE_S, "heartbeat_s": 0.1}
    publish |= settings.pop("publish", {})
    content = {"bundle": str(bundle), "sources": list(sources), "publish": publish, **settings}
    return parse_config(content, origin="test")


def recording(path: Path, audio: NDArray[np.float32], **entry: Any) -> dict[str, Any]:
    """Write a recording; return its entry in the configuration, not paced unless asked for."""
    soundfile.write(path, audio, SAMPLE_RATE)
    return {"type": "file", "name": path.stem, "path": str(path), "paced": False} | entry


class Running:
    """A daemon that runs in a thread, and a subscriber to everything it publishes."""

    def __init__(self, daemon: Daemon, subscriber: Subscriber) -> None:
        self.daemon = daemon
        self.exit_code: int | None = None
        self.error: Exception | None = None
        self.subscriber = subscriber
        self.reread: Callable[[], Config] = lambda: self.daemon._pipeline.config
        # So that one that hangs fails its test, and not the end of all tests.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.exit_code = self.daemon.run()
        except Exception as error:
            self.error = error

    def until(self, *wanted: Any) -> list[AnyMessage]:
        """Receive until a message has all the given ``(attribute, value)``."""
        return receive_until(
            self.subscriber,
            lambda message: all(getattr(message, key, None) == value for key, value in wanted),
        )

    def reload(self, config: Config | Callable[[], Config]) -> list[AnyMessage]:
        """Have it read a configuration; return what came until it reported the result."""
        self.reread = config if callable(config) else lambda: config
        self.daemon.reload()
        outcomes = (DaemonState.RELOADED, DaemonState.RELOAD_REFUSED)
        return receive_until(
            self.subscriber, lambda m: isinstance(m, DaemonMessage) and m.state in outcomes
        )

    def until_stopped(self) -> list[AnyMessage]:
        messages = self.until(("state", DaemonState.STOPPED))
        self.join()
        return messages

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the daemon hangs"


@contextmanager
def running(config: Config, *, notifier: Notifier | None = None) -> Iterator[Running]:
    def reread() -> Config:
        return run.reread()

    daemon = Daemon(Pipeline.of(config), notifier=notifier, reread=reread)
    endpoints = daemon.publisher.endpoints[0], daemon.responder.endpoints[0]
    with Subscriber(endpoints[0], topics=[""], requests=endpoints[1]) as subscriber:
        run = Running(daemon, subscriber)
        try:
            yield run
        finally:
            daemon.stop("the test is over")
            run.join()


def events(messages: Sequence[AnyMessage], source: str | None = None) -> list[EventMessage]:
    return [m for m in messages if isinstance(m, EventMessage) and source in (None, m.source)]


def statuses(messages: Sequence[AnyMessage], source: str | None = None) -> list[StatusMessage]:
    return [m for m in messages if isinstance(m, StatusMessage) and source in (None, m.source)]


def states(messages: Sequence[AnyMessage], source: str) -> list[SourceState]:
    return [message.state for message in statuses(messages, source)]


def spans(messages: Sequence[EventMessage]) -> list[tuple[str, float, float]]:
    """Return label, onset and offset in seconds of every event; each must have both messages."""
    onsets = {m.event_id: m for m in messages if m.kind is Kind.ONSET}
    offsets = {m.event_id: m for m in messages if m.kind is Kind.OFFSET}
    assert onsets.keys() == offsets.keys(), "an onset without offset, or the reverse"
    assert len(onsets) + len(offsets) == len([m for m in messages if m.kind is not Kind.UPDATE])
    found = []
    for event_id, offset in offsets.items():
        assert offset.onset == onsets[event_id].onset
        assert offset.seq > onsets[event_id].seq
        assert offset.offset is not None
        found.append((offset.label, offset.onset.seconds, offset.offset.seconds))
    return sorted(found, key=lambda span: span[1])


def assert_close(
    found: Sequence[tuple[str, float, float]], expected: Sequence[tuple[str, float, float]]
) -> None:
    """Compare events; a tone is detected to within a few frames of 16 ms."""
    assert [label for label, _, _ in found] == [label for label, _, _ in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one[1:], other[1:], atol=0.06)


def daemon_states(messages: Sequence[AnyMessage]) -> list[tuple[DaemonState, str | None]]:
    return [(m.state, m.message) for m in messages if isinstance(m, DaemonMessage)]
