"""Output of commands: the one place where text is printed for people."""

from __future__ import annotations

import typer

from streamsed.printable import printable, printable_lines, printable_styled


def echo(text: object = "", *, err: bool = False) -> None:
    """Print one line; whatever is in it moves no cursor and begins no other line."""
    typer.echo(printable(text), err=err)


def echo_lines(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text of several lines."""
    typer.echo(printable_lines(text), err=err, nl=nl)


def echo_styled(line: str) -> None:
    """Print one line, on a terminal with colours, whose parts have been made printable."""
    typer.echo(printable_styled(line))
