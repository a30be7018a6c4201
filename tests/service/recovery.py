"""Following a source through its states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamsed.detect.events import Kind, Reason
from streamsed.publish.messages import EventMessage, SourceState, StatusMessage
from tests.service.daemons import Running
from tests.sockets import AnyMessage

QUICK = {"first_s": 0.05, "most_s": 0.2}
"""Delays between attempts."""


def until_state(run: Running, source: str, wanted: SourceState) -> list[AnyMessage]:
    """Receive until a status message of the source says that it is in a state."""
    return run.until(("schema_", "streamsed.status/1"), ("source", source), ("state", wanted.value))


def ends(messages: Sequence[AnyMessage], source: str) -> list[tuple[Reason | None, str]]:
    """Return the reasons of offsets and the states of a source, in the order of messages."""
    found: list[Any] = []
    for message in messages:
        if getattr(message, "source", None) != source:
            continue
        if isinstance(message, EventMessage) and message.kind is Kind.OFFSET:
            found.append(message.reason)
        if isinstance(message, StatusMessage):
            found.append(message.state)
    return found
