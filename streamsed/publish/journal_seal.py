"""Seal: the word, beside the journal, that it holds every number that was ever used.

While the journal cannot be written, messages go on with numbers that it does not hold. Should the
process be killed then, the next one would find an older journal in good order and use those
numbers again. So the seal is removed before the first such message is sent, which works on a full
disk as well, and is set anew once the journal has caught up. It names the boot it was set in: after
a power cut disks may lack what they said was written.
"""

from __future__ import annotations

import os
from pathlib import Path

_CLOSED = "closed"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Seal:
    """A file of one word. Every method may raise :class:`OSError`."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is touched."""
        self._path = path

    def is_whole(self) -> bool:
        """Say whether the journal holds every number that was used."""
        try:
            return self._path.read_text(encoding="ascii", errors="replace") in (_CLOSED, _boot())
        except FileNotFoundError:
            return False

    def exists(self) -> bool:
        """Say whether there has been a journal here."""
        return self._path.exists()

    def set(self) -> None:
        """Say that the journal holds every number used so far, and is in use."""
        self._write(_boot())

    def close(self) -> None:
        """Say that it holds every number, and will until somebody opens it."""
        self._write(_CLOSED)

    def remove(self) -> None:
        """Numbers that the journal does not hold are about to be used."""
        self._path.unlink(missing_ok=True)

    def _write(self, word: str) -> None:
        new = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, word.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.replace(self._path)


def _boot() -> str:
    """Identify this run of the machine; the same for all, where the system does not say."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown boot"
