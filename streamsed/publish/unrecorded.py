"""Unrecorded: the note that numbers are in use which nothing in the state directory records.

Where the ledger can be neither written nor removed, because the disk hangs or is read-only, this
note goes to another file system, in memory, for the next start to find. It does not outlive the
machine's run; nor does it have to, for then no number is taken on trust.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from streamsed.publish.ledger import LARGEST_NUMBER

_LONGEST_BYTES = 32


class Unrecorded:
    """The note about one state directory; no method raises or waits for a disk."""

    def __init__(self, folder: Path) -> None:
        """Name it; nothing is touched."""
        name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
        self._name = f"streamsed-{name}.unrecorded"
        self.is_set = False

    def read(self) -> int | None:
        """Return the last number that was used when it was written; None if there is none."""
        for path in self._places():
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(path, flags)
            except OSError:
                continue
            try:
                if os.fstat(descriptor).st_uid != os.geteuid():
                    continue
                text = os.read(descriptor, _LONGEST_BYTES)
            except OSError:
                text = b""
            finally:
                os.close(descriptor)
            self.is_set = True
            last = int(text) if text.isdigit() else 0
            return last if last <= LARGEST_NUMBER else 0
        return None

    def write(self, last: int) -> None:
        """Leave it, wherever that can be done first."""
        for path in self._places():
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
            with contextlib.suppress(OSError):
                descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
                try:
                    os.write(descriptor, b"%d" % last)
                finally:
                    os.close(descriptor)
                self.is_set = True
                return

    def remove(self) -> None:
        """Take it back: all is recorded again."""
        for path in self._places():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self.is_set = False

    def _places(self) -> Iterator[Path]:
        for variable in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
            if folder := os.environ.get(variable):
                yield Path(folder.split(":")[0]) / self._name
        yield Path("/dev/shm") / self._name  # noqa: S108 - opened without following links
