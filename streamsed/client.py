"""What a program imports to receive events.

.. code-block:: python

    with Subscriber(topics=["event/kitchen/"]) as subscriber:
        for message in subscriber:
            print(message.label, message.kind, message.onset.utc)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import zmq
from pydantic import ValidationError

from streamsed.errors import MessageError, PublishError
from streamsed.publish.endpoints import DEFAULT_TCP
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

__all__ = [
    "CurveKeys",
    "DaemonMessage",
    "EventMessage",
    "Heartbeat",
    "LevelMessage",
    "StatusMessage",
    "Subscriber",
    "parse",
]

_RECEIVE_HIGH_WATER = 100_000


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


class Subscriber:
    """Receives messages; reconnects by itself.

    Used by one thread. Messages sent while there is no connection are lost; a jump of ``seq``
    shows it to whoever subscribes to everything.
    """

    def __init__(
        self,
        address: str = DEFAULT_TCP,
        *,
        topics: Sequence[str] = ("event/",),
        keys: CurveKeys | None = None,
    ) -> None:
        """Connect, in the background: the daemon may be started later.

        Args:
            address: one that the daemon binds.
            topics: prefixes, such as ``event/kitchen/`` or ``event/kitchen/Dog/``; an empty
                string for everything.
            keys: for a daemon that asks for keys; with none or others it is silent.

        Raises:
            PublishError: the address is malformed.
        """
        # The process's context, which is never ended: ending one of its own would wait for ever
        # for the socket if a subscriber is collected as part of a cycle.
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.RCVHWM, _RECEIVE_HIGH_WATER)
        self._socket.set(zmq.RECONNECT_IVL, 100)
        self._socket.set(zmq.RECONNECT_IVL_MAX, 2000)
        self._socket.set(zmq.IPV6, "[" in address)
        if keys is not None:
            keys.apply(self._socket)
        for topic in topics:
            self._socket.subscribe(topic)
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise PublishError(
                f"cannot connect to {address!r}: {zmq.strerror(error.errno or 0).lower()}; "
                f"write tcp://HOST:PORT or ipc:///PATH"
            ) from error

    def receive_frames(self, timeout_s: float | None = None) -> tuple[str, bytes] | None:
        """Return topic and JSON of the next message; None when none came in time."""
        if not self._socket.poll(None if timeout_s is None else int(timeout_s * 1e3)):
            return None
        topic, *payload = self._socket.recv_multipart()
        return topic.decode(errors="replace"), b"".join(payload)

    def receive(self, timeout_s: float | None = None) -> AnyMessage | None:
        """Return the next message; None when none came in time.

        Raises:
            MessageError: what came is no message of a kind that this version knows.
        """
        frames = self.receive_frames(timeout_s)
        return None if frames is None else parse(frames[1])

    def __iter__(self) -> Iterator[AnyMessage]:
        """Yield messages for ever."""
        while True:
            if (message := self.receive()) is not None:
                yield message

    def close(self) -> None:
        """Disconnect; may be called twice."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
