"""What a program imports to receive events.

.. code-block:: python

    with Subscriber(topics=["event/kitchen/"]) as subscriber:
        for message in subscriber:
            match message:
                case EventMessage():
                    print(message.label, message.kind, message.onset.utc)
                case Gap():
                    print("something may be missing", message)

Every message comes once, in order, over lost connections, restarts of the daemon and stalls of the
subscriber: what was missed is requested, for as long as it takes, and comes from the daemon's
journal. What that no longer has is a :class:`Gap`; so is what a daemon does not account for that
runs and answers no requests, or none within a minute.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.asyncio
from pydantic import ValidationError

from streamsed.errors import MessageError, PublishError
from streamsed.publish.endpoints import DEFAULT_TCP, requests_address
from streamsed.publish.keys import CurveKeys
from streamsed.publish.messages import (
    MESSAGE,
    AnyMessage,
    DaemonMessage,
    EventMessage,
    Heartbeat,
    LevelMessage,
    StatusMessage,
)
from streamsed.subscribe.delivery import Gap, GapReason
from streamsed.subscribe.session import Received, SubscriberSession

__all__ = [
    "AsyncSubscriber",
    "CurveKeys",
    "DaemonMessage",
    "EventMessage",
    "Gap",
    "GapReason",
    "Heartbeat",
    "LevelMessage",
    "StatusMessage",
    "Subscriber",
    "parse",
]

_RECEIVE_HIGH_WATER = 100_000
_SEND_HIGH_WATER = 10  # requests that wait for a daemon that is not there
_PROBE_MS, _PROBE_TIMEOUT_MS = 5_000, 15_000  # of requests
_AT_ONCE = 100  # messages read before anything is done about them


def parse(payload: bytes) -> AnyMessage:
    """Read the second frame of a message.

    Raises:
        MessageError: it is no message of a kind that this version knows.
    """
    try:
        return MESSAGE.validate_json(payload)
    except ValidationError as error:
        raise MessageError(
            f"received {payload[:80]!r}, which is no streamsed message: {error.errors()[0]['msg']}"
        ) from error


class _Sockets:
    """A subscription and the socket for requests that goes with it, of either kind of context."""

    def __init__(
        self,
        context: zmq.Context[Any],
        address: str,
        requests: str | None,
        *,
        subscriptions: Sequence[str],
        keys: CurveKeys | None,
    ) -> None:
        self.messages: Any = context.socket(zmq.SUB)  # what its methods return is the context's
        self.answers: Any = context.socket(zmq.DEALER)
        self.messages.set(zmq.RCVHWM, _RECEIVE_HIGH_WATER)
        self.answers.set(zmq.SNDHWM, _SEND_HIGH_WATER)
        # Answers are few. libzmq ends the process if it probes a connection whose messages nobody
        # reads for long (its issue 3937); that of messages is watched by the session.
        self.answers.set(zmq.HEARTBEAT_IVL, _PROBE_MS)
        self.answers.set(zmq.HEARTBEAT_TIMEOUT, _PROBE_TIMEOUT_MS)
        self._address = address
        for topic in subscriptions:
            self.messages.subscribe(topic)
        try:
            self._connect(self.messages, address, keys)
            self._connect(self.answers, requests or requests_address(address), keys)
        except PublishError:
            self.close()
            raise

    def _connect(self, connecting: Any, address: str, keys: CurveKeys | None) -> None:
        connecting.set(zmq.LINGER, 0)
        connecting.set(zmq.RECONNECT_IVL, 100)
        connecting.set(zmq.RECONNECT_IVL_MAX, 2000)
        connecting.set(zmq.IPV6, "[" in address)
        if keys is not None:
            keys.apply(connecting)
        try:
            connecting.connect(address)
        except zmq.ZMQError as error:
            raise PublishError(
                f"cannot connect to {address!r}: {zmq.strerror(error.errno or 0).lower()}; "
                f"write tcp://HOST:PORT or ipc:///PATH"
            ) from error

    def reconnect(self) -> None:
        """Make the connection for messages anew."""
        with contextlib.suppress(zmq.ZMQError):  # there is none
            self.messages.disconnect(self._address)
        self.messages.connect(self._address)

    def close(self) -> None:
        self.messages.close(linger=0)
        self.answers.close(linger=0)


class Subscriber:
    """Receives messages; reconnects by itself. Used by one thread."""

    def __init__(
        self,
        address: str = DEFAULT_TCP,
        *,
        topics: Sequence[str] = ("event/",),
        since: int | None = None,
        requests: str | None = None,
        keys: CurveKeys | None = None,
    ) -> None:
        """Connect, in the background: the daemon may be started later.

        Args:
            address: one that the daemon binds.
            topics: prefixes, such as ``event/kitchen/`` or ``event/kitchen/Dog/``; an empty
                string for everything. One to 100, of at most 300 characters each.
            since: ``seq`` of the last message that is known, to go on from there; 0 for all that
                the daemon has kept. None begins with what is published from now on, after replays
                of the last values (see :mod:`streamsed.publish.messages`).
            requests: where the daemon answers requests; None for the address that goes with
                ``address``, which is the next port.
            keys: for a daemon that requires keys; without them nothing is received.

        Raises:
            PublishError: an address, the topics or ``since`` cannot be used.
        """
        self._session = SubscriberSession(topics, since=since)
        # The process's context, which is never ended: ending one of its own would wait for ever
        # for the sockets if a subscriber is collected as part of a cycle.
        self._sockets = _Sockets(
            zmq.Context.instance(),
            address,
            requests,
            subscriptions=self._session.subscriptions,
            keys=keys,
        )
        self._poller = zmq.Poller()
        self._poller.register(self._sockets.messages, zmq.POLLIN)
        self._poller.register(self._sockets.answers, zmq.POLLIN)

    def receive_frames(self, timeout_s: float | None = None) -> Received | Gap | None:
        """Return topic and JSON of the next message; None when none came in time."""
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while not self._session.ready:
            now = time.monotonic()
            self._send_request(now)
            if self._session.ready:
                break
            wait_ms = _milliseconds(self._session.wait_s(now), deadline - now)
            if not self._take(wait_ms) and time.monotonic() >= deadline:
                return None
        return self._session.ready.popleft()

    def _send_request(self, now: float) -> None:
        if (request := self._session.request(now)) is not None:
            with contextlib.suppress(zmq.Again):  # too many wait for a daemon that is not there
                self._sockets.answers.send_multipart(request, zmq.DONTWAIT)

    def _take(self, wait_ms: int) -> bool:
        """Wait for messages and answers and take what there is; return whether any came."""
        came = dict(self._poller.poll(wait_ms))
        with contextlib.suppress(zmq.Again):
            for _ in range(_AT_ONCE if self._sockets.messages in came else 0):
                frames = self._sockets.messages.recv_multipart(zmq.DONTWAIT)
                self._session.published(frames, time.monotonic())
        if self._sockets.answers in came:
            frames = self._sockets.answers.recv_multipart()
            self._session.answered(frames, time.monotonic())
        if not came and self._session.is_silent(time.monotonic()):
            self._sockets.reconnect()
        return bool(came)

    def receive(self, timeout_s: float | None = None) -> AnyMessage | Gap | None:
        """Return the next message; None when none came in time.

        Raises:
            MessageError: what came is no message of a kind that this version knows.
        """
        return _parsed(self.receive_frames(timeout_s))

    def __iter__(self) -> Iterator[AnyMessage | Gap]:
        """Yield messages for ever."""
        while True:
            if (message := self.receive()) is not None:
                yield message

    def close(self) -> None:
        """Disconnect; may be called twice."""
        self._sockets.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncSubscriber:
    """A :class:`Subscriber` for asyncio. Used by one task."""

    def __init__(
        self,
        address: str = DEFAULT_TCP,
        *,
        topics: Sequence[str] = ("event/",),
        since: int | None = None,
        requests: str | None = None,
        keys: CurveKeys | None = None,
    ) -> None:
        """Connect, in the background; see :class:`Subscriber`.

        Raises:
            PublishError: an address, the topics or ``since`` cannot be used.
        """
        self._session = SubscriberSession(topics, since=since)
        self._sockets = _Sockets(
            zmq.asyncio.Context.instance(),
            address,
            requests,
            subscriptions=self._session.subscriptions,
            keys=keys,
        )
        self._poller = zmq.asyncio.Poller()
        self._poller.register(self._sockets.messages, zmq.POLLIN)
        self._poller.register(self._sockets.answers, zmq.POLLIN)

    async def receive_frames(self, timeout_s: float | None = None) -> Received | Gap | None:
        """Return topic and JSON of the next message; None when none came in time."""
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while not self._session.ready:
            now = time.monotonic()
            await self._send_request(now)
            if self._session.ready:
                break
            wait_ms = _milliseconds(self._session.wait_s(now), deadline - now)
            if not await self._take(wait_ms) and time.monotonic() >= deadline:
                return None
        return self._session.ready.popleft()

    async def _send_request(self, now: float) -> None:
        if (request := self._session.request(now)) is not None:
            with contextlib.suppress(zmq.Again):
                await self._sockets.answers.send_multipart(request, zmq.DONTWAIT)

    async def _take(self, wait_ms: int) -> bool:
        came = dict(await self._poller.poll(wait_ms))
        with contextlib.suppress(zmq.Again):
            for _ in range(_AT_ONCE if self._sockets.messages in came else 0):
                frames = await self._sockets.messages.recv_multipart(zmq.DONTWAIT)
                self._session.published(frames, time.monotonic())
        if self._sockets.answers in came:
            frames = await self._sockets.answers.recv_multipart()
            self._session.answered(frames, time.monotonic())
        if not came and self._session.is_silent(time.monotonic()):
            self._sockets.reconnect()
        return bool(came)

    async def receive(self, timeout_s: float | None = None) -> AnyMessage | Gap | None:
        """Return the next message; None when none came in time.

        Raises:
            MessageError: what came is no message of a kind that this version knows.
        """
        return _parsed(await self.receive_frames(timeout_s))

    async def __aiter__(self) -> AsyncIterator[AnyMessage | Gap]:
        """Yield messages for ever."""
        while True:
            if (message := await self.receive()) is not None:
                yield message

    def close(self) -> None:
        """Disconnect; may be called twice."""
        self._sockets.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _parsed(received: Received | Gap | None) -> AnyMessage | Gap | None:
    return received if received is None or isinstance(received, Gap) else parse(received[1])


def _milliseconds(*waits_s: float) -> int:
    """Return the shortest wait, for a poller."""
    return max(0, math.ceil(min(waits_s) * 1e3))
