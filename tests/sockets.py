"""Sockets for tests: random ports, polled receives, so that a missing message fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from streamsed.client import Subscriber
from streamsed.publish.messages import AnyMessage

RANDOM_PORT = "tcp://127.0.0.1:*"
PATIENCE_S = 60.0


def receive(subscriber: Subscriber) -> AnyMessage:
    """Return the next message; fail if none comes."""
    message = subscriber.receive(PATIENCE_S)
    assert message is not None, f"no message within {PATIENCE_S} s"
    return message


def receive_until(subscriber: Subscriber, wanted: Callable[[AnyMessage], bool]) -> list[AnyMessage]:
    """Return messages up to and including the first ``wanted`` one; fail if none comes in time."""
    messages: list[AnyMessage] = []
    deadline = monotonic() + PATIENCE_S
    while monotonic() < deadline:
        messages.append(receive(subscriber))
        if wanted(messages[-1]):
            return messages
    raise AssertionError(f"not among {len(messages)} messages; the last: {messages[-3:]}")


@contextmanager
def subscribed(address: str, *topics: str) -> Iterator[Subscriber]:
    """Subscribe (to everything by default) and wait for the first message: the link is live."""
    with Subscriber(address, topics=topics or ("",)) as subscriber:
        receive(subscriber)
        yield subscriber
