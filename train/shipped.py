"""Checkpoints that come with the package, by the paths that a checkout has them at."""

from __future__ import annotations

from pathlib import Path

from streamsed.bundle import find_bundle
from streamsed.errors import BundleError


def find_checkpoint(path: Path) -> Path:
    """Return a checkpoint: a file, or one of a bundle that ships (``models/domestic/crnn.pt``)."""
    if not path.is_file() and len(path.parts) > 1 and not path.is_absolute():
        try:
            found = find_bundle(path.parent) / path.name
        except BundleError:
            return path
        if found.is_file():
            return found
    return path
