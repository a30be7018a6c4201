"""Decoding of audio files by ffmpeg: whatever libsndfile does not read to its end."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import SourceError
from streamsed.redaction import redacted
from streamsed.sources.audio_headers import count_tags
from streamsed.sources.child import ChildProcess
from streamsed.sources.ffmpeg import find_ffmpeg
from streamsed.sources.ffmpeg_reason import NO_AUDIO, first_reason

Frames = NDArray[np.float32]

_SAMPLE = np.dtype("<f4")
_HEADER_BYTES = 4096  # ffmpeg's are shorter than 100
_OPEN_S = 60.0  # a disk that sleeps, a share on a busy network
_TAGS = re.compile(r"^(?:[^\[\]]*\]\s*|\[[^\]]*\]\s*)+")  # the first line may lack its beginning
_REPEATED = "Last message repeated"
# Between frames of MPEG audio there may be tags, and at the join of two files half a frame.
_NO_FRAME = "Header missing"
_MPEG_DECODER = "[dec:mp"
_ITS_CONSEQUENCE = "Error submitting packet to decoder"


class FfmpegDecoder:
    """Decodes the first audio track of a file by an ffmpeg of its own.

    Attributes:
        rate: Hz, of the file.
        channels: how many there are.
    """

    def __init__(self, path: Path, *, ignore_length: bool = False) -> None:
        """Begin decoding, and wait for ffmpeg to find audio.

        Args:
            path: of the file.
            ignore_length: of a WAV: decode to the end of the file, whatever its header claims.

        Raises:
            SourceError: there is no ffmpeg, or it finds no audio in the file: why, in few words.
        """
        try:
            self._child = ChildProcess(*_command(path, ignore_length=ignore_length))
        except OSError as error:
            raise SourceError(f"ffmpeg cannot be run: {error.strerror}") from error
        self._path = path
        self._bytes = bytearray()
        self._ended = False
        try:
            self.rate, self.channels = self._read_header()
        except BaseException:
            self._child.stop()
            raise
        self._frame_bytes = self.channels * _SAMPLE.itemsize

    def _read_header(self) -> tuple[int, int]:
        """Read what comes before the samples of ffmpeg's WAV; return rate and channels."""
        deadline = monotonic() + _OPEN_S
        while len(self._bytes) < _HEADER_BYTES and not self._ended:
            data = self._child.read(max(0.0, deadline - monotonic()))
            if data is None:
                raise SourceError(f"ffmpeg finds no audio within {_OPEN_S:g} s")
            self._ended = not data
            self._bytes += data
            if (found := _parse_header(self._bytes)) is not None:
                rate, channels, start = found
                del self._bytes[:start]
                return rate, channels
        raise SourceError(self._why())

    def read(self, samples: int, timeout_s: float) -> Frames | None:
        """Return the next ``(n, channels)`` float32, about ``samples`` values; none at the end.

        Returns None after ``timeout_s`` or when woken.
        """
        wanted = max(1, samples // self.channels) * self._frame_bytes
        deadline = monotonic() + timeout_s
        while len(self._bytes) < wanted and not self._ended:
            data = self._child.read(max(0.0, deadline - monotonic()))
            if data is None:
                return None
            self._ended = not data
            self._bytes += data
        whole = min(wanted, len(self._bytes) // self._frame_bytes * self._frame_bytes)
        values = np.frombuffer(bytes(self._bytes[:whole]), _SAMPLE).astype(np.float32)
        del self._bytes[:whole]
        return values.reshape(-1, self.channels)

    def damage(self) -> str | None:
        """Return, at the end, what shows that there should have been more; None for nothing."""
        code = self._child.wait()
        if code is not None and code < 0:
            return f"ffmpeg was killed by signal {-code}"
        error_lines, no_frames = _relevant(self._child.error_lines)
        if error_lines:
            return f"ffmpeg reports: {error_lines[0]}"
        if no_frames > 1 and no_frames > 1 + count_tags(self._path):
            return f"in {no_frames} places there is no MPEG audio"
        return None if code == 0 else f"ffmpeg ended with code {code}"

    def wake(self) -> None:
        """Make a ``read`` that waits return; from any thread."""
        self._child.wake()

    def close(self) -> None:
        """End ffmpeg, whatever it does."""
        self._child.stop()

    def _why(self) -> str:
        code = self._child.wait()
        if code is not None and code < 0:
            return f"ffmpeg was killed by signal {-code}"
        return redacted(first_reason(self._child.error_lines) or NO_AUDIO)


def _command(path: Path, *, ignore_length: bool) -> list[str]:
    return [
        str(find_ffmpeg()),
        *("-nostdin", "-hide_banner", "-nostats", "-loglevel", "error", "-threads", "1"),
        # A file that names others, or addresses, gets none of them opened over the network.
        *("-protocol_whitelist", "file"),
        *(("-ignore_length", "1", "-f", "wav") if ignore_length else ()),
        *("-i", f"file:{path.absolute()}"),
        *("-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"),
        *("-fflags", "+bitexact", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"),
    ]


def _parse_header(data: bytearray) -> tuple[int, int, int] | None:
    """Return rate, channels, and where the samples begin; None if the header is not all there."""
    offset, found = 12, None
    while len(data) >= offset + 8:
        name, (size,) = bytes(data[offset : offset + 4]), struct.unpack_from("<I", data, offset + 4)
        if name == b"data" and found is not None:
            return found[1], found[0], offset + 8
        if name == b"fmt " and len(data) >= offset + 16:
            found = struct.unpack_from("<HI", data, offset + 10)
        offset += 8 + size + size % 2
    return None


def _relevant(error_lines: list[str]) -> tuple[list[str], int]:
    """Return what shows damage, and in how many places of MPEG audio there is none."""
    relevant, no_frames, follows = [], 0, False
    for tagged in error_lines:
        line = _TAGS.sub("", tagged)
        undecoded = _ITS_CONSEQUENCE in line and (follows or _MPEG_DECODER in tagged)
        if line.startswith(_NO_FRAME) or (undecoded and not follows):
            no_frames += 1
        elif not undecoded and not line.startswith(_REPEATED):
            relevant.append(redacted(line))
        follows = line.startswith(_NO_FRAME)
    return relevant, no_frames
