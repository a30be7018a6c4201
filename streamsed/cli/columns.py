"""Plain tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer


def echo_columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a head, left-aligned, on standard output."""
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
