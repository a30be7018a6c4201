"""What commands print for people: names of files and classes in it move no cursor."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from streamsed.printable import printable, printable_lines


def echo(text: str, *, err: bool = False) -> None:
    """Print one line."""
    typer.echo(printable(text), err=err)


class PrintableConsole(Console):
    """A console that makes printable what it is given as ``str``, in cells of tables too."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert a string, printable and without markup."""
        return super().render_str(printable_lines(text), **(options | {"markup": False}))
