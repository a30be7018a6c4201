"""A client's connection, the one to libzmq behind it, and how much the client may send."""

from __future__ import annotations

import math
import socket
import struct

FREE_BYTES = 640  # of a connection, counted for itself alone: what a handshake needs


class TokenBucket:
    """So much at once, and so much in the long run.

    Attributes:
        left: what may pass now.
    """

    __slots__ = ("_at", "_burst", "_per_s", "left")

    def __init__(self, *, burst: float, per_s: float, now: float) -> None:
        self._burst, self._per_s, self._at = burst, per_s, now
        self.left = burst

    def refill(self, now: float) -> float:
        """Add what the time since the last call allows; return what may pass now."""
        self.left = min(self._burst, self.left + (now - self._at) * self._per_s)
        self._at = now
        return self.left


class Link:
    """A client's connection, and the one to libzmq that goes with it."""

    __slots__ = (
        "allowance",
        "client",
        "client_readable",
        "client_writable",
        "earlier",
        "inward",
        "moved_at",
        "outward",
        "passed_at",
        "peer",
        "received",
        "recent",
        "server",
        "server_readable",
        "since",
    )

    def __init__(self, client: socket.socket, allowance: TokenBucket, now: float) -> None:
        self.client = client
        self.server: socket.socket | None = None  # once the client has shown that it is ZeroMQ's
        self.peer = peer_name(client)
        self.allowance = allowance
        self.since = self.moved_at = now
        self.passed_at = math.inf  # when libzmq got it
        self.received = 0  # but for what proved to be no subscription
        self.recent = self.earlier = 0  # of it, in this span of time and in the one before
        self.inward = b""  # from the client, not yet taken by libzmq
        self.outward = b""  # from libzmq, not yet taken by the client
        self.client_readable = self.client_writable = True
        self.server_readable = False

    @property
    def held(self) -> int:
        """Bytes that libzmq may keep of what the client has sent."""
        return max(0, self.received - FREE_BYTES)


def peer_name(client: socket.socket) -> str:
    """Return the other end of a connection: an IP address, or user and process."""
    try:
        if client.family == socket.AF_UNIX:
            size = struct.calcsize("3i")
            found = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            process, user, _ = struct.unpack("3i", found)
            return f"uid {user}, process {process}"
        return str(client.getpeername()[0])
    except OSError:
        return "unknown"
