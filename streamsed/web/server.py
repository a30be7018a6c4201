"""The page's server: static files and a stream of the daemon's state, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamsed.errors import PublishError
from streamsed.publish.endpoints import http_address

_STATIC = Path(__file__).parent / "static"
_REFRESH_S = 1.0  # between two states that a browser gets
_CONNECTIONS = 32
_STOP_S = 2  # for browsers to be disconnected
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

State = Callable[[], dict[str, object]]
"""Returns what the page shows, as JSON; called in the server's thread, for browsers only."""


class PageServer:
    """Serves the page on a loopback address; nothing that it serves changes anything.

    Each browser gets the whole state at an interval, composed when it is sent: nothing is queued
    for a slow one, and without a browser nothing is composed.

    Attributes:
        url: where it listens, with the port that was chosen if that was left open.
    """

    def __init__(self, bind: str, state: State) -> None:
        """Bind; no request is answered before :meth:`start`.

        Args:
            bind: ``HOST:PORT`` of this machine.
            state: returns what the page shows.

        Raises:
            PublishError: the address cannot be bound.
        """
        host, port = http_address(bind, insecure=False)
        shown = f"[{host}]" if ":" in host else host
        try:
            self._socket = socket.create_server(
                (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
            )
        except OSError as error:
            raise PublishError(
                f"cannot bind http://{shown}:{port}: {(error.strerror or str(error)).lower()}; "
                f"stop what listens there or name another address in web.bind"
            ) from error
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}"
        self._state = state
        app = Starlette(
            routes=[
                Route("/", _index),
                Route("/api/now", self._now),
                Mount("/static", StaticFiles(directory=_STATIC)),
            ]
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                _Guarded(app),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_STOP_S,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="page", daemon=True
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Disconnect browsers and close the address."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(2 * _STOP_S)
        self._socket.close()

    async def _now(self, request: Request) -> Response:  # noqa: ARG002
        return StreamingResponse(self._states(), media_type="text/event-stream")

    async def _states(self) -> AsyncIterator[str]:
        while not self._server.should_exit:
            yield f"data: {json.dumps(self._state())}\n\n"
            await asyncio.sleep(_REFRESH_S)


async def _index(request: Request) -> Response:  # noqa: ARG001
    return FileResponse(_STATIC / "index.html")


class _Guarded:
    """Refuses other sites whose name leads here, and adds the headers of security."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_SECURITY)
            await send(message)

        app = self._app if _is_local(Headers(scope=scope).get("host", "")) else _REFUSAL
        await app(scope, receive, send_guarded)


_REFUSAL = PlainTextResponse("open the page by the address of web.bind\n", status_code=421)


def _is_local(host: str) -> bool:
    """Whether a Host header names this machine, not a name that resolves to it."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name in {"localhost", "[::1]"} or _is_loopback_ipv4(name)


def _is_loopback_ipv4(name: str) -> bool:
    parts = name.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(part.isdecimal() for part in parts)
