"""``streamsed events``: what was detected, from the journal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamsed.cli.columns import echo_columns
from streamsed.cli.options import ConfigOption, configuration
from streamsed.cli.output import echo
from streamsed.printable import printable_json

if TYPE_CHECKING:
    from streamsed.publish.messages import EventMessage

_SPAN = re.compile(r"(?P<count>\d+(?:\.\d+)?)(?P<unit>[smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_LATEST = 10_000  # events that are looked at for names
_HEAD = ("onset", "offset", "source", "class", "duration", "peak", "reason")


def _moment(text: str) -> datetime:
    """Read ``1h`` as an hour ago, and what else there is as local time."""
    if span := _SPAN.fullmatch(text.strip()):
        seconds = float(span["count"]) * _SECONDS[span["unit"]]
        try:
            return datetime.now(UTC) - timedelta(seconds=seconds)
        except OverflowError as error:
            raise typer.BadParameter(f"{text!r} is longer ago than time goes") from error
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r} is neither a span, such as 90s, 10m, 1h or 2d, nor a time, such as "
            f"2026-01-02 or 2026-01-02T03:04"
        ) from error


def events(
    *,
    config: ConfigOption = None,
    journal: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the journal, in place of the configured."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="Events from then on: 90s, 10m, 1h or 2d ago, or a time."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Events before then; the same.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Of this source; repeatable.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="CLASS", help="Of this class; repeatable.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, metavar="COUNT", help="The newest so many at most; 0: all.")
    ] = 100,
    json: Annotated[
        bool, typer.Option("--json", help="Print the latest message of each event as JSON.")
    ] = False,
) -> int:
    """Print what was detected, one event a line, by onset; from the journal, daemon or not."""
    from streamsed.publish.history import history
    from streamsed.publish.messages import EventMessage

    folder = journal or configuration(config).journal.path
    found = history(
        folder,
        begin=_moment(since) if since else None,
        end=_moment(until) if until else None,
        sources=source or (),
        labels=label or (),
        limit=limit + 1 if limit else None,
    )
    more = 0 < limit < len(found)
    shown = found[1:] if more else found
    if json:
        for body in shown:
            echo(printable_json(body))
    elif shown:
        echo_columns(_HEAD, (_row(EventMessage.model_validate_json(body)) for body in shown))
    else:
        why = _unknown_names(folder, sources=source or (), labels=label or ())
        echo(f"streamsed: no such event{why}", err=True)
    if more:
        echo(f"streamsed: the newest {limit}; there are more (--limit 0: all)", err=True)
    return 0


def _unknown_names(folder: Path, *, sources: Sequence[str], labels: Sequence[str]) -> str:
    """Return what names are asked for that no event of the journal has, and what was meant."""
    from streamsed.publish.history import history
    from streamsed.publish.messages import EventMessage
    from streamsed.validation_messages import suggest

    if not (sources or labels):
        return ""
    kept = [EventMessage.model_validate_json(body) for body in history(folder, limit=_LATEST)]
    for kind, asked, known in (
        ("source", sources, {event.source for event in kept}),
        ("class", labels, {event.label for event in kept}),
    ):
        for name in asked:
            if known and name not in known:
                return f": the journal has no {kind} {name!r}; {suggest(name, known)}"
    return ""


def _row(event: EventMessage) -> tuple[str, ...]:
    return (
        _clock(event.onset.utc),
        "-" if event.offset is None else _clock(event.offset.utc),
        event.source,
        event.label,
        "-" if event.duration is None else f"{event.duration:.3f} s",
        f"{event.score.peak:.2f}",
        "goes on" if event.reason is None else event.reason,
    )


def _clock(moment: datetime) -> str:
    """Local date and time."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
