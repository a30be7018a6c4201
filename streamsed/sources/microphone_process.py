"""The process of one microphone: opens it, and writes what it delivers to standard output.

Started by :class:`~streamsed.sources.isolated_microphone.IsolatedMicrophone`.
"""

from __future__ import annotations

import json
import math
import os
import struct
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import BinaryIO, Self

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.microphone import Microphone
from streamsed.sources.mono import Channel

_HEADER = struct.Struct("<BIqdqqqqd")


class RecordKind(IntEnum):
    """What the content of a record is: a device's id, a message, a message, float32 samples."""

    OPENED = 0
    REFUSED = 1
    LOST = 2
    BLOCK = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the process writes: a block with the source's condition, or a message.

    Attributes:
        kind: what ``content`` is.
        started_at: seconds of UTC.
    """

    kind: int
    content: bytes
    first_sample: int = 0
    started_at: float = 0.0
    lost_samples: int = 0
    unusable_samples: int = 0
    input_overflow: int = 0
    input_underflow: int = 0
    mix_loss_db: float | None = None

    def pack(self) -> bytes:
        """Write it."""
        header = _HEADER.pack(
            self.kind,
            len(self.content),
            self.first_sample,
            self.started_at,
            self.lost_samples,
            self.unusable_samples,
            self.input_overflow,
            self.input_underflow,
            math.nan if self.mix_loss_db is None else self.mix_loss_db,
        )
        return header + self.content

    @classmethod
    def take(cls, data: bytearray) -> Self | None:
        """Take the first record out of what was received; None if it is not whole yet."""
        if len(data) < _HEADER.size:
            return None
        kind, size, first, started_at, lost, unusable, over, under, mix = _HEADER.unpack_from(data)
        end = _HEADER.size + size
        if len(data) < end:
            return None
        content = bytes(data[_HEADER.size : end])
        del data[:end]
        return cls(
            kind=kind,
            content=content,
            first_sample=first,
            started_at=started_at,
            lost_samples=lost,
            unusable_samples=unusable,
            input_overflow=over,
            input_underflow=under,
            mix_loss_db=None if math.isnan(mix) else mix,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRequest:
    """What to record.

    Attributes:
        name: of the source.
        device: as the configuration has it.
        device_id: of the device that was found before; None at first.
        channel: which one.
        sample_rate: Hz.
    """

    name: str
    device: str | int | None
    device_id: str | None
    channel: Channel
    sample_rate: int

    def command(self) -> tuple[str, ...]:
        """Return the command line of the process; it imports what this process would."""
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"
        return (sys.executable, "-I", "-c", code, json.dumps(asdict(self)))


def main() -> None:
    """Record until the parent is gone or the device is lost."""
    request = RecordingRequest(**json.loads(sys.argv[1]))
    with suppress(BrokenPipeError), os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # for libraries that print
        try:
            _record(request, out)
        except SourceError as error:
            kind = RecordKind.LOST if isinstance(error, SourceLost) else RecordKind.REFUSED
            _write(out, Record(kind=kind, content=str(error).encode()))


def _record(request: RecordingRequest, out: BinaryIO) -> None:
    parent = os.getppid()
    microphone = Microphone(request.name, device=request.device, channel=request.channel)
    microphone.device_id = request.device_id
    microphone.open(request.sample_rate)
    assert microphone.device_id is not None
    _write(out, Record(kind=RecordKind.OPENED, content=microphone.device_id.encode()))
    while os.getppid() == parent:
        block = microphone.read(1.0)
        if block is not None:
            record = Record(
                kind=RecordKind.BLOCK,
                content=block.samples.tobytes(),
                first_sample=block.first_sample,
                started_at=microphone.started_at.timestamp(),
                lost_samples=microphone.lost_samples,
                unusable_samples=microphone.unusable_samples,
                mix_loss_db=microphone.mix_loss_db,
                **microphone.status_flags,
            )
            _write(out, record)


def _write(out: BinaryIO, record: Record) -> None:
    out.write(record.pack())
    out.flush()
