"""Plain tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streamsed.cli.output import echo
from streamsed.printable import printable


def echo_columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a head, left-aligned, on standard output."""
    table = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        echo("  ".join(cells).rstrip())
