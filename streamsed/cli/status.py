"""``streamsed status``: ask the running daemon how it is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer

from streamsed.cli.options import KeyOption, ServerKeyOption, curve_keys
from streamsed.cli.output import echo
from streamsed.errors import MessageError
from streamsed.printable import printable_json, printable_model

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from streamsed.client import CurveKeys

_PATIENCE_S = 3.0
_WATCH_S = 1.0
_WIDTH = 160  # of a table that is not shown on a terminal


def status(
    *,
    connect: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="An address that the daemon publishes on; it answers requests beside it.",
        ),
    ] = "tcp://127.0.0.1:5577",
    requests: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Where it answers requests, if that is elsewhere."),
    ] = None,
    server_key: ServerKeyOption = None,
    key: KeyOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the answer as it came.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, once a second.")] = False,
) -> int:
    """Ask the running daemon how it is: sources, levels, open events, losses, latency.

    The exit code is 1 if no daemon answers.
    """
    from streamsed.publish.endpoints import requests_address

    address = requests or requests_address(connect)
    with _Asker(address, curve_keys(server_key, key)) as asker:
        if watch:
            return _watch(asker, json=json)
        answer = asker.ask()
        if answer is None:
            echo(f"streamsed: {asker.no_answer()}", err=True)
            return 1
        if json:
            echo(printable_json(answer.decode(errors="replace")))
        else:
            _console().print(_rendered(answer, asker.ask("active")))
        return 0


class _Asker:
    """Asks again and again, whether or not there is an answer.

    Raises:
        PublishError: the address is malformed.
    """

    def __init__(self, address: str, keys: CurveKeys | None) -> None:
        import zmq

        from streamsed.errors import PublishError

        self._address, self._keys = address, keys
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.IPV6, "[" in address)
        self._socket.set(zmq.REQ_RELAXED, 1)  # what was not answered is forgotten,
        self._socket.set(zmq.REQ_CORRELATE, 1)  # even if the answer comes in the end
        if keys is not None:
            keys.apply(self._socket)
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self._socket.close()
            raise PublishError(
                f"cannot connect to {address!r}: {zmq.strerror(error.errno or 0).lower()}; "
                f"write tcp://HOST:PORT or ipc:///PATH"
            ) from error

    def ask(self, what: str = "status") -> bytes | None:
        """Return the answer; None if none came in time."""
        self._socket.send(b'{"get": "%s"}' % what.encode())
        return self._socket.recv() if self._socket.poll(round(_PATIENCE_S * 1e3)) else None

    def no_answer(self) -> str:
        """Return that there is none, and why; takes up to a second."""
        import zmq

        from streamsed.cli.connection import try_connection

        found = try_connection(
            self._address, keys=self._keys, kind=zmq.SocketType.DEALER, within_s=1.0
        )
        return f"no answer from {self._address}: {found.value}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()


def _watch(asker: _Asker, *, json: bool) -> int:
    """Show one answer after the other until Ctrl-C; only the first has to come."""
    answer = asker.ask()
    if answer is None:
        echo(f"streamsed: {asker.no_answer()}", err=True)
        return 1
    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):
        show = _show_json if json else _screen(stack, asker)
        while True:
            show(answer)
            time.sleep(_WATCH_S)
            answer = asker.ask()
    return 0


def _show_json(answer: bytes | None) -> None:
    if answer is not None:
        echo(printable_json(answer.decode(errors="replace")))


def _screen(stack: contextlib.ExitStack, asker: _Asker) -> Callable[[bytes | None], None]:
    """Return what shows an answer, on a terminal in the place of the one before."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    console = _console()
    live = None
    if console.is_terminal:
        live = stack.enter_context(Live(console=console, auto_refresh=False))
    shown: RenderableType = ""

    def show(answer: bytes | None) -> None:
        nonlocal shown
        if answer is not None:
            shown = _rendered(answer, asker.ask("active"))
        whole = shown
        if answer is None:
            whole = Group(shown, Text(asker.no_answer(), style="red"))
        if live is not None:
            live.update(whole, refresh=True)
        else:
            console.print(whole)

    return show


def _rendered(answer: bytes, active: bytes | None) -> RenderableType:
    """Lay out two answers: of the status, and of the open events."""
    from pydantic import ValidationError

    from streamsed.cli.status_table import render
    from streamsed.publish.daemon_status import DaemonStatus
    from streamsed.publish.messages import EventMessage
    from streamsed.publish.requests import ActiveReply

    try:
        open_events: dict[str, tuple[EventMessage, ...]] = {}
        if active is not None:
            sources = ActiveReply.model_validate_json(active).sources
            open_events = {name: tuple(map(printable_model, of)) for name, of in sources.items()}
        return render(printable_model(DaemonStatus.model_validate_json(answer)), open_events)
    except ValidationError as error:
        raise MessageError(
            f"was answered {answer[:200]!r}, which is no status: {error.errors()[0]['msg']}"
        ) from error


def _console() -> Console:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)
