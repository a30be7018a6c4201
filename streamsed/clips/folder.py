"""ClipFolder: the finished clips on disk, and which of them have to go."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from streamsed.ages import Ages

SUFFIX = ".flac"
PARTIAL = ".part"

_TIME = "%Y%m%dT%H%M%S"
_NAME = re.compile(r"(?P<time>\d{8}T\d{6})\.\d{3}Z_.+_[0-9a-f-]{36}\.flac")
_MICROSECOND = timedelta(microseconds=1)
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_WORD = 64  # a file's name has at most 255
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.-]+")


def clip_name(*, utc: datetime, source: str, label: str, event_id: UUID) -> str:
    """Name a clip so that names sort by time: ``<utc>_<source>_<label>_<event_id>.flac``."""
    utc = utc.astimezone(UTC)
    moment = f"{utc:{_TIME}}.{utc.microsecond // 1000:03d}Z"
    words = (_NOT_IN_NAMES.sub("-", word)[:_LONGEST_WORD] for word in (source, label))
    return "_".join([moment, *words, str(event_id)]) + SUFFIX


class ClipFolder:
    """Keeps the age and the size of the clips in a folder within bounds.

    Only files that are named like clips are ever removed. Belongs to one thread, and the folder
    to one daemon.
    """

    def __init__(
        self,
        path: Path,
        *,
        keep: timedelta,
        max_bytes: int,
        ages: Ages | None = None,
        spare_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        """Take the folder; nothing is touched before :meth:`open`.

        Args:
            path: made when it is needed.
            keep: age beyond which clips are removed.
            max_bytes: size of all clips beyond which the oldest are removed.
            ages: measures how old they are; by default nothing is kept over restarts.
            spare_bytes: returns what has to stay free on the disk, for others.
        """
        self.path = path
        self._ages = ages or Ages()
        self._keep_us = keep // _MICROSECOND
        self._max_bytes = max_bytes
        self._spare_bytes = spare_bytes
        self._clips: deque[tuple[str, int]] = deque()  # name and bytes; the oldest first
        self._bytes = 0

    def make(self) -> None:
        """Make the folder, for its owner alone, unless it is there.

        Raises:
            OSError: it cannot be made.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open(self) -> None:
        """Look at what is in the folder, and remove what a killed process left.

        Raises:
            OSError: it cannot be made or read.
        """
        self.make()
        names = sorted(path.name for path in self.path.iterdir())
        for name in names:
            if name.endswith(SUFFIX + PARTIAL) and _NAME.fullmatch(name.removesuffix(PARTIAL)):
                (self.path / name).unlink(missing_ok=True)
        self._ages.open()
        self._clips.clear()
        self._bytes = 0
        for name in sorted(filter(_NAME.fullmatch, names), key=self._age_us, reverse=True):
            with contextlib.suppress(FileNotFoundError):
                self._note(name)

    def add(self, partial: Path) -> None:
        """Give a whole clip its name.

        Raises:
            OSError: it cannot be renamed.
        """
        whole = partial.with_name(partial.name.removesuffix(PARTIAL))
        partial.rename(whole)
        self._note(whole.name)

    def make_room(self, wanted_bytes: int) -> None:
        """Remove the oldest clips until so much is free, besides what has to stay free.

        Raises:
            OSError: that does not suffice, or one cannot be removed.
        """
        self._remove_for(wanted_bytes)
        if self._lacks(wanted_bytes):
            raise OSError(errno.ENOSPC, "too little is free beside what the journal may need")

    def _lacks(self, wanted_bytes: int) -> bool:
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize < self._spare_bytes() + wanted_bytes

    def _remove_for(self, wanted_bytes: int) -> None:
        while self._clips and self._lacks(wanted_bytes):
            self._remove_oldest()

    def _remove_oldest(self) -> None:
        name, size = self._clips[0]
        (self.path / name).unlink(missing_ok=True)
        self._clips.popleft()
        self._bytes -= size

    def prune(self) -> None:
        """Remove clips that are too old, and then the oldest until the rest is small enough.

        So much is free then as has to stay free, or no clip is left.

        Raises:
            OSError: one cannot be removed.
        """
        self._ages.observe()
        while self._clips:
            name, _ = self._clips[0]
            too_old = not self._ages.waits and self._age_us(name) > self._keep_us
            if not too_old and self._bytes <= self._max_bytes:
                break
            self._remove_oldest()
        self._remove_for(0)

    def close(self) -> None:
        """Note how old things are, for the next time."""
        self._ages.observe()
        self._ages.save()

    def _age_us(self, name: str) -> int:
        try:
            moment = datetime.strptime(name[:15], _TIME).replace(tzinfo=UTC)
        except ValueError:  # digits that are no date
            return 0
        return self._ages.age_us((moment - _1970) // _MICROSECOND)

    def _note(self, name: str) -> None:
        size = (self.path / name).stat().st_size
        self._clips.append((name, size))
        self._bytes += size
