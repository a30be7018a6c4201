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
from streamsed.sources.block import Block

_MAX_QUEUED_SAMPLES = 4_000_000  # 16 MB
_MAX_OPEN = 256  # each is an open file
_PRUNE_S = 600.0  # clips also grow old while nothing happens
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
    """

    path: Path
    begun: bool = False
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class _Piece:
    """Consecutive audio of a clip; without any, the clip is given up."""

    clip: ClipFile
    blocks: Sequence[Block]
    last: bool


@dataclass(slots=True)
class _Open:
    file: soundfile.SoundFile
    next_sample: int


class ClipWriter:
    """Writes clips; what it cannot write in time it drops, and says so.

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
        self._looked = False  # whether it is known what is in the folder
        self.failing: str | None = None
        self._open: dict[ClipFile, _Open] = {}
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

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
            if self._queued_samples + samples > self._max_queued_samples:
                clip.dropped = True
                blocks, samples = (), 0
            if clip.begun or not clip.dropped:
                clip.begun = True
                self._queue.append(_Piece(clip, blocks, last))
                self._queued_samples += samples
                self._changed.notify()
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
            self._keep_in_bounds()  # without the lock, which whoever puts waits for

    def _write(self, piece: _Piece) -> None:
        clip = piece.clip
        try:
            opened = self._open.get(clip)
            if opened is None and not piece.blocks:
                clip.dropped = True  # nothing was left of its audio
                return
            if opened is None:
                opened = self._open[clip] = self._begin(clip, piece.blocks[0].first_sample)
            for block in piece.blocks:
                self._append(opened, block)
            if not piece.last:
                return
            opened.file.close()
            self._folder.add(_partial(clip))
            del self._open[clip]
        except (OSError, soundfile.SoundFileError) as error:
            clip.dropped = True
            self._discard(clip)
            self._fail(error)
        else:
            if self._keep_in_bounds() and self.failing is not None:
                log.info("clips_written_again", folder=str(self._folder.path))
                self.failing = None

    def _begin(self, clip: ClipFile, first_sample: int) -> _Open:
        if len(self._open) >= _MAX_OPEN:
            raise OSError(f"{_MAX_OPEN} clips are being written already")
        self._folder.make()
        file = soundfile.SoundFile(
            _partial(clip),
            "w",
            samplerate=self._sample_rate,
            channels=1,
            format="FLAC",
            subtype="PCM_16",
        )
        return _Open(file, first_sample)

    def _append(self, opened: _Open, block: Block) -> None:
        while (lost := block.first_sample - opened.next_sample) > 0:
            opened.file.write(_SILENCE[:lost])
            opened.next_sample += min(lost, len(_SILENCE))
        opened.file.write(to_int16(block.samples))
        opened.next_sample = block.end_sample

    def _discard(self, clip: ClipFile) -> None:
        opened = self._open.pop(clip, None)
        if opened is not None:
            # What fails here failed before, and was said.
            with contextlib.suppress(OSError, soundfile.SoundFileError):
                opened.file.close()
            with contextlib.suppress(OSError):
                _partial(clip).unlink()

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
        """Say once that clips cannot be written, until they can again."""
        if self.failing is not None:
            return
        self.failing = str(error)
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
