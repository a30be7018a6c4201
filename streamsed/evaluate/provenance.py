"""How an evaluation was made: command, folder, date, inputs, versions."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("numpy", "pandas", "psds_eval", "sed_eval", "sed_scores_eval")
_DIGITS = 16
_BLOCK = 2**20


def provenance(inputs: Mapping[str, Path]) -> dict[str, str]:
    """Return what makes a report repeatable, by name, for people.

    Args:
        inputs: files and folders by the option that named them.
    """
    return {
        "Command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "Folder": str(Path.cwd()),
        "Date": datetime.now().astimezone().isoformat(timespec="seconds"),
        **{name: _fingerprint(path) for name, path in inputs.items()},
        "Versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{n} {version(n)}" for n in _LIBRARIES)]
        ),
    }


def _fingerprint(path: Path) -> str:
    """Return a path with what identifies its content: a file's digest, a folder's size."""
    try:
        if path.is_dir():
            sizes = [
                entry.stat().st_size
                for folder, _, names in os.walk(path)
                for entry in (Path(folder) / name for name in names)
            ]
            return f"{path} ({len(sizes):,} files, {sum(sizes):,} bytes)"
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return f"{path} ({path.stat().st_size:,} bytes, SHA-256 {digest.hexdigest()[:_DIGITS]})"
    except OSError as error:
        return f"{path} ({error.strerror})"
