"""Where the publisher may listen: which addresses are allowed, and the files of ipc sockets."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
from pathlib import Path

from streamsed.errors import PublishError

DEFAULT_PORT = 5577
DEFAULT_TCP = f"tcp://127.0.0.1:{DEFAULT_PORT}"
SOCKET_NAME = "streamsed.sock"

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


def check_bind(address: str, *, insecure: bool) -> None:
    """Check that ``address`` may be bound.

    Raises:
        ValueError: it is malformed; or, if not ``insecure``, unknown or reachable from other
            machines.
    """
    if address.startswith("ipc://") and len(address) > len("ipc://"):
        return
    match = _TCP.fullmatch(address)
    if match is None:
        raise ValueError(f"{address!r} is no address; write tcp://HOST:PORT or ipc:///PATH")
    if match["port"] != "*" and not 1 <= int(match["port"]) <= 65535:
        raise ValueError(f"port {match['port']} of {address!r} is not within 1 to 65535 (or *)")
    # The place of CURVE: a bind with keys is let through here.
    host = match["host"].strip("[]")
    if not insecure and not _is_loopback(host):
        if not _is_known(host):
            raise ValueError(
                f"{address!r} cannot be resolved; name an IP address or a network interface "
                f"of this machine"
            )
        raise ValueError(
            f"{address!r} is reachable from other machines, who could then read every event "
            f"unencrypted; bind 127.0.0.1, or set publish.insecure: true if that is wanted"
        )


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
    except (OSError, UnicodeError):  # the latter for what cannot even be asked for
        return False


def ipc_path(address: str) -> Path | None:
    """Return the socket file of an ipc address; None for others, abstract and wildcard ones."""
    path = address.removeprefix("ipc://")
    return None if path == address or path[0] in "@*" else Path(path)


def claim_ipc(path: Path) -> None:
    """Make ``path`` free to bind: create its directory, remove what a dead process left.

    libzmq itself would silently take the path from a running daemon.

    Raises:
        PublishError: another process listens there, or something else lies there.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            kind = path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(kind):
            raise PublishError(f"cannot bind ipc://{path}: the path exists and is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise PublishError(
                    f"cannot bind ipc://{path}: another process is listening there; "
                    f"stop it or name another path in publish.bind"
                )
    except OSError as error:
        raise PublishError(f"cannot bind ipc://{path}: {error.strerror or error}") from error
