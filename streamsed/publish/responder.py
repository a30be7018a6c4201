"""Responder: the thread that owns the ROUTER socket and answers requests."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import structlog
import zmq
from pydantic import BaseModel, TypeAdapter, ValidationError

from streamsed.errors import StreamsedError
from streamsed.publish.authentication import Authentication
from streamsed.publish.binding import BoundSocket, SocketLimits
from streamsed.publish.front import FrontLimits
from streamsed.publish.requests import ErrorReply, Request
from streamsed.validation_messages import one_line, suggest

_LONGEST_REQUEST_BYTES = 65_536  # of each frame; who sends more is disconnected
_MOST_FRAMES = 8
_LONGEST_ERROR = 500
_LIMITS = SocketLimits(
    send_high_water=4,  # answers kept for one who does not read
    linger_s=0.2,
    front=FrontLimits(
        burst_bytes=131_072,
        bytes_s=32_768,
        all_burst_bytes=1_048_576,
        all_bytes_s=524_288,
        held_bytes=math.inf,
    ),
)
_BUSY_S = 0.02  # of answering before a rest, which leaves the processor to detection
_REST_S = 0.005
_STOP_S = 5.0  # for the answer that is being made
_QUIET_S, _FINISH_S = 0.3, 2.0  # without requests, and with them, at the end

_JSON: TypeAdapter[object] = TypeAdapter(object)

R = TypeVar("R", bound=Request)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RequestHandler(Generic[R]):
    """Answers one kind of request.

    Attributes:
        request: its model; ``get`` names the kind.
        handle: makes the answer, a model or JSON; called in the responder's thread.
    """

    request: type[R]
    handle: Callable[[R], BaseModel | bytes]


class Responder:
    """Answers requests, whatever they are, and never holds up anything else.

    Attributes:
        endpoints: the bound addresses, wildcards resolved.
    """

    def __init__(
        self,
        binds: Sequence[str],
        handlers: Mapping[str, RequestHandler],  # type: ignore[type-arg] # each of its own kind
        *,
        ipc_mode: int = 0o600,
        authentication: Authentication | None = None,
        connections: int = 64,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Bind the socket; nothing is answered before :meth:`start`.

        Args:
            binds: addresses; none for no socket at all.
            handlers: by kind of request.
            ipc_mode: permissions of the files of ipc sockets.
            authentication: which clients may connect; None for all.
            connections: open at a time.
            on_end: called in the responder's thread when it ends.

        Raises:
            PublishError: an address cannot be bound.
        """
        self._handlers = handlers
        self._on_end = on_end
        self._closing = False
        self._requested_at = -math.inf
        self._bound = BoundSocket(
            binds,
            replace(_LIMITS, front=replace(_LIMITS.front, connections=connections)),
            kind=zmq.ROUTER,
            longest_bytes=_LONGEST_REQUEST_BYTES,
            key="publish.requests",
            ipc_mode=ipc_mode,
            authentication=authentication,
            on_revoked=self._wake,
        )
        self.endpoints = self._bound.endpoints
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="responder", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def finish(self) -> None:
        """Answer until requests have ceased for a moment, from then on until :meth:`close`.

        Subscribers to some topics request what lies between the last messages that they received.
        """
        began = time.monotonic()
        while self._thread.is_alive() and self._bound.is_connected:
            quiet_s = time.monotonic() - max(began, self._requested_at)
            if quiet_s >= _QUIET_S or time.monotonic() - began >= _FINISH_S:
                return
            time.sleep(_QUIET_S - quiet_s)

    def close(self) -> None:
        """Stop; twice is fine."""
        self._closing = True
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
            if self._thread.is_alive():  # the socket is still its
                log.error("responder_hangs")
                return
        self._bound.close()
        self._wake_in.close()
        self._wake_out.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full, or closed
            self._wake_in.send(b"\0")

    def _run(self) -> None:
        try:
            self._serve()
        except Exception:  # nothing else depends on it
            log.exception("responder_failed")
        finally:
            self._on_end()

    def _serve(self) -> None:
        router = self._bound.socket
        poller = zmq.Poller()
        poller.register(router, zmq.POLLIN)
        poller.register(self._wake_out, zmq.POLLIN)
        while not self._closing:
            poller.poll()
            with contextlib.suppress(BlockingIOError):
                self._wake_out.recv(4096)
            self._bound.evict()
            rest_at = time.monotonic() + _BUSY_S
            while not self._closing and router.poll(0):
                self._respond(router.recv_multipart())
                if time.monotonic() >= rest_at:
                    time.sleep(_REST_S)
                    break

    def _respond(self, frames: list[bytes]) -> None:
        if not 2 <= len(frames) <= _MOST_FRAMES:
            return
        self._requested_at = time.monotonic()
        *envelope, request = frames
        # A ROUTER drops what its peer does not take.
        self._bound.socket.send_multipart([*envelope, self.answer(request)], zmq.DONTWAIT)

    def answer(self, request: bytes) -> bytes:
        """Reply to a request, whatever it is."""
        try:
            content = _JSON.validate_json(request)
        except ValidationError as error:
            return _error(f"the request is no JSON: {error.errors()[0]['msg']}")
        kind = content.get("get") if isinstance(content, dict) else None
        if not isinstance(kind, str) or kind not in self._handlers:
            known = suggest(kind if isinstance(kind, str) else "", self._handlers)
            return _error(f"the request has no `get` that is known; {known}")
        handler = self._handlers[kind]
        try:
            parsed = handler.request.model_validate(content)
        except ValidationError as error:
            return _error(one_line(error, model=handler.request))
        try:
            reply = handler.handle(parsed)
        except StreamsedError as error:
            return _error(str(error))
        except Exception as error:  # a fault here must not cost the next request
            log.exception("request_failed", get=kind)
            return _error(f"internal error: {error!r}")
        return reply if isinstance(reply, bytes) else reply.model_dump_json(by_alias=True).encode()


def _error(text: str) -> bytes:
    return ErrorReply(error=text[:_LONGEST_ERROR]).model_dump_json(by_alias=True).encode()
