"""Postprocessing of a class in frames: what the decoder works with, and how it delays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from streamsed.bundle.manifest import ClassPostprocessing

# Seconds rarely are whole frames in binary: 0.6 s / 0.1 s is 5.999..., and means 6.
_TOLERANCE_FRAMES = 1e-6


@dataclass(frozen=True, slots=True)
class FrameRules:
    """:class:`ClassPostprocessing` on the frame grid.

    Attributes:
        enter: a run starts at the first frame whose filtered score reaches this; rounded to
            float32, as the scores are.
        exit: it goes on while the filtered score reaches this.
        median: window of the median filter: the nearest whole number of frames, the next odd one
            if that is even, at least 1.
        min_on: frames an event must have to be reported: rounded up, at least 1.
        min_off: frames of pause that end an event: rounded up, at least 1.
        max_on: frames after which an event is ended: rounded down, at least 1 and ``min_on``;
            None for no limit.
        update: frames between updates: rounded up; 0 for no updates.
    """

    enter: float
    exit: float
    median: int
    min_on: int
    min_off: int
    max_on: int | None
    update: int

    @classmethod
    def of(
        cls, postprocessing: ClassPostprocessing, *, frame_s: float, update_every_s: float = 0.0
    ) -> Self:
        """Convert seconds to frames of ``frame_s`` seconds."""
        min_on = max(1, _ceil(postprocessing.min_on_s / frame_s))
        max_on = None
        if postprocessing.max_on_s is not None:
            whole = math.floor(postprocessing.max_on_s / frame_s + _TOLERANCE_FRAMES)
            max_on = max(1, min_on, whole)
        return cls(
            enter=float(np.float32(postprocessing.enter)),
            exit=float(np.float32(postprocessing.exit)),
            median=max(1, round(postprocessing.median_s / frame_s)) | 1,
            min_on=min_on,
            min_off=max(1, _ceil(postprocessing.min_off_s / frame_s)),
            max_on=max_on,
            update=_ceil(update_every_s / frame_s),
        )


@dataclass(frozen=True, slots=True)
class Latency:
    """How long after a sound's onset its message is decided, in seconds of audio.

    Attributes:
        look_ahead_s: of the slowest member.
        median_s: half of the class's median window.
        min_on_s: the length an event must have reached.
        chunk_s: at most, waiting for the chunk to be full.
    """

    look_ahead_s: float
    median_s: float
    min_on_s: float
    chunk_s: float

    @property
    def total_s(self) -> float:
        """The most these add up to."""
        return self.look_ahead_s + self.median_s + self.min_on_s + self.chunk_s


def _ceil(frames: float) -> int:
    return math.ceil(frames - _TOLERANCE_FRAMES)
