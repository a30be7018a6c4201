"""Audio files: WAV, FLAC, Ogg, MP3 and whatever else libsndfile reads."""

from __future__ import annotations

import re
from pathlib import Path
from time import monotonic

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.block import Block
from streamsed.sources.mono import Channel, channel_index
from streamsed.sources.protocol import EndOfSource
from streamsed.sources.resampled import ResampledSource

BLOCK_S = 1.0
PACED_BLOCK_S = 0.05
DECODE_SAMPLES = 65_536  # of all channels, at a time
RATES = range(1_000, 768_001)
_UNKNOWN_FRAMES = 2**62  # FLAC written to a pipe does not say how long it is
_UNKNOWN_BYTES = 0x7FFF0000  # WAV written to a pipe: a placeholder of 2 or 4 GiB
_MP3_SLACK_FRAMES = 2 * 1152  # an MP3 header may count a frame more or less than there is
_SHORT_CHUNK = re.compile(r"^\s*(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_OGG_CUT = "Last page lacks an end-of-stream bit"
_PCM_SCALE = np.float32(2.0**-15)


class _Recording(soundfile.SoundFile):  # type: ignore[misc]
    """A recording that is read once, from its beginning to its end.

    In a file that can seek, python-soundfile seeks to where it is after each read. That is dear
    with FLAC; Ogg and MP3 find their place again by it after damage.
    """

    def seekable(self) -> bool:
        """Whether to seek at each read."""
        return not self.subtype.startswith("PCM") and super().seekable()


class AudioFile(ResampledSource):
    """Reads one recording to its end, at the speed of time (``paced``) or as fast as it is read.

    Pacing holds to absolute deadlines on the monotonic clock: a block is delivered when its last
    sample would have been heard since :meth:`open`, and a late reader catches up.

    A file that is cut short or damaged delivers everything that can be decoded, to the sample,
    and then raises SourceLost. That is seen for WAV and AIFF (the header promises more), FLAC
    (the decoder fails), Ogg (no last page) and MP3 with a Xing header; an MP3 without one, and a
    FLAC of unknown length, cannot tell a cut from their end.
    """

    def __init__(
        self, name: str, path: Path, *, paced: bool = True, channel: Channel = "mix"
    ) -> None:
        super().__init__(name, live=False, channel=channel)
        self.path = path.expanduser()
        self.paced = paced
        self._file: _Recording | None = None
        self._index: int | None = None
        self._decoded = np.empty(0, np.float32)  # mono, not delivered yet
        self._position = 0  # index of _decoded[0]
        self._began = 0.0
        self._damage: str | None = None

    def _acquire(self, sample_rate: int) -> int:  # noqa: ARG002  # a file has the rate it has
        self._file = self._open_file()
        rate: int = self._file.samplerate
        if rate not in RATES:
            raise SourceError(
                f"{self.path}: sample rate {rate} Hz; {RATES[0]} to {RATES[-1]} Hz would be right"
            )
        self._index = channel_index(
            self.channel, channels=self._file.channels, where=str(self.path)
        )
        self._position, self._damage = 0, None
        self._decoded = self._decode()
        if not len(self._decoded):
            raise SourceError(
                f"{self.path}: {self._damage or 'holds no audio (zero samples)'}; "
                "a recording with at least one sample would be right"
            )
        self._began = monotonic()
        return rate

    def _open_file(self) -> _Recording:
        try:
            if not self.path.is_file():
                kind = "not a file" if self.path.exists() else "no such file"
                raise SourceError(f"{self.path}: {kind}; the path of a recording would be right")
            with self.path.open("rb") as file:
                if not file.read(1):
                    raise SourceError(f"{self.path}: the file is empty (0 bytes)")
            return _Recording(self.path)
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror}") from error
        except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a name like x.raw
            raise SourceError(
                f"{self.path}: not a recording that can be decoded; "
                "an undamaged WAV, FLAC, Ogg or MP3 file would be right"
            ) from error

    def _receive(self, timeout_s: float) -> Block | None:
        assert self._file is not None
        if not len(self._decoded):
            self._decoded = self._decode()
            if not len(self._decoded):
                raise self._ending()
        rate: int = self._file.samplerate
        block_s = PACED_BLOCK_S if self.paced else BLOCK_S
        samples = self._decoded[: max(1, round(block_s * rate))]
        if self.paced:
            due_s = self._began + (self._position + len(samples)) / rate - monotonic()
            if due_s > 0 and (self._closed.wait(min(due_s, timeout_s)) or due_s > timeout_s):
                return None
        block = Block(samples, self._position)
        self._decoded = self._decoded[len(samples) :]
        self._position = block.end_sample
        return block

    def _decode(self) -> NDArray[np.float32]:
        """Return the next mono samples; none at the end or where the damage begins."""
        assert self._file is not None
        if self._damage:
            return np.empty(0, np.float32)
        shape = max(1, DECODE_SAMPLES // self._file.channels), self._file.channels
        if self._file.subtype == "PCM_16":
            return self._mono(self._decode_pcm16(shape), self._index)
        # A decoder that fails leaves the good samples in place but does not say how many: they
        # end where the NaN begin. No format that can fail so (FLAC, MP3, Ogg) can hold NaN.
        frames = np.full(shape, np.nan, np.float32)
        try:
            frames = self._file.read(out=frames)
        except soundfile.LibsndfileError as error:
            self._damage = _decoder_fails(error)
            written = np.flatnonzero(~np.isnan(frames[:, 0]))
            frames = frames[: written[-1] + 1 if len(written) else 0]
        return self._mono(frames, self._index)

    def _decode_pcm16(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Decode 16-bit samples as they are, and scale them here: so it is four times faster."""
        assert self._file is not None
        frames = np.empty(shape, np.int16)
        try:
            frames = self._file.read(out=frames)
        except soundfile.LibsndfileError as error:
            self._damage = _decoder_fails(error)
            frames = frames[: self._file.tell() - self._position]
        scaled = frames.astype(np.float32)
        scaled *= _PCM_SCALE
        return scaled

    def _ending(self) -> EndOfSource | SourceLost:
        """Say whether what was read is all there should have been."""
        assert self._file is not None
        rate: int = self._file.samplerate
        promised: int = self._file.frames
        if promised >= _UNKNOWN_FRAMES:
            return EndOfSource()
        damage = self._damage
        if short := _SHORT_CHUNK.search(self._file.extra_info):
            declared, there = (int(n) for n in short.groups())
            if there < declared < _UNKNOWN_BYTES:
                promised = promised * declared // max(1, there)
        if self._file.format == "OGG" and _OGG_CUT in self._file.extra_info:
            damage = damage or "its last page is missing"
        slack = _MP3_SLACK_FRAMES if self._file.format == "MP3" else 0
        if self._position < promised - slack:
            damage = damage or f"it should be {promised / rate:.3f} s long"
        if damage is None:
            return EndOfSource()
        return SourceLost(
            f"{self.path}: cut short or damaged after {self._position / rate:.3f} s: {damage}"
        )

    def _release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _decoder_fails(error: soundfile.LibsndfileError) -> str:
    reason = error.error_string.removeprefix("Error : ").rstrip(".")
    return f"the decoder fails ({reason})"
