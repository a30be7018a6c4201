"""Streams from the network, or of any container, through an ffmpeg of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import numpy as np
import structlog

from streamsed.errors import SourceError, SourceLost
from streamsed.redaction import Secrets, redacted
from streamsed.sources.arrival import ArrivalClock
from streamsed.sources.block import Block
from streamsed.sources.child import ChildProcess
from streamsed.sources.ffmpeg import find_ffmpeg
from streamsed.sources.ffmpeg_reason import NO_AUDIO, UNTRUSTED, first_reason
from streamsed.sources.mono import Channel, channel_index
from streamsed.sources.protocol import EndOfSource
from streamsed.sources.resampled import ResampledSource

_SAMPLE = np.dtype("<f4")
_MOST_CHANNELS = 64
_ANALYSE_US = "1000000"  # of the beginning, before anything comes out; by default it is 5 s
_FFMPEG_PATIENCE = 1.5  # ffmpeg gives up after so many times `stall_s`, unless it is stopped before
_OPEN_PATIENCE = 2.0  # so many times `stall_s` may pass until the first audio
_BROKEN_OFF = "Error during demuxing"  # after which ffmpeg still calls it a success
_RECENT_S = 5.0  # before the end; what it complained of earlier it has got over
_ENCRYPTED = {"https", "rtsps", "rtmps"}
_AUDIO_ALONE = ("-allowed_media_types", "audio")
# Where these are why, the camera's video would change nothing.
_NOT_FOR_VIDEO = (
    *(NO_AUDIO, UNTRUSTED, "no connection", "Connection refused", "unknown host"),
    *("401", "403", "404", "TLS fails", "Unrecognized option", "signal"),
)

log = structlog.get_logger()


class Url(ResampledSource):
    """Listens to what ffmpeg makes of a URL.

    ffmpeg connects, decodes, mixes down and resamples: another format of the stream, now or after
    it was opened again, changes nothing here. It is given time-outs of its own, and is ended when
    the source is closed, whatever state it is in.

    Of an RTSP camera only the audio is requested. Some send nothing then, or refuse that: so it is
    tried once with the video, and where that helps it is remembered.

    ``open`` waits for the first audio. A stream that stays open and falls silent shows as a
    ``read`` that returns None for ever. Audio that is lost on the way shows as a gap: a delay
    between its place in the stream and its arrival that lasts.

    Attributes:
        url: with its password; never to be shown as it is.
        stall_s: how patient ffmpeg is.
        tls_verify: whether a server has to show a certificate that a known authority signed.
        ffmpeg: its path.
        with_video: whether the video of an RTSP camera is requested too.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        channel: Channel = "mix",
        stall_s: float = 10.0,
        tls_verify: bool = True,
        ffmpeg: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Describe the stream.

        Args:
            name: name of the source.
            url: of one of :data:`streamsed.sources.address.SCHEMES`.
            channel: which channel to deliver.
            stall_s: seconds without audio after which the source is given up by its reader.
            tls_verify: False for a camera that has made its certificate itself.
            ffmpeg: the program; None for :func:`find_ffmpeg`'s choice.
            options: more options for ffmpeg's input; they override those given here.

        Raises:
            SourceError: there is no ffmpeg.
        """
        super().__init__(name, live=True, channel=channel)
        self.url = url
        self.stall_s = stall_s
        self.tls_verify = tls_verify
        self.ffmpeg = find_ffmpeg(ffmpeg)
        self.with_video = False
        self._scheme = urlsplit(url).scheme.lower()
        self._secrets = Secrets(url, options)
        self._where = f"{name}: {redacted(url)!r}"
        self._index = channel_index(channel, channels=_MOST_CHANNELS, where=name)
        self._options = tuple(options)
        self._child: ChildProcess | None = None
        self._arrival: ArrivalClock | None = None
        self._bytes = bytearray()  # received, not delivered yet
        self._position = 0
        self._lost_samples = 0
        self._received_at: float | None = None  # audio, last

    @property
    def started_at(self) -> datetime:
        """UTC of sample 0, estimated from arrival times."""
        return super().started_at if self._arrival is None else self._arrival.started_at

    @property
    def lost_samples(self) -> int:
        """Samples that were lost on the way so far, by when the others came."""
        return self._lost_samples

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
        if self._scheme in {"rtsp", "rtsps"}:
            options = ["-rtsp_transport", "tcp", "-timeout", patience_us]
            if not self.with_video:
                options += _AUDIO_ALONE
        elif self._scheme in {"srt", "rtp"}:
            options = ["-timeout", patience_us]
        else:
            options = ["-rw_timeout", patience_us]
        if self._scheme in _ENCRYPTED and not self.tls_verify:
            options += ["-tls_verify", "0"]
        elif self._scheme == "https":  # by default older ones do not, and have no such option else
            options += ["-tls_verify", "1"]
        return options

    def _acquire(self, sample_rate: int) -> int:
        self._bytes.clear()
        self._position = self._lost_samples = 0
        self._arrival = None
        alone = self._scheme in {"rtsp", "rtsps"} and not self.with_video
        if not alone or _AUDIO_ALONE[0] in self._options:
            self._bytes += self._started(sample_rate, patience_s=self.stall_s * _OPEN_PATIENCE)
        else:
            self._bytes += self._started_alone(sample_rate)
        self._arrival = ArrivalClock(sample_rate)
        return sample_rate

    def _started_alone(self, sample_rate: int) -> bytes:
        """Ask an RTSP camera for its audio alone, and if that does not do for its video too."""
        try:
            return self._started(sample_rate, patience_s=self.stall_s)
        except SourceError as error:
            refusal = error
        why = str(refusal).removeprefix(self._where)
        if self._closed.is_set() or any(reason in why for reason in _NOT_FOR_VIDEO):
            raise refusal
        self._release()
        self.with_video = True
        try:
            audio = self._started(sample_rate, patience_s=self.stall_s * _OPEN_PATIENCE)
        except SourceError:
            self.with_video = False
            raise refusal from None
        log.warning(
            "video_needed",
            source=self.name,
            reason=f"its audio alone fails{why}; with its video it sends audio",
        )
        return audio

    def _started(self, sample_rate: int, *, patience_s: float) -> bytes:
        """Start ffmpeg, and return the first audio."""
        try:
            self._child = ChildProcess(*self.command(sample_rate))
        except OSError as error:
            raise SourceError(f"{self.name}: {self.ffmpeg}: {error.strerror}") from error
        self._received_at = None
        return self._first_audio(self._child, patience_s)

    def _first_audio(self, child: ChildProcess, patience_s: float) -> bytes:
        deadline = monotonic() + patience_s
        # An interrupt before there was a child had nothing to wake; it is noticed here.
        while not self._closed.is_set():
            data = child.read(max(0.0, deadline - monotonic()))
            if data:
                return data
            if data is not None:
                raise SourceError(self._why())
            if monotonic() >= deadline:
                raise SourceError(f"{self._where}: no audio within {patience_s:g} s")
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
            self._received_at = monotonic()
            self._bytes += data
        whole = len(self._bytes) // _SAMPLE.itemsize * _SAMPLE.itemsize
        samples = np.frombuffer(bytes(self._bytes[:whole]), _SAMPLE).astype(np.float32)
        del self._bytes[:whole]
        if not len(samples):
            return None
        lost = self._arrival.arrived(self._position + len(samples))
        self._lost_samples += lost
        block = Block(self._mono(samples[:, np.newaxis], None), self._position + lost)
        self._position = block.end_sample
        return block

    def _ending(self) -> EndOfSource | SourceLost:
        assert self._child is not None
        broken_off = any(_BROKEN_OFF in line for line in self._child.error_lines[-2:])
        if self._child.wait() == 0 and not broken_off:
            return EndOfSource()
        return SourceLost(self._why())

    def _why(self) -> str:
        """Return in one line why ffmpeg has ended: its own message, if there is one."""
        assert self._child is not None
        code = self._child.wait()
        error_lines = self._child.error_lines
        if self._received_at is not None:
            error_lines = (
                self._child.error_lines_since(self._received_at - _RECENT_S) or error_lines
            )
        if code is not None and code < 0:
            why = f"ffmpeg was killed by signal {-code}"
        else:
            why = first_reason(error_lines) or "ffmpeg ended without a message; has it audio?"
        if why == UNTRUSTED:
            why += self._about_trust()
        return f"{self._where}: {self._secrets.hidden_in(redacted(why))}"

    def _about_trust(self) -> str:
        if not self.tls_verify:
            return "; of what a playlist names that is checked in any case"
        if self._scheme not in _ENCRYPTED:
            return f" (of what {self._scheme} leads to)"
        return (
            "; if it is a camera's own, `tls_verify: false` with the source in the configuration "
            "lets it in"
        )

    def _wake(self) -> None:
        if (child := self._child) is not None:
            child.wake()

    def _release(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None
