"""``streamsed listen``: print messages as they come."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from streamsed.cli.options import KeyOption, ServerKeyOption, curve_keys
from streamsed.cli.output import echo, echo_styled
from streamsed.errors import MessageError
from streamsed.printable import printable_json

if TYPE_CHECKING:
    from streamsed.client import CurveKeys, Subscriber
    from streamsed.publish.messages import AnyMessage

_HEARTBEAT = "heartbeat/"
_DAEMON = "status/daemon/"
_NEEDED = (_HEARTBEAT, _DAEMON)  # must be understood even if the JSON is only passed on
_FIRST_S = 2.0  # without any message, before a connection of its own shows why
_QUIET_S = 5.0  # a daemon that is connected sends a heartbeat each second, unless configured so
_SILENCE_S = 3.0  # one that sent messages is gone; later if its heartbeats are rare


def listen(
    *,
    connect: Annotated[
        str, typer.Option(metavar="ADDRESS", help="An address that the daemon publishes on.")
    ] = "tcp://127.0.0.1:5577",
    server_key: ServerKeyOption = None,
    key: KeyOption = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PREFIX",
            help="Topics wanted, such as event/kitchen/ or heartbeat/; repeatable. "
            "By default event/ and status/.",
        ),
    ] = None,
    since: Annotated[
        int | None,
        typer.Option(
            metavar="SEQ",
            min=0,
            help="Begin with what came after the message of this number; 0: with all that the "
            "daemon has kept.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the JSON as it came.")] = False,
    until_stop: Annotated[
        bool, typer.Option("--until-stop", help="End when the daemon does.")
    ] = False,
) -> int:
    """Print messages as they come, one a line. Ends on Ctrl-C; reconnects by itself.

    What was missed meanwhile comes from the daemon's journal. What that no longer has is named on
    standard error, and so is why no messages come.

    With --until-stop the exit code is 1 if messages end without the one that the daemon stops.
    """
    from streamsed.cli.lines import line
    from streamsed.client import Subscriber
    from streamsed.publish.messages import DaemonMessage, DaemonState

    began = datetime.now(UTC)
    wanted = tuple(["event/", "status/"] if topic is None else topic)
    try:
        keys = curve_keys(server_key, key)
        with Subscriber(
            connect, topics=(*wanted, _HEARTBEAT, _DAEMON), since=since, keys=keys
        ) as subscriber:
            read = Reader(topics=_NEEDED if json else ("",))
            for name, payload, message in _watch(
                subscriber, read, address=connect, keys=keys, give_up=until_stop
            ):
                if name.startswith(wanted) and json:
                    echo(printable_json(payload.decode(errors="replace")))
                elif name.startswith(wanted) and message is not None:
                    echo_styled(line(message))
                stopped = (
                    isinstance(message, DaemonMessage)
                    and message.state is DaemonState.STOPPED
                    and (since is None or message.published >= began)  # not one of the past
                )
                if stopped and until_stop:
                    return 0
        echo(f"streamsed: {connect} sends nothing any more, not even that it stops", err=True)
        return 1
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Whoever read the output has gone; so that the interpreter's own flush is quiet too:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


class Reader:
    """Reads messages as far as they are of a kind that this version knows.

    What others publish on the address, or a newer daemon, is reported once and passed over.
    """

    def __init__(self, *, topics: tuple[str, ...]) -> None:
        """Read messages of these topics; others need not be understood."""
        self._topics = topics
        self._warned = False

    def __call__(self, topic: str, payload: bytes) -> AnyMessage | None:
        """Return the message; None if it need not be read or cannot be."""
        from streamsed.client import parse

        if not topic.startswith(self._topics):
            return None
        try:
            return parse(payload)
        except MessageError as error:
            if not self._warned:
                echo(f"streamsed: {error}; skipping all such messages", err=True)
            self._warned = True
            return None


def _watch(
    subscriber: Subscriber, read: Reader, *, address: str, keys: CurveKeys | None, give_up: bool
) -> Iterator[tuple[str, bytes, AnyMessage | None]]:
    """Yield topic, JSON and message; report on standard error why nothing comes, and when it does.

    Ends, if ``give_up``, when messages came and have then been missing for long.
    """
    from streamsed.cli.connection import Connection, try_connection
    from streamsed.cli.lines import gap_line
    from streamsed.client import Gap
    from streamsed.publish.messages import Heartbeat

    silence_s, last_at, missed, ever = _FIRST_S, time.monotonic(), False, False
    while True:
        frames = subscriber.receive_frames(1.0)
        now = time.monotonic()
        if isinstance(frames, Gap):
            echo(f"streamsed: {gap_line(frames)}", err=True)
        elif frames is not None:
            if missed:
                echo(f"streamsed: messages come from {address}", err=True)
            last_at, missed, ever = now, False, True
            message = read(*frames)
            if isinstance(message, Heartbeat):
                silence_s = max(_SILENCE_S, 3 * message.interval_s)
            yield *frames, message
        elif give_up and ever and now - last_at > 3 * silence_s:
            return
        elif not missed and now - last_at > silence_s:
            found = try_connection(address, keys=keys)
            if found is Connection.MADE and silence_s == _FIRST_S:
                silence_s = _QUIET_S
                continue
            missed = True
            echo(f"streamsed: no messages from {address}: {found.value}", err=True)
            echo("streamsed: trying on", err=True)
