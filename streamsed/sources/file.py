"""Audio files: whatever libsndfile or ffmpeg decodes, to the last sample that is there."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Protocol

import numpy as np
import soundfile
import structlog
from numpy.typing import NDArray

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.audio_headers import Header, examine
from streamsed.sources.block import Block
from streamsed.sources.mono import Channel, channel_index
from streamsed.sources.protocol import EndOfSource
from streamsed.sources.resampled import ResampledSource
from streamsed.sources.sndfile_decoder import SndfileDecoder

BLOCK_S = 1.0
PACED_BLOCK_S = 0.05
DECODE_SAMPLES = 65_536  # of all channels, at a time
RATES = range(1_000, 768_001)

log = structlog.get_logger(__name__)


class AudioDecoder(Protocol):
    """Decodes one file from its beginning to its end.

    Attributes:
        rate: Hz.
        channels: how many there are.
    """

    rate: int
    channels: int

    def read(self, samples: int, timeout_s: float) -> NDArray[np.float32] | None:
        """Return the next ``(n, channels)`` float32, about ``samples`` values; none at the end.

        Returns None after ``timeout_s`` or when woken.
        """

    def damage(self) -> str | None:
        """Return, at the end, what shows that there should have been more; None for nothing."""

    def wake(self) -> None:
        """Make a ``read`` that waits return; from any thread."""

    def close(self) -> None:
        """Give the file back."""


class AudioFile(ResampledSource):
    """Reads one recording to its end, at the speed of time (``paced``) or as fast as it is read.

    Pacing holds to absolute deadlines on the monotonic clock: a block is delivered when its last
    sample would have been played since :meth:`open`, and a late reader catches up.

    The header's sizes are ignored where the file holds more: sizes that a recorder did not
    come to write, estimates, files laid one behind the other. What libsndfile does not decode to
    the end of the file, ffmpeg does.

    A file that is cut short or damaged delivers everything that can be decoded, to the sample,
    and then raises SourceLost. That is seen for WAV and AIFF (the header promises more), FLAC
    (the decoder fails), Ogg (no last page), MP3 with a Xing header, and where ffmpeg reports it; an
    MP3 without one, and a FLAC of unknown length, do not show whether they were cut.

    Attributes:
        path: of the file.
        paced: at the speed of time.
        remark: after :meth:`open`, what its header claims wrongly; None if nothing.
    """

    def __init__(
        self, name: str, path: Path, *, paced: bool = True, channel: Channel = "mix"
    ) -> None:
        super().__init__(name, live=False, channel=channel)
        self.path = path.expanduser()
        self.paced = paced
        self.remark: str | None = None
        self._header = Header()
        self._decoder: AudioDecoder | None = None
        self._index: int | None = None
        self._decoded = np.empty(0, np.float32)  # mono, not delivered yet
        self._position = 0  # index of _decoded[0]
        self._began = 0.0

    def _acquire(self, sample_rate: int) -> int:  # noqa: ARG002  # a file has the rate it has
        self._position, self.remark = 0, None
        self._decoder = self._open_decoder()
        rate = self._decoder.rate
        if rate not in RATES:
            raise SourceError(
                f"{self.path}: sample rate {rate} Hz; {RATES[0]} to {RATES[-1]} Hz would be right"
            )
        self._index = channel_index(
            self.channel, channels=self._decoder.channels, where=str(self.path)
        )
        while (decoded := self._decode(1.0)) is None:
            if self._closed.is_set():
                raise SourceError(f"{self.path}: closed while it was being opened")
        self._decoded = decoded
        if not len(decoded):
            raise SourceError(
                f"{self.path}: {self._decoder.damage() or 'holds no audio (zero samples)'}; "
                "a recording with at least one sample would be right"
            )
        if self.remark is not None:
            log.warning("header_wrong", source=self.name, path=str(self.path), why=self.remark)
        self._began = monotonic()
        return rate

    def _open_decoder(self) -> AudioDecoder:
        try:
            if not self.path.is_file():
                kind = "not a file" if self.path.exists() else "no such file"
                raise SourceError(f"{self.path}: {kind}; the path of a recording would be right")
            self._header = header = examine(self.path)
            if not self.path.stat().st_size:
                raise SourceError(f"{self.path}: the file is empty (0 bytes)")
            self.remark = header.remark
            return self._by_libsndfile(header) or self._by_ffmpeg(header)
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror}") from error

    def _by_libsndfile(self, header: Header) -> AudioDecoder | None:
        """Return its decoder if it decodes all that the file holds."""
        if header.estimates:
            return None
        try:
            decoder = SndfileDecoder(self.path, header)
        except (soundfile.LibsndfileError, TypeError):  # TypeError: a name like x.raw
            return None
        if decoder.reaches_end:
            return decoder
        decoder.close()
        return None

    def _by_ffmpeg(self, header: Header) -> AudioDecoder:
        from streamsed.sources.ffmpeg_decoder import FfmpegDecoder  # noqa: PLC0415  # seldom needed

        try:
            return FfmpegDecoder(self.path, ignore_length=header.remark is not None)
        except SourceError as error:
            raise SourceError(
                f"{self.path}: not a recording that can be decoded ({error}); an undamaged WAV, "
                "FLAC, Ogg or MP3 file would be right, or any other that ffmpeg plays"
            ) from error

    def _receive(self, timeout_s: float) -> Block | None:
        assert self._decoder is not None
        if not len(self._decoded):
            decoded = self._decode(timeout_s)
            if decoded is None:
                return None
            if not len(decoded):
                raise self._ending(self._decoder)
            self._decoded = decoded
        rate = self._decoder.rate
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

    def _decode(self, timeout_s: float) -> NDArray[np.float32] | None:
        """Return the next mono samples; none at the end, None if they are still to come."""
        assert self._decoder is not None
        frames = self._decoder.read(DECODE_SAMPLES, timeout_s)
        return None if frames is None else self._mono(frames, self._index)

    def _ending(self, decoder: AudioDecoder) -> EndOfSource | SourceLost:
        """Return what ends the reading: an error if there should have been more."""
        damage = decoder.damage() or self._header.damage
        if damage is None:
            return EndOfSource()
        seconds = self._position / decoder.rate
        return SourceLost(f"{self.path}: cut short or damaged after {seconds:.3f} s: {damage}")

    def _wake(self) -> None:
        if (decoder := self._decoder) is not None:
            decoder.wake()

    def _release(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None
