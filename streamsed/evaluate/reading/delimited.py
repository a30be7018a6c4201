"""Text tables as people's tools write them, with the line of each row."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from streamsed.errors import DataError

_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")

Note = Callable[[str], None]
"""Called with a line about what was mended or left out."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row with something in it.

    Attributes:
        line: where an editor shows it, from 1.
        cells: without surrounding blanks.
    """

    line: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Delimited:
    """A table of text.

    Attributes:
        path: of the file.
        rows: those with something in them; the first may be a head.
    """

    path: Path
    rows: list[Row]

    def error(self, line: int, problem: str) -> DataError:
        """Return an error that names the file and the line."""
        return DataError(f"{self.path}, line {line}: {problem}")


def read_text(path: Path) -> str:
    """Return a file's text, without a byte order mark.

    Raises:
        DataError: it cannot be read, or is no UTF-8 text.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: is no UTF-8 text; save it as UTF-8") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path}, line {line}: is no UTF-8 text: it holds a zero byte")
    return text


def delimiter_of(text: str) -> str:
    """Return what parts the cells of a table: a tab, else ``;``, else ``,``: the first in row 1."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return next((mark for mark in ("\t", ";", ",") if mark in first), "\t")


def with_points(cell: str) -> str:
    """Return a number with a decimal comma with a point, and anything else as it is."""
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell


def read_delimited(path: Path, *, note: Note) -> Delimited:
    """Read a tab-separated table; one that is comma-separated is read as that, with a note.

    So is one with semicolons, in which numbers may have decimal commas, as spreadsheets of many
    European countries write it. Windows line ends, a byte order mark and blank lines do not matter.

    Raises:
        DataError: the file cannot be read, is no such text, or a row has more cells than the
            first: what is beyond would be lost.
    """
    text = read_text(path)
    delimiter = delimiter_of(text)
    if delimiter != "\t":
        kind = "comma-separated" if delimiter == "," else "semicolon-separated"
        note(f"{path}: is {kind}, not tab-separated, and was read as that")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows = []
    end = 0
    try:
        for cells in reader:
            begin, end = end + 1, reader.line_num
            stripped = [cell.strip() for cell in cells]
            if delimiter == ";":
                stripped = [with_points(cell) for cell in stripped]
            if any("\n" in cell or "\r" in cell for cell in stripped):
                problem = "a quotation mark opens here, and does not close before the line ends"
                raise DataError(f"{path}, line {begin}: {problem}")
            if any(stripped):
                rows.append(Row(begin, stripped))
                _check_width(path, rows[0], rows[-1], delimiter)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: is no table of text: {error}") from error
    return Delimited(path, rows)


def _check_width(path: Path, first: Row, row: Row, delimiter: str) -> None:
    width = len(first.cells)
    if len(row.cells) <= width or not any(row.cells[width:]):
        return
    cure = {
        "\t": "one record a line, with a tab between cells, would be right",
        ",": "a cell with a comma in it stands in quotation marks, and one record on each line",
        ";": "a cell with a semicolon in it stands in quotation marks, and one record on each line",
    }[delimiter]
    raise DataError(
        f"{path}, line {row.line}: has {counted(len(row.cells), 'cell')}, and line {first.line} "
        f"has {width}; {cure}"
    )


def is_number(text: str) -> bool:
    """Whether ``text`` is a number, NaN and infinity included."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def number(text: str, what: str) -> float:
    """Return a finite number.

    Raises:
        ValueError: it is none; the message names ``what`` it should have been.
    """
    try:
        value = float(text)
    except ValueError:
        hint = "; a decimal point, not a comma" if is_number(text.replace(",", ".")) else ""
        fault = f"is {text!r}, which is no number{hint}" if text else "is missing"
        raise ValueError(f"{what} {fault}") from None
    if not math.isfinite(value):
        raise ValueError(f"{what} is {text}; a finite number would be right")
    return value


def few(names: Iterable[str], *, at_most: int = 3) -> str:
    """Name the first and count the rest."""
    names = list(names)
    rest = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {rest} more" if rest > 0 else "")


def counted(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"
