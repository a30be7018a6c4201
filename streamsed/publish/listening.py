"""Listening sockets at addresses written as ZeroMQ's, tcp and ipc."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import struct
from pathlib import Path

from streamsed.errors import PublishError
from streamsed.publish.endpoints import ipc_path, tcp_address

_BACKLOG = 128
_SIOCGIFADDR = 0x8915
_KEEPALIVE_S = 60  # a peer whose machine is gone is noticed after some minutes


def open_listener(address: str, *, key: str, ipc_mode: int) -> tuple[socket.socket, str]:
    """Listen at an address.

    Args:
        address: ``tcp://HOST:PORT``, where the host may be ``*`` or a network interface and the
            port ``*``; or ``ipc://PATH``.
        key: of the configuration, where the address stands.
        ipc_mode: permissions of an ipc socket's file.

    Returns:
        The socket, which does not block; the address, with wildcards resolved.

    Raises:
        PublishError: the address is malformed or cannot be bound.
    """
    path = ipc_path(address)
    try:
        if path is not None:
            return _listen_ipc(path, mode=ipc_mode), address
        return _listen_tcp(address)
    except OSError as error:
        taken = error.errno == 98
        hint = f"; stop what listens there or name another address in {key}" if taken else ""
        why = (error.strerror or str(error)).lower()
        raise PublishError(f"cannot bind {address}: {why}{hint}") from error
    except ValueError as error:
        raise PublishError(f"cannot bind {address}: {error}") from error


def keep_alive(connection: socket.socket) -> None:
    """Let the system notice, for a TCP connection, that the other machine is gone."""
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _listen_tcp(address: str) -> tuple[socket.socket, str]:
    host, port = tcp_address(address)
    bracketed = host.startswith("[")
    family = socket.AF_INET6 if bracketed else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bracketed:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        found = socket.getaddrinfo(_numeric(host), port, family, socket.SOCK_STREAM)
        listener.bind(found[0][4])
        listener.listen(_BACKLOG)
        bound = listener.getsockname()
    except BaseException:
        listener.close()
        raise
    shown = f"[{bound[0]}]" if bracketed else bound[0]
    return listener, f"tcp://{shown}:{bound[1]}"


def _numeric(host: str) -> str:
    """Return what may be looked up: a wildcard's or a network interface's address, else a name."""
    if host == "*":
        return "0.0.0.0"  # noqa: S104 - asked for
    if host in (name for _, name in socket.if_nameindex()):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            asked = struct.pack("256s", host.encode()[:15])
            return socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFADDR, asked)[20:24])
    return host.strip("[]")


def _listen_ipc(path: Path, *, mode: int) -> socket.socket:
    _claim(path, mode=mode)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    umask = os.umask(0o177)  # it is for its owner alone, at first
    try:
        listener.bind(str(path))
        path.chmod(mode)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(umask)
    return listener


def _claim(path: Path, *, mode: int) -> None:
    """Make ``path`` free to bind: create its directory, remove what a dead process left.

    Args:
        path: of the socket.
        mode: permissions that the socket will have; whoever may connect may enter a directory
            that is made here.

    Raises:
        PublishError: another process listens there, something else lies there, or anybody may
            put another socket in its place.
    """
    enter = mode >> 1 & 0o011  # to connect is to write
    try:
        path.parent.mkdir(mode=0o700 | enter, parents=True, exist_ok=True)
        directory = path.parent.stat().st_mode
        if directory & stat.S_IWOTH and not directory & stat.S_ISVTX:
            raise PublishError(
                f"cannot bind ipc://{path}: anybody may write to {path.parent}, and put a socket "
                f"of their own there; chmod o-w it or name another path in publish.bind"
            )
        try:
            kind = path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(kind):
            raise PublishError(f"cannot bind ipc://{path}: the path exists and is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)  # a full backlog is that of a listening process
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
            except BlockingIOError:
                pass
        raise PublishError(
            f"cannot bind ipc://{path}: another process is listening there; "
            f"stop it or name another path in publish.bind"
        )
    except OSError as error:
        raise PublishError(f"cannot bind ipc://{path}: {error.strerror or error}") from error
