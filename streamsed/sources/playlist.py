"""Playlist: files one after the other, as one stream."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from pathlib import Path
from threading import Event

import structlog

from streamsed.errors import SourceError, SourceLost
from streamsed.redaction import redacted
from streamsed.sources.block import Block
from streamsed.sources.file import AudioFile
from streamsed.sources.file_names import PlaylistEntry, escape_name, read_playlist
from streamsed.sources.gain import Gain
from streamsed.sources.mono import Channel
from streamsed.sources.protocol import EndOfSource

log = structlog.get_logger(__name__)


class Playlist:
    """Plays what an ``.m3u``, ``.m3u8`` or ``.pls`` file names, in order and without gaps.

    Files may differ in rate and channels. One that cannot be played, or not to its end, does not
    keep those after it from being played; it makes the end a SourceLost.

    Threads: as of :class:`~streamsed.sources.resampled.ResampledSource`.

    Attributes:
        name, live, unusable_samples: see :class:`~streamsed.sources.protocol.Source`.
        gain: is applied to what is delivered; None for 0 dB. To be set while it is closed.
    """

    def __init__(
        self, name: str, path: Path, *, paced: bool = True, channel: Channel = "mix"
    ) -> None:
        self.name = name
        self.live = False
        self.unusable_samples = 0
        self.gain: Gain | None = None
        self._path = path.expanduser()
        self._paced = paced
        self._channel: Channel = channel
        self._waiting: deque[PlaylistEntry] = deque()
        self._current = AudioFile(name, self._path, paced=paced, channel=channel)
        self._rate = 0
        self._first_sample = 0  # of the current file, in the stream
        self._end_sample = 0
        self._entries = 0
        self._failures: list[str] = []
        self._started_at = self._current.started_at
        self._closed = Event()

    def open(self, sample_rate: int) -> None:
        """Read the playlist and open the first file that can be.

        Raises:
            SourceError: the playlist cannot be read, or none of its files be opened.
        """
        self._closed.clear()
        self._rate, self._first_sample, self._end_sample = sample_rate, 0, 0
        self.unusable_samples, self._failures = 0, []
        if self.gain is not None:
            self.gain.begin(sample_rate)
        entries = read_playlist(self._path)
        entries = (PlaylistEntry(str(self._path), self._path),) if entries is None else entries
        self._waiting, self._entries = deque(entries), len(entries)
        if not self._open_next():
            raise SourceError(
                f"{self._path}: none of {self._entries} can be opened: {self._failures[0]}"
            )
        self._started_at = self._current.started_at

    @property
    def started_at(self) -> datetime:
        """UTC of sample 0."""
        return self._started_at

    @property
    def lost_samples(self) -> int:
        """None are ever lost."""
        return 0

    @property
    def mix_loss_db(self) -> float | None:
        """How far the mix of channels lies below them, of late; None if that is not known."""
        return self._current.mix_loss_db

    def read(self, timeout_s: float) -> Block | None:
        """Return the next block; see :meth:`streamsed.sources.protocol.Source.read`.

        Raises:
            EndOfSource: everything was delivered.
            SourceLost: everything that could be had was delivered, but that was not all.
        """
        while True:
            try:
                block = self._current.read(timeout_s)
            except EndOfSource:
                pass
            except SourceError as error:
                self._fail(str(error))
            else:
                if block is None:
                    return None
                self._end_sample = self._first_sample + block.end_sample
                block = Block(block.samples, self._first_sample + block.first_sample)
                return block if self.gain is None else self.gain.apply(block)
            self.unusable_samples += self._current.unusable_samples
            if self._closed.is_set():
                return None
            if not self._open_next():
                raise self._ending()

    def interrupt(self) -> None:
        """Make an ``open`` or ``read`` that is under way return; waits for nothing."""
        self._closed.set()
        self._current.interrupt()

    def close(self) -> None:
        """Release the file; may be called twice, and from another thread."""
        self.interrupt()
        self._current.close()

    def _open_next(self) -> bool:
        """Open the next file that can be; False if there is none."""
        while self._waiting and not self._closed.is_set():
            entry = self._waiting.popleft()
            self._current.close()
            if entry.path is None:
                self._fail(f"{redacted(entry.text)}: is no file; it may be a source of its own")
                continue
            self._first_sample = self._end_sample
            self._current = AudioFile(
                self.name, entry.path, paced=self._paced, channel=self._channel
            )
            try:
                self._current.open(self._rate)
            except SourceError as error:
                self._fail(str(error))
                continue
            if self._closed.is_set():  # by an interrupt before this file could be seen
                self._current.close()
            log.info("playing", source=self.name, path=escape_name(str(entry.path)))
            return True
        return False

    def _fail(self, why: str) -> None:
        log.warning("not_played", source=self.name, playlist=str(self._path), why=escape_name(why))
        self._failures.append(escape_name(why))

    def _ending(self) -> EndOfSource | SourceLost:
        if not self._failures:
            return EndOfSource()
        return SourceLost(
            f"{self._path}: {len(self._failures)} of {self._entries} could not be played, or not "
            f"to their end; the first: {self._failures[0]}"
        )
