"""``type: microphone``: inputs of the sound system."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field

from streamsed.sources.entry import SOURCES, ReturningEntry
from streamsed.sources.protocol import GainedSource


class MicrophoneSource(ReturningEntry):
    """An input of the sound system.

    Attributes:
        device: index, stable id or part of the name, as ``streamsed devices`` lists them; None is
            the system's default input.
    """

    type: Literal["microphone"] = "microphone"
    device: str | Annotated[int, Field(ge=0)] | None = None

    @classmethod
    def of_argument(cls, spec: str, *, name: str | None) -> Self | None:
        """Return what ``mic`` or ``mic:DEVICE`` stands for; it has to be there at the start."""
        if spec != "mic" and not spec.startswith("mic:"):
            return None
        device = spec.removeprefix("mic").removeprefix(":") or None
        if spec == "mic:":
            raise ValueError("the device is missing; mic:DEVICE or mic would be right")
        return cls(
            name="mic" if name is None else name,
            device=int(device) if device is not None and device.isdecimal() else device,
            required=True,
        )


@SOURCES.register(MicrophoneSource)
def make_microphone(config: MicrophoneSource) -> GainedSource:
    """Make the reader of an input, in a process of its own."""
    from streamsed.sources.isolated_microphone import IsolatedMicrophone  # noqa: PLC0415

    return IsolatedMicrophone(config.name, device=config.device, channel=config.channel)
