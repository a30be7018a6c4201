"""The daemon's sockets: each bound on all of its addresses, or on none."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import zmq

from streamsed.errors import PublishError
from streamsed.publish.admission import Admission, Doorkeeper
from streamsed.publish.endpoints import claim_ipc, ipc_path

_LONGEST_SUBSCRIPTION_BYTES = 4096
_REBIND_S = 5.0  # libzmq gives an address back a moment after it was unbound

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
    """

    send_high_water: int = 10_000
    linger_s: float = 2.0
    queue_messages: int = 10_000


class BoundSocket:
    """A socket that listens on several addresses.

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
        admission: Admission | None = None,
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
            admission: who may connect, on any of the addresses; None for everybody.
            on_revoked: called, in some thread, when :meth:`evict` has something to do.

        Raises:
            PublishError: an address cannot be bound; none is held then.
        """
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._ipc_mode = ipc_mode
        self._key = key
        self._socket_files: set[Path] = set()
        self.socket = self._context.socket(kind)
        if kind == zmq.XPUB:
            self.socket.set(zmq.XPUB_VERBOSE, 1)  # each who subscribes is told of
        # Left to the collector, the context may go before its socket and wait for it for ever.
        self._abandoned = weakref.finalize(self, _abandon, self._context, self.socket)
        self._abandoned.atexit = False  # the socket may be in use by its thread then
        self.socket.set(zmq.SNDHWM, limits.send_high_water)
        self.socket.set(zmq.LINGER, int(limits.linger_s * 1e3))
        self.socket.set(zmq.MAXMSGSIZE, longest_bytes)
        self._doorkeeper: Doorkeeper | None = None
        if admission is not None:
            admission.apply(self.socket)
            self._doorkeeper = Doorkeeper(
                self._context, admission.clients, where=key, on_revoked=on_revoked
            )
        try:
            self.endpoints = tuple(self._bind(address) for address in binds)
        except PublishError:
            self.close()
            raise

    def _bind(self, address: str) -> str:
        path = ipc_path(address)
        if path is not None:
            claim_ipc(path, mode=self._ipc_mode)
        self.socket.set(zmq.IPV6, "[" in address)
        umask = os.umask(0o177)  # an ipc socket is for its owner alone, at first
        try:
            self.socket.bind(address)
        except zmq.ZMQError as error:
            hint = f"; stop what listens there or name another address in {self._key}"
            raise PublishError(
                f"cannot bind {address}: {zmq.strerror(error.errno or 0).lower()}"
                f"{hint if error.errno == zmq.EADDRINUSE else ''}"
            ) from error
        finally:
            os.umask(umask)
        if path is not None:
            path.chmod(self._ipc_mode)
            self._socket_files.add(path)
        return self.socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def evict(self) -> None:
        """Close all connections if a client that is connected may no longer be.

        For the socket's own thread, from time to time. libzmq cannot close a single connection;
        clients that are still allowed come back by themselves, and miss what is sent meanwhile.

        Raises:
            PublishError: another process took an address at this moment.
        """
        if self._doorkeeper is None or not self._doorkeeper.revoked:
            return
        self._doorkeeper.revoked = False
        linger_ms = self.socket.get(zmq.LINGER)
        self.socket.set(zmq.LINGER, 0)
        for endpoint in self.endpoints:
            self.socket.unbind(endpoint)
        self.socket.set(zmq.LINGER, linger_ms)
        for endpoint in self.endpoints:
            self._rebind(endpoint)
        log.warning(
            "clients_disconnected", to=self._key, why="the key of one was removed; others reconnect"
        )

    def _rebind(self, endpoint: str) -> None:
        deadline = time.monotonic() + _REBIND_S
        while True:
            try:
                self._bind(endpoint)
            except PublishError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def close(self) -> None:
        """Close, once subscribers took what was sent or the linger is over; twice is fine."""
        self._abandoned.detach()
        self.socket.close()
        self._context.term()
        for path in self._socket_files:  # libzmq leaves them
            path.unlink(missing_ok=True)
        self._socket_files.clear()


def _abandon(context: zmq.Context[zmq.Socket[bytes]], bound: zmq.Socket[bytes]) -> None:
    bound.close(linger=0)
    context.term()
