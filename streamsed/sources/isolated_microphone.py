"""Microphones, each in a process of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic

import numpy as np

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.block import Block
from streamsed.sources.child import ChildProcess
from streamsed.sources.microphone_process import Record, RecordingRequest, RecordKind
from streamsed.sources.mono import Channel
from streamsed.sources.resampled import ResampledSource

OPEN_S = 15.0
"""How long a process may take until its microphone delivers, or it reports why not."""


class IsolatedMicrophone(ResampledSource):
    """Listens to an input device as :class:`~streamsed.sources.microphone.Microphone` does.

    PortAudio lists devices once in a process, before anything is open. So only a new process finds
    a device that was plugged in since, while other microphones are open;
    and a sound system that hangs or crashes takes no more with it than the one that it fails.

    Attributes:
        device: index, stable id, or part of the name; None for the default input.
        device_id: stable id of the device that was opened last; None before the first.
        status_flags: how often the device reported ``input_overflow`` and ``input_underflow``.
    """

    def __init__(
        self, name: str, *, device: str | int | None = None, channel: Channel = "mix"
    ) -> None:
        super().__init__(name, live=True, channel=channel)
        self.device = device
        self.status_flags: dict[str, int] = {}
        self.device_id: str | None = None
        self._child: ChildProcess | None = None
        self._received = bytearray()
        self._last: Record | None = None

    @property
    def started_at(self) -> datetime:
        """UTC of sample 0; moves slowly as the device's clock drifts against the system's."""
        if self._last is None:
            return super().started_at
        return datetime.fromtimestamp(self._last.started_at, UTC)

    @property
    def lost_samples(self) -> int:
        """Samples lost to overruns so far, at the delivered rate; partly estimated."""
        return 0 if self._last is None else self._last.lost_samples

    @property
    def mix_loss_db(self) -> float | None:
        """How far the mix of channels lies below them, of late; None if that is not known."""
        return None if self._last is None else self._last.mix_loss_db

    def _acquire(self, sample_rate: int) -> int:
        self._received.clear()
        self._last = None
        self.status_flags = {}
        request = RecordingRequest(
            name=self.name,
            device=self.device,
            device_id=self.device_id,
            channel=self.channel,
            sample_rate=sample_rate,
        )
        self._child = ChildProcess(*request.command())
        record = self._await_record()
        if record.kind != RecordKind.OPENED:
            raise SourceError(record.content.decode())
        self.device_id = record.content.decode()
        return sample_rate

    def _await_record(self) -> Record:
        deadline = monotonic() + OPEN_S
        # An interrupt before there was a child had nothing to wake; it is noticed here.
        while not self._closed.is_set():
            if (record := self._next_record(max(0.0, deadline - monotonic()))) is not None:
                return record
            if monotonic() >= deadline:
                raise SourceError(
                    f"{self.name}: the sound system does not answer; does the sound server hang?"
                )
        raise SourceError(f"{self.name}: closed while it was being opened")

    def _receive(self, timeout_s: float) -> Block | None:
        record = self._next_record(timeout_s)
        if record is None:
            return None
        if record.kind != RecordKind.BLOCK:
            raise SourceLost(record.content.decode())
        self._last = record
        self.unusable_samples = record.unusable_samples
        self.status_flags = {
            "input_overflow": record.input_overflow,
            "input_underflow": record.input_underflow,
        }
        return Block(np.frombuffer(record.content, np.float32), record.first_sample)

    def _next_record(self, timeout_s: float) -> Record | None:
        """Return the next record; None if it is not whole in time.

        Raises:
            SourceLost: the process has ended without a message.
        """
        assert self._child is not None
        record = Record.take(self._received)
        if record is None and (data := self._child.read(timeout_s)) is not None:
            if not data:
                raise SourceLost(f"{self.name}: {self._why()}")
            self._received += data
            record = Record.take(self._received)
        return record

    def _why(self) -> str:
        assert self._child is not None
        code = self._child.wait()
        if code is not None and code < 0:
            return f"the recording process was killed by signal {-code}"
        lines = self._child.error_lines[-1:] or ["without a message"]
        return f"the recording process failed: {lines[0]}"

    def _wake(self) -> None:
        if (child := self._child) is not None:
            child.wake()

    def _release(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None
