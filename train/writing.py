"""Files that are whole or not there, and a full disk in one line."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamsed.errors import DataError

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the limit of a file's size is reached",
}


class DiskFull(DataError):
    """A file cannot be written for want of space; what was there before it is whole."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a file beside ``path`` to write to, which then takes its place in one go.

    Raises:
        DiskFull: there is no space left.
        DataError: it cannot be written for another reason.
    """
    part = path.with_name(f"{path.name}.part")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Write ``path``, or below it.

    Raises:
        DiskFull: there is no space left.
        DataError: it cannot be written for another reason.
    """
    try:
        with full_disk(path):
            yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Do what writes files at or below ``path``, among other things.

    Raises:
        DiskFull: there is no space left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        where = error.filename or path
        raise DiskFull(
            f"{where}: {_FULL[error.errno]}; free some space, and the same command goes on"
        ) from error
