"""A small HTTP server for metrics and health, with bounds on what clients can cost."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

import structlog

from streamsed.errors import PublishError

_CONNECTIONS = 8  # served at a time, each by a thread; then the slowest client is cut off
_MOST_CONNECTIONS = 2 * _CONNECTIONS  # with those that are being closed
_CONNECTION_S = 5.0  # from accepting to the end, however slow the other side
_LOOK_S = 0.5  # how often connections are looked at

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The response to a request for a page.

    Attributes:
        status: of HTTP.
        content_type: of the body.
        body: all of it.
    """

    status: int
    content_type: str
    body: bytes


Page = Callable[[str], HttpResponse]
"""Makes the answer, given the request's ``Accept``; called from the server's threads."""


class HttpServer:
    """Serves a few pages to ``GET``, on one address.

    One request a connection. What the other side sends is bounded by :mod:`http.server` (a line
    of 64 KiB, 100 headers), what it may take by :data:`_CONNECTION_S`, and how many there are by
    :data:`_CONNECTIONS`.

    Attributes:
        url: where it listens, with the port that was chosen if that was left open.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        """Bind; no request is answered before :meth:`start`.

        Args:
            host: an IP address, or ``localhost``.
            port: 0 for any that is free.
            pages: by path.

        Raises:
            PublishError: the address cannot be bound.
        """
        shown = f"[{host}]" if ":" in host else host
        try:
            self._server = _Server(host, port, pages)
        except OSError as error:
            raise PublishError(
                f"cannot bind http://{shown}:{port}: {(error.strerror or str(error)).lower()}; "
                f"stop what listens there or name another address in metrics.bind"
            ) from error
        self.url = f"http://{shown}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOK_S,), name="http", daemon=True
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and close what is open."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


_Request = socket.socket | tuple[bytes, socket.socket]  # socketserver's; the second is UDP's


class _Server(socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.pages = pages
        self._overdue_at: dict[socket.socket, float] = {}  # the oldest first
        self._waiting: set[socket.socket] = set()  # of these, those whose client has to act
        self._changing = threading.Lock()
        super().__init__((host, port), _Handler)

    def process_request(self, request: _Request, client_address: object) -> None:
        """Serve a connection in a thread of its own, if there are not too many."""
        assert isinstance(request, socket.socket)
        with self._changing:
            admitted = len(self._overdue_at) < _CONNECTIONS or self._make_room()
            if admitted:
                self._overdue_at[request] = time.monotonic() + _CONNECTION_S
                self._waiting.add(request)
        if not admitted:
            self.shutdown_request(request)
            return
        threading.Thread(
            target=self._serve, args=(request, client_address), name="http request", daemon=True
        ).start()

    def _make_room(self) -> bool:
        """Close the connection that has been slow for longest: in its request, or in reading."""
        oldest = next((request for request in self._overdue_at if request in self._waiting), None)
        if oldest is None or len(self._overdue_at) >= _MOST_CONNECTIONS:
            return False
        self._waiting.discard(oldest)
        with contextlib.suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)
        return True

    @contextlib.contextmanager
    def answering(self, request: socket.socket) -> Iterator[None]:
        """Leave a connection alone while its answer is made."""
        with self._changing:
            self._waiting.discard(request)
        yield
        with self._changing:
            if request in self._overdue_at:
                self._waiting.add(request)

    def _serve(self, request: socket.socket, client_address: object) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # it went away, or was too slow
        except Exception:
            log.exception("http_request_failed")
        finally:
            with self._changing:
                del self._overdue_at[request]
                self._waiting.discard(request)
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Close connections that have been open for too long."""
        self._cut_off(time.monotonic())

    def server_close(self) -> None:
        """Close the address and all connections."""
        super().server_close()
        self._cut_off(float("inf"))

    def _cut_off(self, now: float) -> None:
        with self._changing:
            for request, overdue_at in self._overdue_at.items():
                if now >= overdue_at:
                    with contextlib.suppress(OSError):
                        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    timeout = _CONNECTION_S
    server: _Server
    error_content_type = "application/json"
    error_message_format = '{"status": "error", "code": %(code)d}\n'

    def do_GET(self) -> None:
        """Respond with a page."""
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(404)
            return
        with self.server.answering(self.connection):
            answer = page(self.headers.get("Accept", ""))
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815

    def version_string(self) -> str:
        """Name neither Python nor its version."""
        return "streamsed"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: clients must not be able to fill the log."""
