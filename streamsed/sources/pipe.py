"""Raw samples on standard input, or on any other file descriptor."""

from __future__ import annotations

import io
import os
import sys
from datetime import datetime
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.arrival import ArrivalClock
from streamsed.sources.block import Block
from streamsed.sources.mono import Channel, channel_index
from streamsed.sources.polling import WakeablePoll
from streamsed.sources.protocol import EndOfSource
from streamsed.sources.raw_samples import SampleFormat, decode_samples, is_float, sample_bytes
from streamsed.sources.resampled import ResampledSource

BLOCK_S = 0.02
READ_BYTES = 1 << 16
JUDGED_S = 2.0
"""How much of the beginning of a stream of floats is judged."""

_CONTAINERS = {b"RIFF": "WAV", b"RF64": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3"}
_LOUDEST = 8.0  # 18 dB over full scale
_SMALLEST_HEADER = 4096


class Pipe(ResampledSource):
    """Reads interleaved samples from a file descriptor until its end.

    With ``live`` false nothing is ever lost: a writer that is faster than detection waits.
    A pipe can be opened once.

    ``started_at`` of a live pipe is reckoned from when its samples come; before the first, and
    for any other pipe, it is when the reading began. Where a live pipe falls behind the time and
    stays so, audio is missing: that is a gap.

    What cannot be right is refused (SourceLost): a container's header where raw samples should
    be, floats whose beginning is mostly absurd (integers, most likely), nothing at all, and an
    end inside a frame, after all whole frames were delivered. A wrong rate in raw samples cannot
    be seen.
    """

    def __init__(
        self,
        name: str,
        *,
        rate: int,
        channels: int = 1,
        sample_format: SampleFormat = "s16le",
        live: bool = False,
        channel: Channel = "mix",
        stream: BinaryIO | int | None = None,
    ) -> None:
        """Describe the stream.

        Args:
            name: name of the source.
            rate: Hz.
            channels: interleaved channels.
            sample_format: one of :data:`streamsed.sources.raw_samples.SampleFormat`.
            live: whether the writer cannot wait.
            channel: which channel to deliver.
            stream: a file descriptor, or an unread file object that has one; it stays the
                caller's to close. None is standard input.
        """
        super().__init__(name, live=live, channel=channel)
        self.rate = rate
        self.channels = channels
        self.sample_format = sample_format
        self._stream = stream
        self._frame_bytes = sample_bytes(sample_format) * channels
        self._index = channel_index(channel, channels=channels, where=name)
        self._fd = -1
        self._poll: WakeablePoll | None = None
        self._bytes = bytearray()  # received, not delivered yet
        self._position = 0
        self._lost_frames = 0
        self._judged_frames = 0
        self._absurd_values = 0
        self._opened = False
        self._arrival = ArrivalClock(rate) if live else None

    @property
    def started_at(self) -> datetime:
        """UTC of sample 0; of a live pipe it moves slowly as its clock drifts."""
        return super().started_at if self._arrival is None else self._arrival.started_at

    @property
    def lost_samples(self) -> int:
        """Samples that a live pipe lacks so far, by when they came, at the delivered rate."""
        return 0 if self._resampler is None else self._resampler.out_index(self._lost_frames)

    def _acquire(self, sample_rate: int) -> int:  # noqa: ARG002  # a pipe has the rate it has
        if self._opened:
            raise SourceError(f"{self.name}: a pipe can be read only once")
        stream = sys.stdin if self._stream is None else self._stream
        try:
            self._fd = stream if isinstance(stream, int) else stream.fileno()
            os.fstat(self._fd)
        except (OSError, ValueError, AttributeError) as error:
            raise SourceError(f"{self.name}: there is no standard input to read") from error
        if os.isatty(self._fd):
            raise SourceError(
                f"{self.name}: standard input is a terminal; raw {self.sample_format} samples "
                "from another program would be right, as in: arecord -t raw ... | streamsed run"
            )
        self._poll = WakeablePoll()
        self._opened = True
        return self.rate

    def _receive(self, timeout_s: float) -> Block | None:
        wanted = max(1, round(BLOCK_S * self.rate)) * self._frame_bytes
        if self._position == 0:
            wanted = max(wanted, _SMALLEST_HEADER)
        ended = False
        if len(self._bytes) < wanted:
            assert self._poll is not None
            if not self._poll.readable(self._fd, timeout_s=timeout_s):
                return None
            try:
                data = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                return None
            except OSError as error:
                raise SourceLost(f"{self.name}: reading fails: {error.strerror}") from error
            self._bytes += data
            ended = not data
            if not ended and len(self._bytes) < wanted:
                return None
        if self._position == 0:
            self._refuse_container()
        whole = len(self._bytes) // self._frame_bytes * self._frame_bytes
        if not whole:
            raise self._ending()
        return self._block(whole)

    def _block(self, whole: int) -> Block:
        frames = decode_samples(bytes(self._bytes[:whole]), self.sample_format)
        del self._bytes[:whole]
        if is_float(self.sample_format):
            self._judge(frames)
        samples = self._mono(frames.reshape(-1, self.channels), self._index)
        if self._arrival is not None:
            lost = self._arrival.arrived(self._position + len(samples))
            self._lost_frames += lost
            self._position += lost
        block = Block(samples, self._position)
        self._position = block.end_sample
        return block

    def _refuse_container(self) -> None:
        for magic, container in _CONTAINERS.items():
            if self._bytes.startswith(magic):
                raise SourceLost(
                    f"{self.name}: standard input starts with a {container} header"
                    f"{self._header_says()}; raw {self.sample_format} samples at {self.rate} Hz, "
                    f"{self.channels} channel(s) would be right (ffmpeg -f {self.sample_format} "
                    f"-ar {self.rate} -ac {self.channels}), or give the file's path as source"
                )

    def _header_says(self) -> str:
        try:
            with soundfile.SoundFile(io.BytesIO(bytes(self._bytes))) as file:
                return f" ({file.subtype}, {file.samplerate} Hz, {file.channels} channel(s))"
        except soundfile.LibsndfileError:  # the header is longer than what came so far
            return ""

    def _judge(self, values: NDArray[np.float32]) -> None:
        """Refuse a float stream that is mostly no audio: 16-bit integers taken for floats."""
        if self._judged_frames >= JUDGED_S * self.rate:
            return
        self._judged_frames += len(values) // self.channels
        self._absurd_values += int(np.count_nonzero(~(np.abs(values) <= _LOUDEST)))
        if self._absurd_values > 0.1 * JUDGED_S * self.rate * self.channels:
            raise SourceLost(
                f"{self.name}: standard input is not {self.sample_format}: {self._absurd_values} "
                f"of the first {self._judged_frames * self.channels} values are NaN or beyond "
                f"{_LOUDEST:g}; "
                "format s16le may be right"
            )

    def _ending(self) -> EndOfSource | SourceLost:
        if self._bytes:
            return SourceLost(
                f"{self.name}: standard input ended inside a frame: {len(self._bytes)} of "
                f"{self._frame_bytes} bytes ({self.sample_format}, {self.channels} channel(s)); "
                f"{self._position} whole frames were read"
            )
        if self._position == 0:
            return SourceLost(f"{self.name}: standard input was empty (0 bytes)")
        return EndOfSource()

    def _wake(self) -> None:
        if (poll := self._poll) is not None:
            poll.wake()

    def _release(self) -> None:
        if self._poll is not None:
            self._poll.close()
            self._poll = None
