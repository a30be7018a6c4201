"""Addresses of the daemon's sockets: the default ones, and which are allowed."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path

DEFAULT_PORT = 5577
DEFAULT_TCP = f"tcp://127.0.0.1:{DEFAULT_PORT}"
SOCKET_NAME = "streamsed.sock"

_LOOPBACK = {"localhost": "127.0.0.1", "lo": "127.0.0.1"}
_EVERYWHERE = ("*", "0.0.0.0", "[::]")  # noqa: S104 - compared, not bound
_TCP = re.compile(r"tcp://(?P<host>\[[^\]]+\]|[^:\[\]/]+):(?P<port>\*|\d{1,5})")


def default_binds() -> tuple[str, ...]:
    """Addresses to bind when the configuration names none.

    TCP on loopback, and an ipc socket in the service's or the user's runtime directory if there
    is one (``$RUNTIME_DIRECTORY``, as systemd sets it, else ``$XDG_RUNTIME_DIR/streamsed``).
    """
    if service := os.environ.get("RUNTIME_DIRECTORY"):
        directory = Path(service.split(":")[0])
    elif user := os.environ.get("XDG_RUNTIME_DIR"):
        directory = Path(user) / "streamsed"
    else:
        return (DEFAULT_TCP,)
    return (DEFAULT_TCP, f"ipc://{directory / SOCKET_NAME}")


def requests_address(address: str) -> str:
    """Return the address for requests that goes with one for messages.

    The next port (a wildcard again if it is not known yet); for ipc, ``-requests`` at the end of
    the name, before its suffix.
    """
    match = _TCP.fullmatch(address)
    if match is not None:
        port = match["port"] if match["port"] == "*" else str(int(match["port"]) + 1)
        return f"tcp://{match['host']}:{port}"
    head, dot, suffix = address.rpartition(".")
    if not dot or "/" in suffix or head.endswith("/"):
        head, dot, suffix = address, "", ""
    return address if address == "ipc://*" else f"{head}-requests{dot}{suffix}"


def overlap(*groups: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two of all addresses that cannot be bound together; None if all can."""
    earlier: list[str] = []
    for address in (each for group in groups for each in group):
        for other in earlier:
            if _overlaps(other, address):
                return other, address
        earlier.append(address)
    return None


def _overlaps(one: str, other: str) -> bool:
    tcp = _TCP.fullmatch(one), _TCP.fullmatch(other)
    if tcp[0] is None or tcp[1] is None:
        return one == other and not one.endswith("*")
    ports = [match["port"] for match in tcp if match is not None]
    if "*" in ports or int(ports[0]) != int(ports[1]) or int(ports[0]) == 0:
        return False  # 0, as *, is any free port
    hosts = {_LOOPBACK.get(match["host"], match["host"]) for match in tcp if match is not None}
    return len(hosts) == 1 or not hosts.isdisjoint(_EVERYWHERE)


def check_bind(address: str, *, guarded: bool) -> None:
    """Check that ``address`` may be bound.

    Args:
        address: a tcp or ipc address.
        guarded: whether it may be reachable from other machines: keys are required, or
            ``insecure`` is set.

    Raises:
        ValueError: it is malformed, or an abstract ipc address, which has no permissions; or, if
            not ``guarded``, unknown or reachable from others.
    """
    if address.startswith("ipc://"):
        _check_ipc(address.removeprefix("ipc://"))
        return
    host = tcp_address(address)[0].strip("[]")
    if not guarded and not _is_loopback(host):
        if not _is_known(host):
            raise ValueError(
                f"{address!r} cannot be resolved; name an IP address or a network interface "
                f"of this machine"
            )
        raise ValueError(
            f"{address!r} is reachable from other machines, where anybody could then read every "
            f"event; make keys with `streamsed keys new server` and name them in publish.curve, "
            f"bind 127.0.0.1, or set publish.insecure: true if that is wanted"
        )


def http_address(bind: str, *, insecure: bool) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; port 0 stands for any that is free.

    Raises:
        ValueError: it is malformed; or, if not ``insecure``, reachable from other machines.
    """
    match = _TCP.fullmatch(f"tcp://{bind}")
    if match is None or match["port"] == "*" or int(match["port"]) > 65535:
        raise ValueError(f"{bind!r} is no address; write HOST:PORT, such as 127.0.0.1:9577")
    host = match["host"].strip("[]")
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"{host!r} is no IP address; write one, or localhost") from None
    if not insecure and not _is_loopback(host):
        raise ValueError(
            f"{bind!r} is reachable from other machines, who could then read what is measured; "
            f"bind 127.0.0.1, or set metrics.insecure: true if that is wanted"
        )
    return host, int(match["port"])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in {"localhost", "lo"}


def _is_known(host: str) -> bool:
    if host == "*" or host in (name for _, name in socket.if_nameindex()):
        return True
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):  # the latter for what cannot be a host name
        return False


def tcp_address(address: str) -> tuple[str, int]:
    """Return the host of a tcp address, as it stands there, and its port, 0 for a wildcard.

    Raises:
        ValueError: it is malformed.
    """
    match = _TCP.fullmatch(address)
    if match is None:
        raise ValueError(f"{address!r} is no address; write tcp://HOST:PORT or ipc:///PATH")
    port = 0 if match["port"] == "*" else int(match["port"])
    if match["port"] != "*" and not 1 <= port <= 65535:
        raise ValueError(f"port {match['port']} of {address!r} is not within 1 to 65535 (or *)")
    return match["host"], port


def ipc_path(address: str) -> Path | None:
    """Return the socket file of an ipc address; None for others."""
    path = address.removeprefix("ipc://")
    return None if path == address else Path(path)


def _check_ipc(path: str) -> None:
    if path.startswith("@"):
        raise ValueError(
            f"'ipc://{path}' is an abstract socket, to which everybody on this machine may "
            f"connect, whatever ipc_mode is; write ipc:///PATH"
        )
    if not path or path == "*" or not path.isprintable():
        raise ValueError(f"{'ipc://' + path!r} is no address of a file; write ipc:///PATH")
