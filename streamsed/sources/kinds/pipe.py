"""``type: pipe``: raw samples on standard input."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from streamsed.sources.entry import SOURCES, Patience, SourceEntry
from streamsed.sources.protocol import GainedSource
from streamsed.sources.raw_samples import SampleFormat
from streamsed.sources.supervision import Supervision

PIPE_RATES = (4_000, 192_000)

_PIPE = re.compile(r"pipe:(?P<format>\w+)@(?P<rate>\d+)(x(?P<channels>\d+))?(?P<live>,live)?")


class PipeSource(SourceEntry):
    """Raw interleaved samples on standard input.

    Attributes:
        rate: Hz. It cannot be seen in raw samples: a wrong one is not noticed.
        channels: interleaved in each frame.
        format: by ffmpeg's names, such as ``s16le`` (16-bit integers) or ``f32le`` (32-bit
            floats, full scale 1).
        live: the writer cannot wait: when detection cannot keep up, drop the oldest audio rather
            than hold the writer up.
        stall_s: it stalls when nothing comes for so long: events end, and what comes later is a
            stream of its own. None for never.
        silence_s: so long nothing but zeros, and its state is ``silent``; None for never.
    """

    once: ClassVar[bool] = True

    type: Literal["pipe"] = "pipe"
    rate: Annotated[int, Field(ge=PIPE_RATES[0], le=PIPE_RATES[1])] = 16_000
    channels: Annotated[int, Field(ge=1, le=64)] = 1
    format: SampleFormat = "s16le"
    live: bool = False
    stall_s: Patience | None = None
    silence_s: Patience | None = None

    @classmethod
    def of_argument(cls, spec: str, *, name: str | None) -> Self | None:
        """Return what ``-`` or ``pipe:FORMAT@RATE`` stands for."""
        name = "stdin" if name is None else name
        if spec == "-":
            return cls(name=name)
        if spec != "pipe" and not spec.startswith("pipe:"):
            return None
        if (found := _PIPE.fullmatch(spec)) is None:
            raise ValueError("a pipe is written like pipe:s16le@16000x1")
        return cls.model_validate(
            {
                "name": name,
                "format": found["format"],
                "rate": int(found["rate"]),
                "channels": int(found["channels"] or 1),
                "live": found["live"] is not None,
            }
        )

    @property
    def supervision(self) -> Supervision:
        """It has to be there, and may stall and go on by itself."""
        return Supervision(
            required=True,
            reconnect=False,
            patient=True,
            stall_s=self.stall_s,
            silence_s=self.silence_s,
        )

    @property
    def in_real_time(self) -> bool:
        """Whether the writer cannot wait."""
        return self.live


@SOURCES.register(PipeSource)
def make_pipe(config: PipeSource) -> GainedSource:
    """Make the reader of standard input."""
    from streamsed.sources.pipe import Pipe  # noqa: PLC0415

    return Pipe(
        config.name,
        rate=config.rate,
        channels=config.channels,
        sample_format=config.format,
        live=config.live,
        channel=config.channel,
    )
