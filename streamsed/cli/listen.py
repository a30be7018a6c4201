"""``streamsed listen``: print messages as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from streamsed.errors import StreamsedError

if TYPE_CHECKING:
    from streamsed.client import Subscriber

_HEARTBEAT = "heartbeat/"
_DAEMON = "status/daemon/"
_SILENCE_S = 5.0  # without a heartbeat: nobody is there
_GIVE_UP_S = 15.0  # with --until-stop: it was there, and has gone without a word


def listen(
    *,
    connect: Annotated[
        str, typer.Option(metavar="ADDRESS", help="An address that the daemon publishes on.")
    ] = "tcp://127.0.0.1:5577",
    topic: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PREFIX",
            help="Topics wanted, such as event/kitchen/ or heartbeat/; repeatable. "
            "By default event/ and status/.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the JSON as it came.")] = False,
    until_stop: Annotated[
        bool, typer.Option("--until-stop", help="End when the daemon does.")
    ] = False,
) -> int:
    """Print messages as they come, one a line. Ends on Ctrl-C; reconnects by itself."""
    from streamsed.cli.lines import line
    from streamsed.client import Subscriber, parse
    from streamsed.publish.messages import DaemonMessage, DaemonState

    wanted = tuple(["event/", "status/"] if topic is None else topic)
    try:
        with Subscriber(connect, topics=(*wanted, _HEARTBEAT, _DAEMON)) as subscriber:
            for name, payload in _watch(subscriber, connect, give_up=until_stop):
                message = parse(payload)
                if name.startswith(wanted):
                    typer.echo(payload if json else line(message))
                if (
                    until_stop
                    and isinstance(message, DaemonMessage)
                    and message.state is DaemonState.STOPPED
                ):
                    return 0
    except KeyboardInterrupt:
        return 0
    return 0


def _watch(subscriber: Subscriber, address: str, *, give_up: bool) -> Iterator[tuple[str, bytes]]:
    """Yield messages; say on standard error when the daemon cannot be heard, and again when it can.

    Raises:
        StreamsedError: it was heard, has been silent for long, and ``give_up``.
    """
    heard_at, missed, ever = time.monotonic(), False, False
    while True:
        frames = subscriber.receive_frames(1.0)
        now = time.monotonic()
        if frames is not None:
            if missed:
                typer.echo(f"streamsed: {address} can be heard", err=True)
            heard_at, missed, ever = now, False, True
            yield frames
        elif now - heard_at > _GIVE_UP_S and give_up and ever:
            raise StreamsedError(f"{address} has fallen silent without saying that it stops")
        elif now - heard_at > _SILENCE_S and not missed:
            missed = True
            typer.echo(f"streamsed: nothing to be heard from {address}; still trying", err=True)
