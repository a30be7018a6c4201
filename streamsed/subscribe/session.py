"""Session: what a subscriber receives and requests. No I/O, and no clock of its own."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from streamsed.errors import PublishError
from streamsed.publish.messages import MESSAGE, Heartbeat
from streamsed.publish.requests import MissingRange, SinceRequest
from streamsed.subscribe.delivery import Delivery, Gap
from streamsed.validation_messages import one_line

_HEARTBEAT = Heartbeat.TOPIC.decode()
_NUMBERED = ("event/", "status/")
_REPLY_S = 1.0  # after which a request is made anew; each time twice as long, up to
_LONGEST_REPLY_S = 10.0
_MOST_PENDING = 16  # requests whose answer is still of use, however late
_PATIENCE_S = 60.0  # with a daemon that runs; after it what came is handed on all the same
_AWAY_S = 3.0  # without a heartbeat
_SILENCE_S = 15.0  # of a connection, or three heartbeats; a new one is made then
_LONGEST_SILENCE_S = 86_400.0  # whatever a heartbeat promises
_PACE_S = 0.02  # between requests; what comes meanwhile is settled by one answer

Received = tuple[str, bytes]
"""Topic and JSON of a message."""


class _Envelope(BaseModel):
    """What the order of messages depends on."""

    seq: int | None = None
    replay: bool = False
    last_seq: int | None = None
    uptime_s: float | None = None
    interval_s: float = 0.0
    requests_answered: bool = True


class _Reply(BaseModel):
    """A :class:`~streamsed.publish.requests.SinceReply`, its messages unread."""

    model_config = ConfigDict(extra="ignore")

    through: int
    last_seq: int
    missing: tuple[MissingRange, ...]
    messages: tuple[dict[str, Any], ...]


_MESSAGES: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class SubscriberSession:
    """Between one subscriber and one daemon.

    Times are seconds of any clock that does not jump.
    """

    def __init__(self, topics: Sequence[str], *, since: int | None) -> None:
        """Begin.

        Args:
            topics: prefixes that the user wants.
            since: number of the last message that the user knows; None to begin with what comes.

        Raises:
            PublishError: no request could be made of these: too many topics or none, one that is
                too long, or a number that none can be.
        """
        self._topics = _checked(topics, since=since)
        every_number = all(p.startswith(self._topics) for p in _NUMBERED)
        self._numbered = any(
            kind.startswith(topic) or topic.startswith(kind)
            for topic in self._topics
            for kind in _NUMBERED
        )
        self._delivery: Delivery[Received] = Delivery(since=since, every_number=every_number)
        self._request_number = 0
        self._pending: dict[bytes, int] = {}  # by the mark of each request, the number it began at
        self._request_at = 0.0
        self._reply_s = _REPLY_S
        self._pending_since: float | None = None
        self._received_at = -math.inf
        self._silent_since: float | None = None  # while there is nothing to be read
        self._silence_s = _SILENCE_S
        self._uptime_s = math.inf  # of a daemon whose heartbeat has not come yet
        self._answers = True

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """Prefixes to subscribe to: heartbeats too, for they show a loss at the end."""
        return (*self._topics, _HEARTBEAT)

    @property
    def ready(self) -> deque[Received | Gap]:
        """What may be handed to the user, in order."""
        return self._delivery.ready

    def published(self, frames: Sequence[bytes], now: float) -> None:
        """Take the frames of a message."""
        if now - self._received_at > _AWAY_S:  # connected anew: what was requested may be lost
            self._request_at, self._reply_s = min(self._request_at, now), _REPLY_S
        self._received_at = now
        self._silent_since = None
        topic, payload = frames[0].decode(errors="replace"), b"".join(frames[1:])
        received = topic, payload
        wanted = topic.startswith(self._topics)
        try:
            envelope = _Envelope.model_validate_json(payload)
        except ValidationError:  # not ours, or of another time; the user may make sense of it
            envelope = _Envelope()
        if topic == _HEARTBEAT and envelope.uptime_s is not None:
            self._uptime_s = envelope.uptime_s
            beats_s = min(3.0 * envelope.interval_s, _LONGEST_SILENCE_S)
            self._silence_s = max(_SILENCE_S, beats_s)
            self._answers = envelope.requests_answered
        if topic == _HEARTBEAT and envelope.last_seq is not None and self._numbered:
            self._delivery.announced(envelope.last_seq)
        if not wanted:
            return
        if envelope.seq is None:
            self.ready.append(received)
        elif envelope.replay:
            self._delivery.replayed(envelope.seq, received)
        else:
            self._delivery.arrived(envelope.seq, received)

    def request(self, now: float) -> list[bytes] | None:
        """Return the frames of the request that is due now, if one is."""
        if self.ready:
            return None  # first things first; this also bounds what is caught up at a time
        since = self._delivery.needs
        if since is None or now < self._request_at:
            return None
        if self._is_ignored:
            self._give_up(now)
            return None
        self._request_number += 1
        mark = self._request_number.to_bytes(8, "big")
        self._pending[mark] = since
        if len(self._pending) > _MOST_PENDING:
            del self._pending[min(self._pending)]
        self._request_at = now + self._reply_s
        self._reply_s = min(2 * self._reply_s, _LONGEST_REPLY_S)
        if self._pending_since is None:
            self._pending_since = now
        request = SinceRequest(get="since", seq=since, topics=self._topics)
        return [mark, b"", request.model_dump_json().encode()]

    def answered(self, frames: Sequence[bytes], now: float) -> None:
        """Take the frames of a reply, however late: it covers what came after its number."""
        if len(frames) != 3 or (since := self._pending.pop(frames[0], None)) is None:
            return
        try:
            reply = _Reply.model_validate_json(frames[2])
        except ValidationError:  # an error, of a daemon that cannot answer now, or not at all
            return
        if since > (self._delivery.cursor or 0):
            return  # to a question from before a restart
        self._pending_since = None
        self._reply_s = _REPLY_S
        if not since and self._delivery.cursor:
            # To a request for all there is, which leaves out what came before the beginning: of a
            # daemon that begins anew that may be what is missing here.
            self._request_at = now
            return
        self._request_at = now + _PACE_S
        self._delivery.caught_up(
            since,
            through=reply.through,
            last_seq=reply.last_seq,
            messages=[(message["seq"], _as_received(message)) for message in reply.messages],
            missing=[(missing.first, missing.last) for missing in reply.missing],
        )
        if reply.last_seq < since:  # the daemon counts anew: earlier requests are void
            self._pending.clear()

    def is_silent(self, now: float) -> bool:
        """Return whether the connection is to be made anew; call it when nothing could be read.

        Heartbeats come as long as a connection is alive. It may end without a sign: a machine
        that is switched off, a router that forgets it.
        """
        if self._silent_since is None:
            self._silent_since = now
        if now - self._silent_since < self._silence_s:
            return False
        self._silent_since = now
        return True

    def wait_s(self, now: float) -> float:
        """Return when something is due, unless a message comes before."""
        since = now if self._silent_since is None else self._silent_since
        due_at = since + self._silence_s
        if self._delivery.needs is not None:
            due_at = min(due_at, self._request_at)
        return max(0.0, due_at - now)

    @property
    def _is_ignored(self) -> bool:
        """Whether a daemon that runs answers no requests, or has answered none for very long.

        One that is gone, has just begun, or is slow may answer yet: nothing is lost by waiting.
        """
        if not self._answers:
            return True
        if self._pending_since is None:
            return False
        live_s = self._received_at - self._pending_since
        return live_s >= _PATIENCE_S and self._uptime_s >= _PATIENCE_S

    def _give_up(self, now: float) -> None:
        self._delivery.unanswered()
        self._pending_since = None
        self._reply_s = _REPLY_S
        self._request_at = now + min(_PATIENCE_S, _LONGEST_REPLY_S)


def _checked(topics: Sequence[str], *, since: int | None) -> tuple[str, ...]:
    """Return the topics, if requests can be made for them."""
    if isinstance(topics, str | bytes):
        raise PublishError(f"topics is the text {topics!r}; write a list of prefixes")
    try:
        request = SinceRequest(get="since", seq=since or 0, topics=tuple(topics))
        "".join(request.topics).encode()
    except ValidationError as error:
        problem = one_line(error, model=SinceRequest)
        raise PublishError(f"cannot subscribe: {problem}") from error
    except (TypeError, UnicodeEncodeError) as error:
        raise PublishError(f"cannot subscribe to {topics!r}: {error}") from error
    return request.topics


def _as_received(message: dict[str, Any]) -> Received:
    """Write a message as it was published."""
    payload = _MESSAGES.dump_json(message)
    try:
        return MESSAGE.validate_python(message).topic.decode(), payload
    except ValidationError:  # of a newer daemon; that it is wanted is all that is known
        return "", payload
