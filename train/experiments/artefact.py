"""Artefacts: files and folders that one step makes and others need, known by their content."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamsed.errors import DataError
from train.data.audio import SUFFIXES
from train.writing import replacing

Kind = Literal["bank", "data", "labels", "checkpoint", "scores", "figures", "bundle"]
"""``data`` is a data set of any shape, mixtures with their sources included."""

_CONTENT = {*SUFFIXES, ".tsv", ".csv", ".txt", ".onnx", ".yaml", ".npz"}
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Artefact:
    """What a step needs or yields.

    Attributes:
        kind: what it is, so that none is taken for another.
        path: a file or a folder.
    """

    kind: Kind
    path: Path


class Digests:
    """Digests of content, kept by a file's size and time of change: nothing is read twice.

    Args:
        file: in which they are kept.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: dict[str, list[object]] = {}
        if file.exists():
            with suppress(ValueError):  # it may have been cut short; then all is read again
                self._kept = json.loads(file.read_text(encoding="utf-8"))
        self._changed = False
        self._found: dict[Path, str] = {}

    def of(self, path: Path) -> str | None:
        """Return 16 hexadecimal digits of the content of a file or a folder; None without one.

        Of a folder these are the names and contents of its audio and tables, not of what lies
        beside them, such as a description with a date. A path is looked at once.
        """
        if path not in self._found and path.exists():
            self._found[path] = self._of_file(path) if path.is_file() else self._of_folder(path)
        return self._found.get(path)

    def _of_folder(self, path: Path) -> str:
        whole = hashlib.sha256()
        for folder, below, files in os.walk(path):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in sorted(files):
                file = Path(folder, name)
                if not name.startswith(".") and file.suffix.lower() in _CONTENT:
                    whole.update(f"{file.relative_to(path)}\0{self._of_file(file)}\n".encode())
        return whole.hexdigest()[:16]

    def save(self) -> None:
        """Keep what was computed; on a full disk it is computed anew the next time."""
        if self._changed:
            with suppress(DataError), replacing(self._file) as part:
                part.write_text(json.dumps(self._kept), encoding="utf-8")
            self._changed = False

    def _of_file(self, path: Path) -> str:
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        kept = self._kept.get(str(path))
        if kept is not None and kept[:2] == stamp:
            return str(kept[2])
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        self._kept[str(path)] = [*stamp, digest.hexdigest()[:16]]
        self._changed = True
        return digest.hexdigest()[:16]
