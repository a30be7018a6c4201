"""``streamsed review``: decide about events, from a terminal."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from streamsed.cli.columns import echo_columns
from streamsed.cli.options import ConfigOption, configuration
from streamsed.cli.output import echo, echo_lines

if TYPE_CHECKING:
    from streamsed.review.review import Review

review = typer.Typer(
    help="Review events: right, wrong, of another class, or missed.", rich_markup_mode=None
)


class Decision(StrEnum):
    """Second argument of ``set``: no class, so that a slip is not taken for one."""

    RIGHT = "right"
    WRONG = "wrong"
    WAS = "was"


JournalOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Folder of the journal, in place of the configured."),
]
ByOption = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who reviews; by default the user.")
]
_HEAD = ("onset", "duration", "source", "class", "review", "by", "event")


@review.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        echo_lines(context.get_help())


@review.command("list")
def list_reviews(*, config: ConfigOption = None, journal: JournalOption = None) -> int:
    """Print the reviews that count, by onset."""
    from streamsed.review.store import ReviewStore

    found = ReviewStore(_folder(config, journal)).reviews()
    if found:
        echo_columns(_HEAD, map(_row, found))
    else:
        echo("streamsed: nothing is reviewed yet", err=True)
    return 0


@review.command("set")
def set_review(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event_id of its messages.")],
    decision: Annotated[Decision, typer.Argument(metavar="right|wrong|was", help="What it was.")],
    label: Annotated[
        str | None, typer.Argument(metavar="CLASS", help="After 'was': which class.")
    ] = None,
    *,
    config: ConfigOption = None,
    journal: JournalOption = None,
    by: ByOption = None,
) -> int:
    """Review an event of the journal that has ended; the latest review of it counts."""
    from streamsed.publish.history import history
    from streamsed.publish.messages import EventMessage
    from streamsed.review.review import Review, Verdict
    from streamsed.review.store import ReviewStore

    folder, event_id = _folder(config, journal), _event_id(event)
    messages = map(EventMessage.model_validate_json, history(folder))
    message = next((found for found in messages if found.event_id == event_id), None)
    if message is None:
        raise typer.BadParameter(f"the journal in {folder} has no event {event_id}")
    made = Review.of_event(
        message,
        Verdict.RELABELLED if decision is Decision.WAS else Verdict(decision.value),
        label=label,
        reviewer=by or getpass.getuser(),
        reviewed=datetime.now(UTC),
    )
    ReviewStore(folder).add(made)
    echo(" ".join((message.source, message.label, f"{event_id}:", decision, label or "")).rstrip())
    return 0


@review.command()
def missed(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Where it sounded.")],
    label: Annotated[str, typer.Argument(metavar="CLASS", help="What it was.")],
    begin: Annotated[
        str, typer.Argument(metavar="BEGIN", help="A time, such as 2026-01-02T03:04:05.5.")
    ],
    duration_s: Annotated[
        float, typer.Argument(metavar="SECONDS", min=0.001, max=86_400, help="How long it was.")
    ],
    *,
    config: ConfigOption = None,
    journal: JournalOption = None,
    by: ByOption = None,
) -> int:
    """Note a sound that made no event."""
    from streamsed.review.review import Review, Verdict
    from streamsed.review.store import ReviewStore

    try:
        onset = datetime.fromisoformat(begin).astimezone(UTC)
        end = onset + timedelta(seconds=duration_s)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{begin!r} is no time, such as 2026-01-02T03:04:05.5") from error
    ReviewStore(_folder(config, journal)).add(
        Review(
            verdict=Verdict.MISSED,
            source=source,
            label=label,
            detected=None,
            event_id=None,
            begin=onset,
            end=end,
            clip=None,
            reviewer=by or getpass.getuser(),
            reviewed=datetime.now(UTC),
        )
    )
    echo(f"{source} {label} {onset.isoformat()}: missed")
    return 0


@review.command()
def undo(*, config: ConfigOption = None, journal: JournalOption = None) -> int:
    """Take the latest review back."""
    from streamsed.review.store import ReviewStore

    undone = ReviewStore(_folder(config, journal)).undo()
    if undone is None:
        echo("streamsed: there is no review to take back", err=True)
        return 1
    echo(f"taken back: {undone.source} {undone.label} {undone.event_id or ''}: {undone.verdict}")
    return 0


def _folder(config: Path | None, journal: Path | None) -> Path:
    return journal or configuration(config).journal.path


def _event_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no event_id; streamsed events --json shows them"
        ) from error


def _row(found: Review) -> tuple[str, ...]:
    local = found.begin.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return (
        local,
        f"{(found.end - found.begin).total_seconds():.3f} s",
        found.source,
        found.detected or found.label,
        f"was {found.label}" if found.verdict == "relabelled" else found.verdict,
        found.reviewer,
        "-" if found.event_id is None else str(found.event_id),
    )
