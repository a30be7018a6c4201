"""Tab-separated tables with a header, read row by row; a wrong one is one line with its place."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from streamsed.errors import DataError


def read_rows(
    path: Path, columns: Sequence[str], *, delimiter: str = "\t"
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a table, each with where it stands (``file: line 7``).

    Args:
        path: the table; UTF-8, with or without a byte order mark.
        columns: those that must be there; others are kept. A short row's missing cells are "".
        delimiter: between cells.

    Raises:
        DataError: the table cannot be read, lacks a column, or has a row with too many cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(
            f"{path}: cannot be read: {reason}; it must be a table with {', '.join(columns)}"
        ) from error
    rows = csv.DictReader(text.splitlines(), delimiter=delimiter, restval="")
    if missing := [name for name in columns if name not in (rows.fieldnames or ())]:
        raise DataError(
            f"{path}: column {missing[0]} is missing; the columns are {', '.join(columns)}"
        )
    for row in rows:
        where = f"{path}: line {rows.line_num}"
        if None in row:
            raise DataError(f"{where}: has more cells than the header")
        yield where, row


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table whole or, if interrupted, not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
    part.replace(path)
