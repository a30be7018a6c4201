"""Operating points: a folder of event files, each with its threshold in its name."""

from __future__ import annotations

import re
from pathlib import Path

from streamsed.errors import DataError
from streamsed.evaluate.reading.delimited import Note
from streamsed.evaluate.reading.event_tables import EventFile, read_event_file

_NUMBER = re.compile(r"(?<![\d.])(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_EXAMPLE = "predictions_th_0.49.tsv would be right"


def threshold_of(path: Path) -> float:
    """Return the last number in a file's name without its extension.

    Raises:
        DataError: there is none, or it is not from 0 to 1.
    """
    numbers = _NUMBER.findall(path.stem)
    if not numbers:
        raise DataError(f"{path}: has no threshold in its name; {_EXAMPLE}")
    threshold = float(numbers[-1])
    if not 0 <= threshold <= 1:
        raise DataError(
            f"{path}: the threshold in its name, {numbers[-1]}, is not from 0 to 1; {_EXAMPLE}"
        )
    return threshold


def read_operating_points(folder: Path, *, note: Note) -> dict[float, EventFile]:
    """Read the event files of a folder by threshold, rising; files may be empty.

    Raises:
        DataError: there are none, a name has no threshold, two have the same one, or a file
            cannot be used.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; a folder with an event file a threshold")
    paths: dict[float, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in {".tsv", ".csv"} or path.name.startswith("."):
            continue
        other = paths.setdefault(threshold_of(path), path)
        if other != path:
            raise DataError(f"{other} and {path} have the same threshold in their names")
    if not paths:
        raise DataError(f"{folder}: holds no event file; {_EXAMPLE}")
    return {
        threshold: read_event_file(paths[threshold], note=note, may_be_empty=True)
        for threshold in sorted(paths)
    }
