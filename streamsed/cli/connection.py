"""Why an address sends or answers nothing, as far as a connection of its own shows."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING

import zmq
from zmq.utils.monitor import parse_monitor_message

if TYPE_CHECKING:
    from streamsed.client import CurveKeys

_REFUSED = (
    zmq.Event.HANDSHAKE_FAILED_AUTH,
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL,
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL,
)


class Connection(Enum):
    """How far a connection gets."""

    UNREACHABLE = "nothing accepts connections there; does the daemon run, and publish there?"
    REFUSED_WITHOUT_KEYS = (
        "it refuses clients without keys (--server-key and --key), or is no streamsed"
    )
    REFUSED_WITH_KEYS = (
        "it refuses these keys: it may not know --key (streamsed keys allow, there), have another "
        "key than --server-key, or ask for none"
    )
    MADE = "it accepts the connection, and sends nothing"


def try_connection(
    address: str,
    *,
    keys: CurveKeys | None,
    kind: zmq.SocketType = zmq.SocketType.SUB,
    within_s: float = 2.0,
) -> Connection:
    """Connect once more, and return how far that gets; it takes ``within_s`` at most.

    Args:
        address: as ZeroMQ writes it, and well-formed.
        keys: those of the client; None for none.
        kind: of socket, one that fits what is bound there.
        within_s: for everything.
    """
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.IPV6, "[" in address)
    if keys is not None:
        keys.apply(socket)
    refused = Connection.REFUSED_WITH_KEYS if keys is not None else Connection.REFUSED_WITHOUT_KEYS
    found = Connection.UNREACHABLE
    monitor = socket.get_monitor_socket()
    until = time.monotonic() + within_s
    try:
        socket.connect(address)
        while monitor.poll(max(0, round((until - time.monotonic()) * 1e3))):
            match parse_monitor_message(monitor.recv_multipart())["event"]:
                case zmq.Event.HANDSHAKE_SUCCEEDED:
                    return Connection.MADE
                case zmq.Event.CONNECTED:
                    found = refused  # unless the handshake ends in time
                case event if event in _REFUSED:
                    return refused
                case _ if time.monotonic() >= until:  # a refusal repeats without end
                    break
    finally:
        socket.disable_monitor()
        monitor.close()
        socket.close()
    return found
