"""The daemon's sockets: each bound on all of its addresses, or on none."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import zmq

from streamsed.publish.authentication import Authentication, ZapAuthenticator
from streamsed.publish.endpoints import ipc_path
from streamsed.publish.front import Front, FrontLimits
from streamsed.publish.listening import open_listener

_LONGEST_SUBSCRIPTION_BYTES = 2048  # of a frame; encrypted ones are a little longer than a topic
_RECEIVE_HIGH_WATER = 16  # frames of one client, for subscriptions and requests are few
_HANDSHAKE_MS = 5_000  # a refused client is let go after this, and tries again
_END_S = 2.0  # after the linger, for libzmq to close its connections
_FLUSH_S = 0.1  # for what libzmq has sent to be passed on, at least

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketLimits:
    """Everything that bounds a socket and its thread.

    Attributes:
        send_high_water: messages kept for one slow subscriber before its newest are lost.
        linger_s: how long closing waits for subscribers to take what was published.
        queue_messages: messages handed over and not yet sent; a full queue holds the caller.
            Sending never waits for a subscriber, so it fills only if the thread gets no
            processor time, and then holding detection (which drops audio as a counted gap) is
            better than losing the offset of an event.
        front: limits of clients.
    """

    send_high_water: int = 10_000
    linger_s: float = 2.0
    queue_messages: int = 10_000
    front: FrontLimits = field(default_factory=FrontLimits)


class BoundSocket:
    """A socket that listens on several addresses, behind a :class:`Front`.

    It has a context of its own, whose end waits for what was sent to be taken.

    Attributes:
        socket: belongs to one thread at a time.
        endpoints: the addresses, wildcards resolved.
    """

    def __init__(
        self,
        binds: Sequence[str],
        limits: SocketLimits,
        *,
        kind: int = zmq.XPUB,
        longest_bytes: int = _LONGEST_SUBSCRIPTION_BYTES,
        key: str = "publish.bind",
        ipc_mode: int = 0o600,
        authentication: Authentication | None = None,
        on_revoked: Callable[[], None] = lambda: None,
    ) -> None:
        """Bind.

        Args:
            binds: the addresses.
            limits: bounds of the socket.
            kind: of socket.
            longest_bytes: of a frame that may be received; who sends more is disconnected.
            key: of the configuration, where the addresses stand.
            ipc_mode: permissions of the files of ipc sockets.
            authentication: which clients may connect, on any of the addresses; None for all.
            on_revoked: called, in some thread, when :meth:`evict` has something to do.

        Raises:
            PublishError: an address cannot be bound; none is held then.
        """
        self._limits = limits
        self._key = key
        self._socket_files: list[Path] = []
        listeners, self.endpoints = self._listen(binds, ipc_mode=ipc_mode)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(kind)
        self.socket.set(zmq.SNDHWM, limits.send_high_water)
        self.socket.set(zmq.RCVHWM, _RECEIVE_HIGH_WATER)
        self.socket.set(zmq.LINGER, int(limits.linger_s * 1e3))
        self.socket.set(zmq.MAXMSGSIZE, longest_bytes)
        self.socket.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        if kind == zmq.XPUB:
            self.socket.set(zmq.XPUB_VERBOSE, 1)  # each subscription is passed on
        self._authenticator: ZapAuthenticator | None = None
        if authentication is not None:
            authentication.apply(self.socket)
            self._authenticator = ZapAuthenticator(
                self._context,
                authentication.clients,
                where=key,
                arriving=lambda: self._front.arriving(),  # noqa: PLW0108 - it comes later
                on_revoked=on_revoked,
            )
        behind = f"streamsed-{secrets.token_hex(16)}"
        self.socket.set(zmq.IPC_FILTER_PID, os.getpid())  # no other process may connect there
        self.socket.bind(f"ipc://@{behind}")
        self._front = Front(listeners, behind, limits.front, key=key)
        # Left to the collector, the context may go before its socket and wait for it for ever.
        self._abandoned = weakref.finalize(
            self, _abandon, self._front, self._context, self.socket, self._socket_files
        )
        self._abandoned.atexit = False  # the socket may be in use by its thread then

    def _listen(
        self, binds: Sequence[str], *, ipc_mode: int
    ) -> tuple[list[socket.socket], tuple[str, ...]]:
        with contextlib.ExitStack() as bound:
            listeners, endpoints = [], []
            for address in binds:
                listener, endpoint = open_listener(address, key=self._key, ipc_mode=ipc_mode)
                bound.callback(listener.close)
                if (path := ipc_path(address)) is not None:
                    self._socket_files.append(path)
                    bound.callback(path.unlink, missing_ok=True)
                listeners.append(listener)
                endpoints.append(endpoint)
            bound.pop_all()
        return listeners, tuple(endpoints)

    @property
    def is_connected(self) -> bool:
        """Whether a client is connected; any thread may ask."""
        return self._front.is_connected

    def evict(self) -> None:
        """Close all connections if a client that is connected may no longer be.

        For the socket's own thread, from time to time. Which connection is whose is known to
        libzmq alone; clients that are still allowed come back by themselves, and miss what is sent
        meanwhile.
        """
        if self._authenticator is None or not self._authenticator.revoked:
            return
        self._authenticator.revoked = False
        self._front.drop_all()
        log.warning(
            "clients_disconnected", to=self._key, why="the key of one was removed; others reconnect"
        )

    def note_read(self, subscriptions: int) -> None:
        """Note that there is nothing left to read, and how many subscriptions came before that."""
        self._front.note_read(subscriptions)

    def close(self) -> None:
        """Close, once subscribers took what was sent or the linger is over; twice is fine."""
        if not self._abandoned.detach():
            return
        until = time.monotonic() + self._limits.linger_s
        self._front.stop_reading()
        self.socket.close()
        # In a thread: libzmq looks through all subscriptions for each connection that it closes.
        ending = threading.Thread(target=self._context.term, name="ending", daemon=True)
        ending.start()
        ending.join(self._limits.linger_s + _END_S)
        self._front.close(max(_FLUSH_S, until - time.monotonic()))
        _unlink(self._socket_files)


def _abandon(
    front: Front,
    context: zmq.Context[zmq.Socket[bytes]],
    bound: zmq.Socket[bytes],
    files: Sequence[Path],
) -> None:
    bound.close(linger=0)
    context.term()
    front.close(0.0)
    _unlink(files)


def _unlink(files: Sequence[Path]) -> None:
    for path in files:
        with contextlib.suppress(OSError):
            path.unlink()
