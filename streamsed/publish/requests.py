"""Requests to the ROUTER socket, and replies.

A request is one frame of JSON, such as ``{"get": "active"}``; so is the reply. Frames before the
JSON come back with the reply as they were, so REQ sockets may be used, and DEALER sockets may
number their requests.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from streamsed.publish.messages import (
    Count,
    EventMessage,
    NumberedMessage,
    Part,
    Utc,
)

MOST_MESSAGES = 1000
"""In one reply."""

Topic = Annotated[str, Field(max_length=300)]


class Request(BaseModel):
    """Base of all requests; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ActiveRequest(Request):
    """A request for the events that are open."""

    get: Literal["active"]


class SinceRequest(Request):
    """A request for the messages after one that is known.

    Attributes:
        seq: number of the last message that is known; 0 for all that are kept.
        topics: prefixes of the topics that are wanted; an empty one, the default, for all.
        limit: the most messages in the answer; there may be fewer, though more follow.
    """

    get: Literal["since"]
    seq: Annotated[int, Field(ge=0, lt=2**63)]
    topics: Annotated[tuple[Topic, ...], Field(min_length=1, max_length=100)] = ("",)
    limit: Annotated[int, Field(ge=1, le=MOST_MESSAGES)] = MOST_MESSAGES


class StatusRequest(Request):
    """A request for the daemon's status."""

    get: Literal["status"]


class ActiveReply(Part):
    """The events that are open.

    Attributes:
        last_seq: number of the last message at that moment, or of one shortly before.
        sources: the latest message of each open event, by source.
        answered: when this was composed.
    """

    schema_: Literal["streamsed.active/1"] = Field("streamsed.active/1", alias="schema")
    last_seq: Count
    sources: dict[str, tuple[EventMessage, ...]]
    answered: Utc


class MissingRange(Part):
    """Numbers of messages that may have been sent and are kept no more.

    Attributes:
        first: the lowest of them.
        last: the highest.
    """

    first: Count
    last: Count


class SinceReply(Part):
    """Messages that came after the one that is known, as they were published.

    Attributes:
        through: every message with a number up to this one is in this answer, not on the topics
            that were requested, or missing; go on from here.
        more: whether there are messages after that; request again at once.
        last_seq: number of the last message.
        missing: messages that are kept no more.
        messages: those on the topics that were asked for, in order.
    """

    schema_: Literal["streamsed.since/1"] = Field("streamsed.since/1", alias="schema")
    through: Count
    more: bool
    last_seq: Count
    missing: tuple[MissingRange, ...]
    messages: tuple[Annotated[NumberedMessage, Field(discriminator="schema_")], ...]


class ErrorReply(Part):
    """What was wrong with a request.

    Attributes:
        error: for people: what it was, and what would be right.
    """

    schema_: Literal["streamsed.error/1"] = Field("streamsed.error/1", alias="schema")
    error: str
