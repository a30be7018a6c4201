"""State file: a small JSON file of a sink, replaced as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

FOLDER = "sinks"
_LONGEST_BYTES = 4 * 2**20


def read_state(path: Path) -> object | None:
    """Return the content; None if there is no file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON.
    """
    try:
        with path.open("rb") as file:
            content: object = json.loads(file.read(_LONGEST_BYTES))
    except FileNotFoundError:
        return None
    return content


def write_state(path: Path, content: object) -> None:
    """Replace the file, so that a crash leaves the old content or the new.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(path.name + ".new")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
