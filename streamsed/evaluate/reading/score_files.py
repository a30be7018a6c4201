"""Score files: a table a recording with a row a frame and a column a class."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import DataError
from streamsed.evaluate.data import ScoreTable
from streamsed.evaluate.reading.delimited import delimiter_of, number, read_text, with_points
from streamsed.validation_messages import suggest

_TIMES = ("onset", "offset")
_RIGHT = "'onset offset' and a column a class, with tabs between, would be right"
_TIME_TOLERANCE = 0.01  # of a frame: times are written rounded
_SCORE_TOLERANCE = 1e-6  # float32 sums may pass 1 by so much


@dataclass(frozen=True, slots=True, eq=False)
class ScoreFile:
    """One file as it is.

    Attributes:
        path: of the file.
        classes: in the order of its columns.
        table: columns in that order.
    """

    path: Path
    classes: tuple[str, ...]
    table: ScoreTable

    def ordered(self, classes: tuple[str, ...], *, like: Path) -> ScoreTable:
        """Return the table with its columns in another order.

        Args:
            classes: what must be there; more may be.
            like: the file that had these classes, for people.

        Raises:
            DataError: a class is missing.
        """
        if classes == self.classes:
            return self.table
        places = {label: at for at, label in enumerate(self.classes)}
        for label in classes:
            if label not in places:
                raise DataError(
                    f"{self.path}, line 1: has no column {label!r}, which {like} has; "
                    f"{suggest(label, self.classes)}"
                )
        columns = [places[label] for label in classes]
        return ScoreTable(self.table.edges_s, self.table.scores[:, columns])


def find_score_files(folder: Path) -> dict[str, Path]:
    """Return the score files below a folder by what they call their recordings.

    That is the path below the folder without ``.tsv`` (or ``.csv``).

    Raises:
        DataError: there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; a folder with a score file a recording")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.suffix.lower() not in {".tsv", ".csv"} or not path.is_file():
            continue
        if any(part.startswith(".") for part in relative.parts):
            continue
        name = relative.as_posix()[: -len(path.suffix)]
        other = found.setdefault(name, path)
        if other != path:
            raise DataError(f"{other} and {path} hold scores of the same recording; keep one")
    if not found:
        raise DataError(f"{folder}: holds no score file; one .tsv file a recording would be right")
    return found


def read_score_file(path: Path) -> ScoreFile:
    """Read one file: ``onset offset <class>...``, a row a frame, as sed_scores_eval writes it.

    A column without a name in front (the row numbers of pandas) is ignored. If there is no column
    ``offset``, a frame ends where the next begins, and the last is as long as the one before.

    Raises:
        DataError: file, line and class of what cannot be used: no such columns, what is no
            number, scores outside [0, 1], frames with holes between them or that overlap.
    """
    text = read_text(path)
    head, _, body = text.partition("\n")
    delimiter = delimiter_of(head)
    names = [name.strip().strip('"') for name in head.strip("\r\n").split(delimiter)]
    if not head.strip():
        raise DataError(f"{path}: is empty or begins with an empty line; {_RIGHT}")
    skipped = 1 if names[0] == "" else 0
    times = [name for name in _TIMES if name in names]
    classes = tuple(names[skipped + len(times) :])
    if names[skipped : skipped + len(times)] != times or times[:1] != ["onset"] or not classes:
        raise DataError(f"{path}, line 1: has the columns {', '.join(map(repr, names))}; {_RIGHT}")
    if "" in classes or len(set(classes)) < len(classes):
        twice = next(label for label in classes if label == "" or classes.count(label) > 1)
        what = f"has two columns {twice!r}" if twice else "has a column without a name"
        raise DataError(f"{path}, line 1: {what}; a column a class would be right")
    if odd := [label for label in classes if "\\" in label]:
        raise DataError(
            f"{path}, line 1: the class {odd[0]!r} has a backslash in its name, which "
            "sed_scores_eval does not take; another character would be right"
        )
    if delimiter == ";":  # with decimal commas
        body = body.replace(",", ".")
    values = _values(path, text, body, delimiter, names)[:, skipped:]
    scores = values[:, len(times) :]
    _check_scores(path, text, scores, classes)
    edges = _edges(path, text, values[:, : len(times)])
    return ScoreFile(path, classes, ScoreTable(edges, np.clip(scores, 0.0, 1.0).astype(np.float32)))


