"""Streams from the network, or of any container, through an ffmpeg of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import numpy as np

from streamsed.errors import SourceError, SourceLost
from streamsed.redaction import redacted
from streamsed.sources.arrival import ArrivalClock
from streamsed.sources.block import Block
from streamsed.sources.child import ChildProcess
from streamsed.sources.ffmpeg import find_ffmpeg
from streamsed.sources.mono import Channel, channel_index
from streamsed.sources.protocol import EndOfSource
from streamsed.sources.resampled import ResampledSource

_SAMPLE = np.dtype("<f4")
_MOST_CHANNELS = 64
_ANALYSE_US = "1000000"  # of the beginning, before anything comes out; by default it is 5 s
_FFMPEG_PATIENCE = 1.5  # ffmpeg gives up after so many times `stall_s`, if nobody stops it before
_OPEN_PATIENCE = 2.0  # so many times `stall_s` may pass until the first audio
_BROKEN_OFF = "Error during demuxing"  # after which ffmpeg still calls it a success
_OPENING = "Error opening input files: "  # goes without saying
# Lines that only repeat what came before.
_VAGUE = ("Error opening input file ", "Conversion failed", "Input/output error")


class Url(ResampledSource):
    """Listens to what ffmpeg makes of a URL.

    ffmpeg connects, decodes, mixes down and resamples: another format of the stream, now or after
    it was opened again, changes nothing here. It is given time-outs of its own, and is ended when
    the source is closed, whatever state it is in.

    ``open`` waits for the first audio. A stream that stays open and falls silent shows as a
    ``read`` that returns None for ever.

    Attributes:
        url: with its password; never to be shown as it is.
        stall_s: how patient ffmpeg is.
        ffmpeg: its path.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        channel: Channel = "mix",
        stall_s: float = 10.0,
        ffmpeg: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Describe the stream.

        Args:
            name: name of the source.
            url: of one of :data:`streamsed.sources.config.SCHEMES`.
            channel: which channel to deliver.
            stall_s: seconds without audio after which the source is given up by its reader.
            ffmpeg: the program; None for :func:`find_ffmpeg`'s choice.
            options: more options for ffmpeg's input; they override those given here.

        Raises:
            SourceError: there is no ffmpeg.
        """
        super().__init__(name, live=True, channel=channel)
        self.url = url
        self.stall_s = stall_s
        self.ffmpeg = find_ffmpeg(ffmpeg)
        self._where = f"{name}: {redacted(url)!r}"
        self._index = channel_index(channel, channels=_MOST_CHANNELS, where=name)
        self._options = tuple(options)
        self._child: ChildProcess | None = None
        self._arrival: ArrivalClock | None = None
        self._bytes = bytearray()  # received, not delivered yet
        self._position = 0

    @property
    def started_at(self) -> datetime:
        """UTC of sample 0, as far as its arrival tells."""
        return super().started_at if self._arrival is None else self._arrival.started_at

    def command(self, sample_rate: int) -> list[str]:
        """Return the command line of ffmpeg; it holds the password."""
        quiet = ["-nostdin", "-hide_banner", "-nostats", "-loglevel", "error"]
        # The mean of two channels: by default a mix of floats may be louder than full scale.
        mix = ["-ac", "1", "-rematrix_maxval", "1.0"]
        one = ["-af", f"pan=mono|c0=c{self._index}"]
        return [
            str(self.ffmpeg),
            *quiet,
            *("-analyzeduration", _ANALYSE_US),
            *self._input_options(),
            *self._options,
            *("-i", self.url),
            *("-map", "0:a:0", "-vn", "-sn", "-dn"),
            *(mix if self._index is None else one),
            *("-ar", str(sample_rate), "-f", "f32le", "pipe:1"),
        ]

    def _input_options(self) -> list[str]:
        patience_us = str(round(self.stall_s * _FFMPEG_PATIENCE * 1e6))
        match urlsplit(self.url).scheme.lower():
            case "rtsp" | "rtsps":
                tcp = ["-rtsp_transport", "tcp", "-timeout", patience_us]
                return [*tcp, "-allowed_media_types", "audio"]
            case "srt" | "rtp":
                return ["-timeout", patience_us]
        return ["-rw_timeout", patience_us]

    def _acquire(self, sample_rate: int) -> int:
        self._bytes.clear()
        self._position = 0
        try:
            self._child = ChildProcess(*self.command(sample_rate))
        except OSError as error:
            raise SourceError(f"{self.name}: {self.ffmpeg}: {error.strerror}") from error
        self._arrival = None
        self._bytes += self._first_audio(self._child)
        self._arrival = ArrivalClock(sample_rate)
        return sample_rate

    def _first_audio(self, child: ChildProcess) -> bytes:
        deadline = monotonic() + self.stall_s * _OPEN_PATIENCE
        # Whoever interrupts before the child can be seen wakes nobody, but is seen here.
        while not self._closed.is_set():
            data = child.read(max(0.0, deadline - monotonic()))
            if data:
                return data
            if data is not None:
                raise SourceError(self._why())
            if monotonic() >= deadline:
                waited_s = self.stall_s * _OPEN_PATIENCE
                raise SourceError(f"{self._where}: no audio within {waited_s:g} s")
        raise SourceError(f"{self._where}: closed while it was being opened")

    def _receive(self, timeout_s: float) -> Block | None:
        assert self._child is not None
        assert self._arrival is not None
        if len(self._bytes) < _SAMPLE.itemsize:
            data = self._child.read(timeout_s)
            if data is None:
                return None
            if not data:
                raise self._ending()
            self._bytes += data
        whole = len(self._bytes) // _SAMPLE.itemsize * _SAMPLE.itemsize
        samples = np.frombuffer(bytes(self._bytes[:whole]), _SAMPLE).astype(np.float32)
        del self._bytes[:whole]
        if not len(samples):
            return None
        block = Block(self._mono(samples[:, np.newaxis], None), self._position)
        self._position = block.end_sample
        self._arrival.arrived(self._position)
        return block

    def _ending(self) -> EndOfSource | SourceLost:
        assert self._child is not None
        broken_off = any(_BROKEN_OFF in line for line in self._child.complaints[-2:])
        if self._child.wait() == 0 and not broken_off:
            return EndOfSource()
        return SourceLost(self._why())

    def _why(self) -> str:
        """Say in one line why ffmpeg has ended: what it said itself, if anything."""
        assert self._child is not None
        code = self._child.wait()
        complaints = self._child.complaints
        telling = [line for line in complaints if not any(vague in line for vague in _VAGUE)]
        if code is not None and code < 0:
            why = f"ffmpeg was killed by signal {-code}"
        elif complaints:
            why = redacted((telling or complaints)[-1].removeprefix(_OPENING))
        else:
            why = "ffmpeg ended without a word; is there audio in it?"
        return f"{self._where}: {why}"

    def _wake(self) -> None:
        if (child := self._child) is not None:
            child.wake()

    def _release(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None
