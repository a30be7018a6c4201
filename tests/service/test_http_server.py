"""The HTTP server, and those who would keep it busy."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from streamsed.errors import PublishError
from streamsed.service.http_server import HttpResponse, HttpServer
from tests.sockets import PATIENCE_S

LOOPBACK = "127.0.0.1"


def hello(accept: str) -> HttpResponse:
    return HttpResponse(200, "text/plain", f"hello {accept}\n".encode())


def broken(accept: str) -> HttpResponse:
    raise RuntimeError("boom")


def long(accept: str) -> HttpResponse:
    return HttpResponse(200, "text/plain", b"x" * 50_000_000)


PAGES = {"/hello": hello, "/broken": broken, "/long": long}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    monkeypatch.setattr("streamsed.service.http_server._CONNECTION_S", 0.3)
    monkeypatch.setattr("streamsed.service.http_server._LOOK_S", 0.05)
    made = HttpServer(LOOPBACK, 0, PAGES)
    made.start()
    yield made
    made.close()


def port(server: HttpServer) -> int:
    return int(server.url.rpartition(":")[2])


def ask(server: HttpServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, port(server), timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Accept": "all"})
        response = connection.getresponse()
        return response.status, response.read()


def ask_until_answered(server: HttpServer, path: str) -> tuple[int, bytes]:
    """Ask until the server has a place for us, as a scraper would."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return ask(server, path)
    raise AssertionError("nobody is answered any more")


def connect(server: HttpServer) -> socket.socket:
    return socket.create_connection((LOOPBACK, port(server)), timeout=PATIENCE_S)


def closed(connection: socket.socket) -> bool:
    """Read up to the end that the other side makes; fail if it makes none."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    return True


def test_pages_and_what_is_none(server: HttpServer) -> None:
    assert ask(server, "/hello") == (200, b"hello all\n")
    assert ask(server, "/hello?x=1") == (200, b"hello all\n")
    assert ask(server, "/hello", "HEAD") == (200, b"")
    for path, method, code in (("/", "GET", 404), ("/../etc", "GET", 404), ("/hello", "PUT", 501)):
        status, body = ask(server, path, method)
        assert status == code
        assert json.loads(body) == {"status": "error", "code": code}


def test_a_page_that_fails_is_logged_and_costs_nobody_else(server: HttpServer) -> None:
    with capture_logs() as logs, connect(server) as connection:
        connection.sendall(b"GET /broken HTTP/1.0\r\n\r\n")
        assert closed(connection)
    assert [entry["event"] for entry in logs] == ["http_request_failed"]
    assert ask(server, "/hello")[0] == 200


HOSTILE = {
    "silent": b"",
    "half a request": b"GET /hello HTTP/1.1\r\nHost: a\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n",
    "a long line": b"GET /" + b"a" * 1_000_000,
    "many headers": b"GET /hello HTTP/1.1\r\n" + b"a: b\r\n" * 100_000,
    "a body": b"POST /hello HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + b"a" * 1_000_000,
    "takes no answer": b"GET /long HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_requests_end_soon_and_cost_nobody_else(server: HttpServer, what: str) -> None:
    with ExitStack() as made:
        connections = [made.enter_context(connect(server)) for _ in range(20)]
        for connection in connections:
            with contextlib.suppress(ConnectionError):  # it may have been closed at once
                connection.sendall(HOSTILE[what])
        assert ask_until_answered(server, "/hello") == (200, b"hello all\n")
        busy = [thread for thread in threading.enumerate() if thread.name == "http request"]
        assert len(busy) <= 16
        assert all(closed(connection) for connection in connections)


@pytest.mark.parametrize("what", ["silent", "half a request", "takes no answer"])
def test_slow_clients_make_room_for_one_that_is_not(server: HttpServer, what: str) -> None:
    with ExitStack() as made:
        for _ in range(12):
            made.enter_context(connect(server)).sendall(HOSTILE[what])
        began = time.monotonic()
        assert ask_until_answered(server, "/hello") == (200, b"hello all\n")
        assert time.monotonic() - began < 4.0, "it waited for the slow ones to be cut off"


def test_one_that_sends_byte_after_byte_is_cut_off(server: HttpServer) -> None:
    """Each byte comes in time, but the request never ends."""
    with connect(server) as connection:
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < began + PATIENCE_S:
                connection.sendall(b"a")
                time.sleep(0.01)
        assert time.monotonic() < began + PATIENCE_S, "nobody cut it off"


def test_an_address_in_use_is_one_line(server: HttpServer) -> None:
    with pytest.raises(PublishError) as caught:
        HttpServer(LOOPBACK, port(server), PAGES)
    assert str(caught.value) == (
        f"cannot bind http://127.0.0.1:{port(server)}: address already in use; "
        "stop what listens there or name another address in metrics.bind"
    )


def test_closing_cuts_everybody_off() -> None:
    made = HttpServer(LOOPBACK, 0, PAGES)
    made.start()
    with connect(made) as connection:
        connection.sendall(b"GET /hello HTTP/1.0\r\n")
        ask_until_answered(made, "/hello")  # so the first connection has been accepted
        made.close()
        assert closed(connection)
    with pytest.raises(OSError, match="refused"):
        connect(made)
