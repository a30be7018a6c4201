"""The service manager's end of sd_notify: a socket that receives a daemon's notifications."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from tests.sockets import PATIENCE_S


class ServiceManager:
    """Receives notifications, each a mapping of the assignments in one datagram."""

    def __init__(self, address: str | Path) -> None:
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = self.address
        self._socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)

    def receive(self, timeout_s: float = PATIENCE_S) -> dict[str, str] | None:
        """Return the next notification, None if none comes in time."""
        self._socket.settimeout(timeout_s)
        try:
            text = self._socket.recv(65536).decode()
        except TimeoutError:
            return None
        return dict(line.split("=", 1) for line in text.splitlines())

    def until(self, wanted: Callable[[dict[str, str]], bool]) -> list[dict[str, str]]:
        """Return notifications up to the first that is wanted; fail if none is in time."""
        received: list[dict[str, str]] = []
        deadline = monotonic() + PATIENCE_S
        while monotonic() < deadline:
            notification = self.receive()
            assert notification is not None, f"no notification after {received[-3:]}"
            received.append(notification)
            if wanted(notification):
                return received
        raise AssertionError(f"not among {len(received)}; the last: {received[-3:]}")

    def until_said(self, key: str, value: str | None = None) -> list[dict[str, str]]:
        """Return notifications up to the first with a key, and a value if that matters."""
        return self.until(lambda output: key in output and value in {None, output[key]})

    def drain(self) -> list[dict[str, str]]:
        """Return what has come already."""
        received = []
        while (notification := self.receive(1e-6)) is not None:
            received.append(notification)
        return received

    def close(self) -> None:
        self._socket.close()


@contextmanager
def service_manager(address: str | Path) -> Iterator[ServiceManager]:
    """Listen on a path, or on an abstract name after ``@``."""
    manager = ServiceManager(address)
    try:
        yield manager
    finally:
        manager.close()
