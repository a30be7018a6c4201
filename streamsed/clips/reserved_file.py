"""ReservedFile: a file whose space on the disk is taken before it is written."""

from __future__ import annotations

import os
from pathlib import Path


class ReservedFile:
    """A new file to write to and seek in, as ``soundfile`` wants it.

    What was reserved can be written even if the disk is full by then. Its length is that of what
    was written, once it is finished. Every method but :meth:`abandon` may raise :class:`OSError`.
    """

    def __init__(self, path: Path) -> None:
        """Make the file, for its owner alone; one that is there already is replaced."""
        path.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        self._path = path
        self._place = 0
        self._end = 0
        self.reserved_bytes = 0

    def reserve(self, size: int) -> None:
        """Take so much space in all."""
        if size > self.reserved_bytes:
            os.posix_fallocate(self._descriptor, self.reserved_bytes, size - self.reserved_bytes)
            self.reserved_bytes = size

    def write(self, data: bytes) -> int:
        """Write at the current place."""
        view = memoryview(data)
        written = 0
        while written < len(view):
            written += os.pwrite(self._descriptor, view[written:], self._place + written)
        self._place += written
        self._end = max(self._end, self._place)
        return written

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; the end is that of what was written."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        """Return the current place."""
        return self._place

    def read(self, count: int = -1) -> bytes:
        """Read at the current place what was written there."""
        left = self._end - self._place
        data = os.pread(self._descriptor, left if count < 0 else min(count, left), self._place)
        self._place += len(data)
        return data

    def finish(self) -> None:
        """Give back what was not needed, flush the rest to the disk, and close."""
        os.ftruncate(self._descriptor, self._end)
        os.fsync(self._descriptor)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def abandon(self) -> None:
        """Close and remove it; after :meth:`finish` nothing is left to be done."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._path.unlink(missing_ok=True)
