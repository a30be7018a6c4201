"""One channel out of many, and values that cannot be audio out of the way.

Both come before resampling: the resampler's filter would smear a single NaN over everything
that follows it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from streamsed.errors import SourceError

Channel = Literal["mix", "left", "right"] | Annotated[int, Field(ge=0)]
"""``mix`` averages all channels, ``left`` is channel 0, ``right`` channel 1, a number that one."""

LIMIT = 1e6
"""Magnitudes beyond this (full scale is 1) are no audio; float audio may well exceed 1."""


def channel_index(channel: Channel, *, channels: int, where: str) -> int | None:
    """Return the index of the chosen channel, or None for the mix.

    Raises:
        SourceError: there is no such channel; ``where`` begins the message.
    """
    if channel == "mix":
        return None
    index = {"left": 0, "right": 1}.get(channel) if isinstance(channel, str) else channel
    assert index is not None
    if index >= channels:
        have = "channel 0 only" if channels == 1 else f"channels 0 to {channels - 1}"
        raise SourceError(f"{where}: channel {channel} does not exist; there is {have}")
    return index


def silence_unusable(frames: NDArray[np.float32]) -> int:
    """Overwrite NaN, infinite and absurd values (beyond :data:`LIMIT`) by 0; count them."""
    # The energy bounds every value, and one dot product is much cheaper than checking each.
    values = frames.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        energy = float(np.dot(values, values))
    if energy <= LIMIT**2:
        return 0
    usable = np.abs(frames) <= LIMIT  # false for NaN too
    frames[~usable] = 0.0
    return int(usable.size - np.count_nonzero(usable))


def to_mono(frames: NDArray[np.float32], index: int | None) -> NDArray[np.float32]:
    """Reduce ``(n, channels)`` frames to ``(n,)``: channel ``index``, or the mean for None.

    A single channel that lies contiguous is returned as a view.
    """
    if frames.shape[1] == 1:
        index = 0
    if index is None:
        # Channel by channel: ten times faster than mean(axis=1) with its short rows, and, unlike
        # a matrix product, the same to the last bit however the frames are cut into blocks.
        mixed = frames[:, 0] + frames[:, 1]
        for channel in range(2, frames.shape[1]):
            mixed += frames[:, channel]
        mixed /= frames.shape[1]
        return mixed
    return np.ascontiguousarray(frames[:, index])
