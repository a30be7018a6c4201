"""Microphones, through PortAudio."""

from __future__ import annotations

from datetime import datetime
from time import monotonic
from typing import Any

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.block import Block
from streamsed.sources.capture import Capture
from streamsed.sources.devices import Device, find_device, input_devices
from streamsed.sources.mono import Channel, channel_index
from streamsed.sources.portaudio import portaudio, stream_closed, stream_opened
from streamsed.sources.resampled import ResampledSource

BLOCK_S = 0.032
DEVICE_LATENCY_S = 0.2
"""Requested buffer of the device; with less, ALSA's PulseAudio plug-in stalls at some rates."""

BUFFER_S = 4.0
"""How long the reader may be held up before frames are lost."""

FIRST_CALLBACK_S = 5.0
"""A device that delivers nothing (not even zeros) for so long after it was opened is dead."""

MOST_CHANNELS = 8
"""Devices with more (sound servers offer 32 and up) are opened with two, or as many as needed."""


class Microphone(ResampledSource):
    """Listens to an input device.

    It is opened at the wanted rate if it can do that, else at its own default rate.

    A device that is unplugged, or whose sound server goes away, may report nothing at all: the
    only sign is that callbacks stop, and ``read`` returns None for ever. ``open`` waits for the
    first callback, so that a dead device is an error there and ``started_at`` is known.

    Opened again, it finds its device by the id that it had, for its number and its name may have
    changed; only if no device has that id, as at first.

    Attributes:
        device: index, stable id, or part of the name; None for the default input.
        device_id: stable id of the device that was opened last; None before the first.
    """

    def __init__(
        self, name: str, *, device: str | int | None = None, channel: Channel = "mix"
    ) -> None:
        super().__init__(name, live=True, channel=channel)
        self.device = device
        self.device_id: str | None = None
        self._found: Device | None = None
        self._index: int | None = None
        self._capture: Capture | None = None
        self._stream: Any = None  # sounddevice.InputStream; sounddevice is untyped
        self._stopped = False

    @property
    def started_at(self) -> datetime:
        """UTC of sample 0; moves slowly as the device's clock drifts against the system's."""
        return super().started_at if self._capture is None else self._capture.started_at

    @property
    def lost_samples(self) -> int:
        """Samples lost to overruns so far, at the delivered rate; partly estimated."""
        if self._capture is None or self._resampler is None:
            return 0
        return self._resampler.out_index(self._capture.lost_frames)

    @property
    def status_flags(self) -> dict[str, int]:
        """How often the device reported ``input_overflow`` and ``input_underflow``."""
        return {} if self._capture is None else dict(self._capture.flags)

    def _acquire(self, sample_rate: int) -> int:
        with portaudio(refresh=True) as sd:
            device = self._find(input_devices(sd))
            where = f"{self.name}: input device {device.name!r}"
            self._found, self.device_id = device, device.id
            self._index = channel_index(self.channel, channels=device.channels, where=where)
            channels = device.channels
            if channels > MOST_CHANNELS:
                channels = max(2, (self._index or 0) + 1)
            try:
                rate = self._open_stream(sd, channels=channels, rate=sample_rate)
            except sd.PortAudioError as error:
                reason = error.args[0].rpartition(": ")[2] if error.args else "unknown error"
                raise SourceError(
                    f"{where}: cannot be opened: {reason}; "
                    "is it plugged in, and not in use by another program?"
                ) from error
        self._await_first_callback(where)
        return rate

    def _find(self, devices: tuple[Device, ...]) -> Device:
        if self.device_id is not None and self.device is not None:
            same = [device for device in devices if device.id == self.device_id]
            if len(same) == 1:
                return same[0]
        try:
            return find_device(devices, self.device)
        except SourceError as error:
            raise SourceError(f"{self.name}: {error}") from error

    def _open_stream(self, sd: Any, *, channels: int, rate: int) -> int:
        assert self._found is not None
        wanted = {"device": self._found.index, "channels": channels, "dtype": "float32"}
        try:
            sd.check_input_settings(samplerate=rate, **wanted)
        except sd.PortAudioError:
            rate = self._found.default_rate
        block_frames = round(BLOCK_S * rate)
        self._capture = Capture(
            rate=rate,
            channels=channels,
            block_frames=block_frames,
            slots=round(BUFFER_S / BLOCK_S),
        )
        self._stopped = False
        self._stream = sd.InputStream(
            samplerate=rate,
            blocksize=block_frames,
            latency=DEVICE_LATENCY_S,
            callback=self._capture.callback,
            finished_callback=self._finished,
            **wanted,
        )
        stream_opened()
        self._stream.start()
        return rate

    def _await_first_callback(self, where: str) -> None:
        assert self._capture is not None
        deadline = monotonic() + FIRST_CALLBACK_S
        while not self._capture.begun.wait(0.02):
            if self._closed.is_set():
                raise SourceError(f"{where}: closed while it was being opened")
            if monotonic() > deadline:
                raise SourceError(f"{where}: opened, but delivers no audio; is it plugged in?")

    def _receive(self, timeout_s: float) -> Block | None:
        assert self._capture is not None
        assert self._found is not None
        taken = self._capture.take(timeout_s)
        if taken is not None:
            first, frames = taken
            return Block(self._mono(frames, self._index), first)
        if self._stopped and not self._closed.is_set():
            raise SourceLost(
                f"{self.name}: input device {self._found.name!r} stopped delivering audio; "
                "was it unplugged, or the sound server stopped?"
            )
        return None

    def _finished(self) -> None:
        """Note that PortAudio ended the stream; called from its thread."""
        self._stopped = True
        self._wake()

    def _wake(self) -> None:
        if (capture := self._capture) is not None:
            capture.wake()

    def _release(self) -> None:
        if self._stream is None:
            return
        with portaudio() as sd:
            try:
                self._stream.abort(ignore_errors=True)
                self._stream.close(ignore_errors=True)
            except sd.PortAudioError:
                pass  # a device that is gone cannot be closed properly
            finally:
                self._stream = None
                stream_closed()
