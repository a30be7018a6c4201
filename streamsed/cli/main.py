"""The ``streamsed`` command: its subcommands, and what becomes of errors."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from streamsed import __version__
from streamsed.cli.bench import bench
from streamsed.cli.bundle import bundle
from streamsed.cli.check import check
from streamsed.cli.devices import devices
from streamsed.cli.evaluate import evaluate
from streamsed.cli.events import events
from streamsed.cli.keys import keys
from streamsed.cli.listen import listen
from streamsed.cli.output import echo, echo_lines
from streamsed.cli.replay import replay
from streamsed.cli.review import review
from streamsed.cli.run import run
from streamsed.cli.standard_streams import (
    give_output_up,
    hold_descriptors,
    is_of_output,
    print_error,
    tolerate_lost_errors,
)
from streamsed.cli.status import status
from streamsed.errors import (
    BundleError,
    ConfigError,
    DataError,
    JournalError,
    KeysError,
    ProviderError,
    PublishError,
    ReviewError,
    SourceError,
    SourceLost,
    StreamsedError,
)
from streamsed.redaction import redacted

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

# What a user can put right before the next start; the daemon deals with those of its run itself.
_AT_START = (
    ConfigError,
    BundleError,
    ProviderError,
    SourceError,
    KeysError,
    PublishError,
    DataError,
    JournalError,
    ReviewError,
)

# Typer brings its own copy of click in some versions and requires click in others; either way
# its BadParameter derives from the two classes that are wanted here.
_CLICK_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


@dataclass(slots=True)
class Invocation:
    """The options before the subcommand."""

    debug: bool = False


app = typer.Typer(
    name="streamsed",
    help="Streaming sound event detection: onset and offset messages over ZeroMQ.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (run, listen, events, status, replay, evaluate, devices, check, bench):
    app.command()(command)
app.add_typer(keys, name="keys")
app.add_typer(bundle, name="bundle")
app.add_typer(review, name="review")


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    context.obj.debug = debug
    if version:
        echo(f"streamsed {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        echo_lines(context.get_help())


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors become a line for each mistake.

    Args:
        arguments: without the program's name.
    """
    invocation = Invocation()
    try:
        code = app(list(arguments), prog_name="streamsed", standalone_mode=False, obj=invocation)
    except Exception as error:
        if isinstance(error, OSError) and is_of_output(error):
            print_error(f"streamsed: standard output cannot be written: {error.strerror}")
            give_output_up()
            return FAILED
        if invocation.debug:
            print_error(redacted(traceback.format_exc()).rstrip())
            return FAILED
        return _complain(error)
    return code if isinstance(code, int) else DONE


def _complain(error: Exception) -> int:
    if isinstance(error, StreamsedError):
        at_start = isinstance(error, _AT_START) and not isinstance(error, SourceLost)
        lines = error.mistakes if isinstance(error, ConfigError) else (str(error),)
        code = BAD_USAGE if at_start else FAILED
    elif isinstance(error, typer.Abort):
        return INTERRUPTED
    elif isinstance(error, _CLICK_ERROR):
        message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
        message = message.replace("Value error, ", "")  # pydantic's, which some versions show
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "streamsed"
        lines, code = (f"{message.rstrip('.')}; see {command} --help",), BAD_USAGE
    else:
        lines, code = (f"internal error: {error!r}; streamsed --debug shows where",), FAILED
    for line in lines:
        print_error(f"streamsed: {redacted(' '.join(line.splitlines()))}")
    return code


def main() -> None:
    """Entry point of the ``streamsed`` command."""
    hold_descriptors()
    tolerate_lost_errors()
    sys.exit(invoke(sys.argv[1:]))
