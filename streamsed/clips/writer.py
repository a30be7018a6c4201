"""ClipWriter: one thread that turns audio into FLAC files, apart from detection."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import structlog
from numpy.typing import NDArray

from streamsed.clips.folder import PARTIAL, ClipFolder
from streamsed.clips.reserved_file import ReservedFile
from streamsed.sources.block import Block

_MAX_QUEUED_SAMPLES = 4_000_000  # 16 MB
_MAX_OPEN = 256  # each is an open file
_PRUNE_S = 5.0  # clips also grow old, and the disk full, while nothing happens
_PATIENCE_S = 0.25  # longest wait for room to be taken; not again while that never comes in time
_AHEAD_S = 20.0  # room that is taken beyond what was written
_HEAD_BYTES = 65_536  # of a FLAC file, at the most
_SAMPLE_BYTES = 2.1  # of 16 bits, at the most
_FULL_SCALE = np.float32(32768.0)
_SILENCE = np.zeros(16_000, np.int16)

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class ClipFile:
    """A clip on its way to disk.

    Attributes:
        path: what it will be called once it is whole.
        begun: whether audio of it was taken.
        dropped: whether it will never be whole.
        promised: whether it was named to others, and so has to become whole.
        room_sample: before this sample there is room on the disk for all of it.
    """

    path: Path
    begun: bool = False
    dropped: bool = False
    promised: bool = False
    room_sample: int = 0


@dataclass(frozen=True, slots=True)
class _Piece:
    """Consecutive audio of a clip; without any it is begun, or given up if it was dropped."""

    clip: ClipFile
    blocks: Sequence[Block]
    last: bool
    first_sample: int = 0


@dataclass(slots=True)
class _Open:
    place: ReservedFile
    file: soundfile.SoundFile
    first_sample: int
    next_sample: int


class ClipWriter:
    """Writes clips; what it cannot write in time it drops, with a log line.

    Everything waits in one bounded queue. A clip is a file ``NAME.flac.part`` until it is whole.

    Attributes:
        failing: why clips cannot be written; None while they can.
    """

    def __init__(
        self,
        folder: ClipFolder,
        *,
        sample_rate: int,
        max_queued_samples: int = _MAX_QUEUED_SAMPLES,
    ) -> None:
        """Take the folder; :meth:`start` begins.

        Args:
            folder: where clips go; the thread's from then on.
            sample_rate: of all audio, in Hz.
            max_queued_samples: audio that may wait.
        """
        self._folder = folder
        self._sample_rate = sample_rate
        self._max_queued_samples = max_queued_samples
        self._queue: deque[_Piece] = deque()
        self._queued_samples = 0
        self._changed = threading.Condition()
        self._closing = False
        self._impatient = False  # whether room was waited for in vain
        self._had_room = True  # since clips could not be written
        self._looked = False  # whether it is known what is in the folder
        self.failing: str | None = None
        self._open: dict[ClipFile, _Open] = {}
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def prepare(self, clip: ClipFile, *, first_sample: int) -> None:
        """Have room on the disk taken for a clip, before there is audio of it; never waits."""
        with self._changed:
            clip.begun = True
            self._queue.append(_Piece(clip, (), last=False, first_sample=first_sample))
            self._changed.notify_all()

    def promise(self, clip: ClipFile, *, end_sample: int) -> bool:
        """Decide whether a clip may be named to others; it is dropped if not.

        Waits a moment for room to be taken on the disk, if that has not been done yet.

        Args:
            clip: whose event has ended.
            end_sample: its audio ends before.

        Returns:
            Whether there is room for all of it.
        """
        with self._changed:
            self._impatient = not self._changed.wait_for(
                lambda: clip.dropped or clip.room_sample >= end_sample,
                0.0 if self._impatient else _PATIENCE_S,
            )
            if clip.room_sample >= end_sample and not clip.dropped:
                clip.promised = True
                return True
            if clip.dropped:
                return False
            self._drop(clip)
        log.warning("clip_dropped", clip=clip.path.name, why="the disk is slow, or full")
        return False

    def _drop(self, clip: ClipFile) -> None:
        clip.dropped = True
        if clip.begun:
            self._queue.append(_Piece(clip, (), last=False))
            self._changed.notify_all()

    def put(self, clip: ClipFile, blocks: Sequence[Block], *, last: bool = False) -> None:
        """Hand over the next audio of a clip; never waits.

        Args:
            clip: dropped if there is no room.
            blocks: views that are not written to afterwards; gaps between them become silence.
            last: whether the clip is whole with it.
        """
        if clip.dropped:
            return
        samples = sum(len(block.samples) for block in blocks)
        with self._changed:
            full = self._queued_samples + samples > self._max_queued_samples
            if full and not clip.promised:
                self._drop(clip)
            else:
                clip.begun = True
                self._queue.append(_Piece(clip, blocks, last))
                self._queued_samples += samples
                self._changed.notify_all()
        if clip.dropped:
            log.warning("clip_dropped", clip=clip.path.name, why="the disk cannot keep up")

    def close(self, timeout_s: float) -> None:
        """Write what was handed over, for as long as there is time, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                log.warning("clips_unfinished", waiting=len(self._queue))

    def _run(self) -> None:
        self._keep_in_bounds()
        while (piece := self._take()) is not None:
            if piece.clip.dropped:
                self._discard(piece.clip)
            else:
                self._write(piece)
        for clip in tuple(self._open):
            self._discard(clip)
        if self._looked:
            self._folder.close()

    def _take(self) -> _Piece | None:
        """Wait for a piece; None at the end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing, _PRUNE_S)
                if self._queue:
                    piece = self._queue.popleft()
                    self._queued_samples -= sum(len(block.samples) for block in piece.blocks)
                    return piece
                if self._closing:
                    return None
            self._keep_in_bounds()  # without the lock, for which detection may wait

    def _write(self, piece: _Piece) -> None:
        clip = piece.clip
        try:
            opened = self._open.get(clip)
            if opened is None:
                if piece.last and not piece.blocks:
                    clip.dropped = True  # nothing was left of its audio
                    return
                first = piece.blocks[0].first_sample if piece.blocks else piece.first_sample
                opened = self._open[clip] = self._begin(clip, first)
            for block in piece.blocks:
                self._append(opened, block)
            if not piece.last:
                self._take_room(clip, opened)
                return
            if opened.next_sample == opened.first_sample:
                clip.dropped = True
                self._discard(clip)
                return
            opened.file.close()
            opened.place.finish()
            self._folder.add(_partial(clip))
            del self._open[clip]
        except (OSError, soundfile.SoundFileError) as error:
            clip.dropped = True
            self._discard(clip)
            self._fail(error)
        else:
            if self._keep_in_bounds() and self.failing is not None and self._had_room:
                log.info("clips_written_again", folder=str(self._folder.path))
                self.failing = None
        finally:
            with self._changed:  # wakes detection if it waits for room
                self._impatient = False
                self._changed.notify_all()

    def _begin(self, clip: ClipFile, first_sample: int) -> _Open:
        if len(self._open) >= _MAX_OPEN:
            raise OSError(f"{_MAX_OPEN} clips are being written already")
        self._folder.make()
        place = ReservedFile(_partial(clip))
        try:
            file = soundfile.SoundFile(
                place,
                "w",
                samplerate=self._sample_rate,
                channels=1,
                format="FLAC",
                subtype="PCM_16",
            )
            opened = _Open(place, file, first_sample, first_sample)
            self._take_room(clip, opened)
        except BaseException:
            place.abandon()
            raise
        return opened

    def _take_room(self, clip: ClipFile, opened: _Open) -> None:
        """Take room for what may come next, unless there is enough."""
        ahead = round(_AHEAD_S * self._sample_rate)
        if clip.room_sample - opened.next_sample >= ahead // 2:
            return
        room_sample = opened.next_sample + ahead
        size = _HEAD_BYTES + round((room_sample - opened.first_sample) * _SAMPLE_BYTES)
        self._folder.make_room(size - opened.place.reserved_bytes)
        opened.place.reserve(size)
        clip.room_sample = room_sample
        self._had_room = True

    def _append(self, opened: _Open, block: Block) -> None:
        while (lost := block.first_sample - opened.next_sample) > 0:
            opened.file.write(_SILENCE[:lost])
            opened.next_sample += min(lost, len(_SILENCE))
        opened.file.write(to_int16(block.samples))
        opened.next_sample = block.end_sample

    def _discard(self, clip: ClipFile) -> None:
        opened = self._open.pop(clip, None)
        if opened is not None:
            # What fails here failed before, and was logged.
            with contextlib.suppress(OSError, soundfile.SoundFileError):
                opened.file.close()
            with contextlib.suppress(OSError):
                opened.place.abandon()

    def _keep_in_bounds(self) -> bool:
        try:
            if not self._looked and not self._open:
                self._folder.open()
                self._looked = True
            self._folder.prune()
        except OSError as error:
            self._fail(error)
            return False
        return True

    def _fail(self, error: Exception) -> None:
        """Log once that clips cannot be written, until they can again."""
        if self.failing is not None:
            return
        self.failing = str(error)
        self._had_room = False
        folder = self._folder.path
        space = {}
        with contextlib.suppress(OSError):
            space["free_bytes"] = shutil.disk_usage(folder).free
        log.error("clips_failing", folder=str(folder), why=str(error), **space)


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Convert ``(n,)`` float32, full scale 1, to 16 bits; exact for what was 16 bits before."""
    scaled = samples * _FULL_SCALE
    np.rint(scaled, out=scaled)
    np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1, out=scaled)
    return scaled.astype(np.int16)


def _partial(clip: ClipFile) -> Path:
    return clip.path.with_name(clip.path.name + PARTIAL)
