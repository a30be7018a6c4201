"""Gain: how much louder a source is delivered than it is."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from streamsed.sources.block import Block

GainDb = Literal["auto"] | Annotated[float, Field(ge=-60.0, le=60.0)]
"""Decibels, or ``auto``: see :class:`AutoGain`."""

FRAME_S = 0.1
TARGET_DBFS = -40.0
"""RMS of the loudest 0.1 s of late that ``auto`` brings a source up to; it is far from loud."""
MOST_DB = 40.0
RISE_DB = 0.2  # in a frame: 20 s from none to the most
FALL_DB = 2.0
FORGET_DB = 0.01  # in a frame: what was loud counts 6 dB less a minute later


class Gain(Protocol):
    """Makes the blocks of a source louder or softer."""

    def begin(self, sample_rate: int) -> None:
        """Begin a stream of so many samples a second; what was before counts no more."""

    def apply(self, block: Block) -> Block:
        """Return the next block with its gain; the given one stays as it is."""


def make_gain(gain_db: GainDb) -> Gain | None:
    """Return what applies a gain; None for 0 dB."""
    if gain_db == "auto":
        return AutoGain()
    return FixedGain(gain_db) if gain_db else None


class FixedGain:
    """The same gain for ever."""

    def __init__(self, gain_db: float) -> None:
        self._factor = np.float32(10.0 ** (gain_db / 20.0))

    def begin(self, sample_rate: int) -> None:
        """Nothing changes."""

    def apply(self, block: Block) -> Block:
        """Return the block times the factor."""
        return Block(block.samples * self._factor, block.first_sample)


class AutoGain:
    """A slow gain of 0 to 40 dB for sources that are too quiet; others stay as they are.

    The loudest RMS of late, in frames of 0.1 s, is brought up to -40 dBFS: enough for detection,
    and too little for the noise of a room to become loud. The gain of a frame follows from the
    frames before it, and is reached in a line over it. So it is a function of the samples alone,
    to the last bit however they are cut into blocks, and delays nothing. Frames of nothing but
    zeros do not count.
    """

    def __init__(self) -> None:
        self.begin(1)

    def begin(self, sample_rate: int) -> None:
        """Begin at 0 dB."""
        self._frame = np.zeros(max(1, round(FRAME_S * sample_rate)), np.float32)
        self._ramp = np.arange(1, len(self._frame) + 1, dtype=np.float32) / len(self._frame)
        self._filled = 0  # of the frame
        self._next_sample = 0
        self._loudest_dbfs = -math.inf
        self._gain_db = 0.0
        self._from = self._to = np.float32(1.0)

    @property
    def gain_db(self) -> float:
        """The gain at the end of the present frame."""
        return self._gain_db

    def apply(self, block: Block) -> Block:
        """Return the block with the gain of the frames that it lies in."""
        if block.first_sample != self._next_sample:  # a frame has no gap in it
            self._filled = 0
            self._from = self._to
        self._next_sample = block.end_sample
        out = np.empty(len(block.samples), np.float32)
        start = 0
        while start < len(out):
            count = min(len(out) - start, len(self._frame) - self._filled)
            samples = block.samples[start : start + count]
            place = slice(self._filled, self._filled + count)
            self._frame[place] = samples
            np.multiply(self._ramp[place], self._to - self._from, out=out[start : start + count])
            out[start : start + count] += self._from
            out[start : start + count] *= samples
            self._filled += count
            start += count
            if self._filled == len(self._frame):
                self._end_frame()
        return Block(out, block.first_sample)

    def _end_frame(self) -> None:
        self._filled = 0
        self._from = self._to
        energy = float(np.dot(self._frame, self._frame)) / len(self._frame)
        if energy <= 0.0:
            return
        dbfs = 10.0 * math.log10(energy)
        self._loudest_dbfs = max(dbfs, self._loudest_dbfs - FORGET_DB)
        wanted_db = min(max(TARGET_DBFS - self._loudest_dbfs, 0.0), MOST_DB)
        change_db = wanted_db - self._gain_db
        self._gain_db += min(max(change_db, -FALL_DB), RISE_DB)
        self._to = np.float32(10.0 ** (self._gain_db / 20.0))


Array = NDArray[np.float32]


class MixLevel:
    """Watches how far the mix of channels lies below them: inverted channels cancel each other.

    Attributes:
        loss_db: power of the mix to the mean of the channels', of the last window that was loud
            enough for that; None before one. About 0 if they are alike, -3 if two are not.
    """

    WINDOW_SAMPLES = 32_768
    _AUDIBLE = 1e-7  # mean square of -70 dBFS

    def __init__(self) -> None:
        self.loss_db: float | None = None
        self._samples = 0
        self._channels_energy = self._mix_energy = 0.0

    def add(self, frames: Array, mixed: Array) -> None:
        """Note ``(n, channels)`` frames and their mix ``(n,)``."""
        values = frames.reshape(-1)
        self._channels_energy += float(np.dot(values, values)) / frames.shape[1]
        self._mix_energy += float(np.dot(mixed, mixed))
        self._samples += len(mixed)
        if self._samples < self.WINDOW_SAMPLES:
            return
        if self._channels_energy > self._AUDIBLE * self._samples:
            ratio = self._mix_energy / self._channels_energy
            self.loss_db = 10.0 * math.log10(max(ratio, 1e-12))
        self._samples = 0
        self._channels_energy = self._mix_energy = 0.0
