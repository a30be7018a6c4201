"""Setting aside: what cannot be read is kept under another name."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

SUFFIX = ".broken"
_KEPT = 3  # of each file; what damages them may go on doing so


def was_set_aside(path: Path) -> bool:
    """Whether something with this name was ever set aside."""
    return bool(_earlier(path))


def set_aside(path: Path, *, beside: Sequence[str] = ()) -> Path | None:
    """Rename what is at a path, whatever it is, to ``NAME.TIME.broken``.

    Of the files set aside before, the latest are kept; nothing but files is ever removed.

    Args:
        path: of the file.
        beside: what is added to the path for other files that belong to it and go with it.

    Returns:
        Where it lies; None if it cannot be moved.
    """
    name = f"{path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}{SUFFIX}"
    aside = path.with_name(name)
    try:
        for suffix in (*beside, ""):
            part = path.with_name(path.name + suffix)
            with contextlib.suppress(FileNotFoundError):
                part.rename(aside.with_name(aside.name + suffix))
    except OSError:
        return None
    with contextlib.suppress(OSError):
        for old in _earlier(path)[:-_KEPT]:
            for suffix in ("", *beside):
                part = old.with_name(old.name + suffix)
                if part.exists() and stat.S_ISREG(part.lstat().st_mode):
                    part.unlink()
    return aside


def _earlier(path: Path) -> list[Path]:
    """List what was set aside, the oldest first."""
    with contextlib.suppress(OSError):
        return sorted(path.parent.glob(f"{path.name}.*{SUFFIX}"))
    return []
