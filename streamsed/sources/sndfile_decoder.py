"""Decoding of audio files by libsndfile: WAV, FLAC, Ogg, MP3 and more."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamsed.sources.audio_headers import Header, PatchedFile, is_chained_flac, states_length

_UNKNOWN_FRAMES = 2**62  # FLAC written to a pipe does not hold its length
_UNKNOWN_BYTES = 0x7FFF0000  # WAV written to a pipe: a placeholder of 2 or 4 GiB
_MP3_SLACK_FRAMES = 2 * 1152  # an MP3 header may count a frame more or less than there is
_SHORT_CHUNK = re.compile(r"^\s*(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_OGG_CUT = "Last page lacks an end-of-stream bit"
_PCM_SCALE = np.float32(2.0**-15)

Frames = NDArray[np.float32]


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """A recording that is read once, from its beginning to its end.

    In a file that can seek, python-soundfile seeks to where it is after each read. That is dear
    with FLAC; Ogg and MP3 find their place again by it after damage.
    """

    def seekable(self) -> bool:
        """Whether to seek at each read."""
        return not self.subtype.startswith("PCM") and super().seekable()


class SndfileDecoder:
    """Decodes a file that libsndfile reads, from its beginning to its end.

    Attributes:
        rate: Hz.
        channels: how many there are.
    """

    def __init__(self, path: Path, header: Header) -> None:
        """Open the file.

        Args:
            path: of the file.
            header: what was found in it.

        Raises:
            OSError: the file cannot be read.
            soundfile.LibsndfileError: libsndfile does not read it.
            TypeError: its name ends in ``.raw``.
        """
        self._patched = PatchedFile(path, header.patches) if header.patches else None
        try:
            # A name need not be UTF-8.
            self._file = _SoundFile(self._patched or os.fsencode(path))
        except BaseException:
            self._close_patched()
            raise
        self._path = path
        self._position = 0
        self._damage: str | None = None
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels

    @property
    def reaches_end(self) -> bool:
        """Whether libsndfile decodes all that the file holds, and nothing else."""
        match self._file.format:
            case "MP3":
                return states_length(self._path)
            case "FLAC":
                return not is_chained_flac(self._path)
            case "VOC":  # it takes the heads of blocks for samples
                return False
        return True

    def read(self, samples: int, timeout_s: float) -> Frames | None:  # noqa: ARG002  # never waits
        """Return the next ``(n, channels)`` float32, about ``samples`` values; none at the end."""
        shape = max(1, samples // self.channels), self.channels
        if self._damage:
            return np.empty((0, self.channels), np.float32)
        frames = self._read_pcm16(shape) if self._file.subtype == "PCM_16" else self._read(shape)
        self._position += len(frames)
        return frames

    def _read(self, shape: tuple[int, int]) -> Frames:
        # A decoder that fails leaves the good samples in place but does not count them: they
        # end where the NaN begin. No format that can fail so (FLAC, MP3, Ogg) can hold NaN.
        frames = np.full(shape, np.nan, np.float32)
        try:
            return self._file.read(out=frames)  # type: ignore[no-any-return]
        except soundfile.LibsndfileError as error:
            self._damage = _decoder_fails(error)
            written = np.flatnonzero(~np.isnan(frames[:, 0]))
            return frames[: written[-1] + 1 if len(written) else 0]

    def _read_pcm16(self, shape: tuple[int, int]) -> Frames:
        """Decode 16-bit samples as they are, and scale them here: so it is four times faster."""
        frames = np.empty(shape, np.int16)
        try:
            frames = self._file.read(out=frames)
        except soundfile.LibsndfileError as error:
            self._damage = _decoder_fails(error)
            frames = frames[: self._file.tell() - self._position]
        scaled = frames.astype(np.float32)
        scaled *= _PCM_SCALE
        return scaled

    def damage(self) -> str | None:
        """Return, at the end, what shows that there should have been more; None for nothing."""
        promised: int = self._file.frames
        if promised >= _UNKNOWN_FRAMES:
            return None
        damage = self._damage
        if short := _SHORT_CHUNK.search(self._file.extra_info):
            declared, there = (int(n) for n in short.groups())
            if there < declared < _UNKNOWN_BYTES:
                promised = promised * declared // max(1, there)
        if self._file.format == "OGG" and _OGG_CUT in self._file.extra_info:
            damage = damage or "its last page is missing"
        slack = _MP3_SLACK_FRAMES if self._file.format == "MP3" else 0
        if self._position < promised - slack:
            damage = damage or f"it should be {promised / self.rate:.3f} s long"
        return damage

    def wake(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
        self._close_patched()

    def _close_patched(self) -> None:
        if self._patched is not None:
            self._patched.close()


def _decoder_fails(error: soundfile.LibsndfileError) -> str:
    reason = error.error_string.removeprefix("Error : ").rstrip(".")
    return f"the decoder fails ({reason})"
