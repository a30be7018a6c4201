"""Reading a file that may be anything: a pipe, a device or a link is refused, not waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular(path: Path, *, most_bytes: int, follow_links: bool = True) -> bytes:
    """Return the content of a regular file.

    Args:
        path: of the file.
        most_bytes: a longer file is refused.
        follow_links: whether the last part of the path may be a link.

    Raises:
        OSError: it cannot be read, is no regular file, or is too long; ``strerror`` gives why.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # the last: a pipe without writer
    descriptor = os.open(path, flags | (0 if follow_links else os.O_NOFOLLOW))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            reason = f"is {kind_of(status.st_mode)}, not a regular file"
            raise OSError(errno.EINVAL, reason, str(path))
        if status.st_size > most_bytes:
            raise OSError(errno.EFBIG, f"is longer than {most_bytes} bytes", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"is longer than {most_bytes} bytes", str(path))
    return content


def kind_of(mode: int) -> str:
    """Name the kind of a file by its mode."""
    for is_kind, name in (
        (stat.S_ISREG, "a regular file"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISLNK, "a link"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISCHR, "a device"),
    ):
        if is_kind(mode):
            return name
    return "something else"
