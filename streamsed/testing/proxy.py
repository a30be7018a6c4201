"""A proxy between a subscriber and a server, that stalls and cuts connections."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Passes bytes both ways until it is stopped.

    Attributes:
        address: where to connect, in place of the server's.
    """

    def __init__(self, to: str) -> None:
        """Listen; ``to`` is the server's tcp address."""
        host, port = to.removeprefix("tcp://").split(":")
        self._to = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._other: dict[socket.socket, socket.socket] = {}
        self._flows = threading.Event()
        self._flows.set()
        self._cut = self._lose = self._over = False
        self._lost: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stall(self) -> None:
        """Pass nothing on, and leave connections open."""
        self._flows.clear()

    def flow(self) -> None:
        """Go on."""
        self._flows.set()

    def cut(self) -> None:
        """Close all connections; new ones are possible."""
        self._cut = True

    def lose(self) -> None:
        """Pass on nothing more for the connections there are, and leave them open."""
        self._lose = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        self._flows.set()
        self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector, self._listener:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._over:
                self._flows.wait()
                if self._cut:
                    self._cut = False
                    for connection in list(self._other):
                        self._close(selector, connection)
                if self._lose:
                    self._lose = False
                    for connection in list(self._other):
                        selector.unregister(connection)
                        self._lost.append(connection)
                    self._other.clear()
                for key, _ in selector.select(0.02):
                    assert isinstance(key.fileobj, socket.socket)
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif key.fileobj in self._other:
                        self._pass_on(selector, key.fileobj)
            for connection in list(self._other):
                self._close(selector, connection)
            for connection in self._lost:
                connection.close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._to)
        except OSError:
            client.close()
            return
        self._other |= {client: server, server: client}
        for connection in (client, server):
            selector.register(connection, selectors.EVENT_READ)

    def _pass_on(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        try:
            content = connection.recv(65_536)
            self._other[connection].sendall(content)
        except OSError:
            content = b""
        if not content:
            self._close(selector, connection)

    def _close(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        other = self._other.pop(connection, None)
        if other is not None:
            del self._other[other]
            for each in (connection, other):
                with contextlib.suppress(KeyError):
                    selector.unregister(each)
                each.close()