def _values(
    path: Path, text: str, body: str, delimiter: str, names: list[str]
) -> NDArray[np.float64]:
    if not body.strip():
        raise DataError(f"{path}: has no frames")
    try:
        values = np.loadtxt(
            io.StringIO(body), delimiter=delimiter, dtype=np.float64, ndmin=2, comments=None
        )
    except ValueError as error:
        raise _first_bad_cell(path, text, delimiter, names) from error
    if values.shape[1] != len(names):
        raise _first_bad_cell(path, text, delimiter, names)
    return values


def _first_bad_cell(path: Path, text: str, delimiter: str, names: list[str]) -> DataError:
    """Find what is wrong, the slow way."""
    for line, row in list(enumerate(text.splitlines(), 1))[1:]:
        if not row.strip():
            continue
        cells = [cell.strip() for cell in row.split(delimiter)]
        if len(cells) != len(names):
            return DataError(
                f"{path}, line {line}: has {len(cells)} columns, and the head has {len(names)}"
            )
        for name, cell in zip(names, cells, strict=True):
            if name == "" or cell.lower() in {"nan", "inf", "-inf"}:
                continue
            try:
                number(with_points(cell) if delimiter == ";" else cell, _what(name))
            except ValueError as error:
                return DataError(f"{path}, line {line}: {error}")
    return DataError(f"{path}: is no table of numbers; {_RIGHT}")


def _what(name: str) -> str:
    return f"the {name}" if name in _TIMES else f"the score of {name}"


def _line(text: str, row: int) -> int:
    """Return the line of a row of numbers, which blank lines may precede."""
    filled = [line for line, content in enumerate(text.splitlines(), 1) if content.strip()]
    return filled[row + 1]


def _check_scores(
    path: Path, text: str, scores: NDArray[np.float64], classes: tuple[str, ...]
) -> None:
    # Written so that NaN is outside as well.
    outside = ~((scores >= -_SCORE_TOLERANCE) & (scores <= 1 + _SCORE_TOLERANCE))
    if not outside.any():
        return
    row, column = np.argwhere(outside)[0]
    value = scores[row, column]
    hint = "; are these logits?" if np.isfinite(value) else ""
    raise DataError(
        f"{path}, line {_line(text, row)}: the score of {classes[column]} is {value:g}; "
        f"from 0 to 1 would be right{hint}"
    )


def _edges(path: Path, text: str, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(T + 1,)`` edges of frames that follow each other from 0."""
    if not np.isfinite(times).all():
        row, column = np.argwhere(~np.isfinite(times))[0]
        value = times[row, column]
        raise DataError(f"{path}, line {_line(text, row)}: the {_TIMES[column]} is {value:g}")
    onsets = times[:, 0]
    if times.shape[1] == 1:
        if len(onsets) < 2:
            raise DataError(f"{path}: has one frame and no column 'offset': how long is it?")
        offsets = np.append(onsets[1:], 2 * onsets[-1] - onsets[-2])
    else:
        offsets = times[:, 1]
    lengths = offsets - onsets
    if (lengths <= 0).any():
        row = int(np.argmax(lengths <= 0))
        raise DataError(
            f"{path}, line {_line(text, row)}: the frame ends at {offsets[row]:g} s, "
            f"not after it begins at {onsets[row]:g} s"
        )
    tolerance = _TIME_TOLERANCE * float(np.median(lengths))
    gaps = onsets - np.concatenate(([0.0], offsets[:-1]))
    if (np.abs(gaps) > tolerance).any():
        row = int(np.argmax(np.abs(gaps) > tolerance))
        before = f"the one before ends at {offsets[row - 1]:g} s" if row else "the first at 0 s"
        right = "" if row else " would be right"
        raise DataError(
            f"{path}, line {_line(text, row)}: the frame begins at {onsets[row]:g} s, "
            f"{before}{right}: {'a hole' if gaps[row] > 0 else 'they overlap'}"
        )
    return np.concatenate((onsets, offsets[-1:]))
