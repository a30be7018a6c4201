"""Centred median filters with edges that replicate, as ``scipy.ndimage`` does in mode nearest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float32]

_WINDOWS_AT_ONCE = 2560  # written out, they stay in a core's cache


class StreamingMedian:
    """Centred medians of many streams at once, over an odd window for each class.

    A median is known when its window is full: for class c, with the frame that lies
    ``half[c] = (windows[c] - 1) / 2`` behind its centre. The first frame of a stream is taken to
    have gone on before it, and the last one after it, for ever.

    All windows are computed as long as the longest: what does not belong to a shorter one is
    replaced by as many values below all others as above all others.

    Args:
        windows: length in frames for each of the C classes, odd.

    Attributes:
        half: for each class, by how many frames its medians come later than their centres.
    """

    def __init__(self, windows: Sequence[int]) -> None:
        for window in windows:
            if window < 1 or window % 2 == 0:
                raise ValueError(f"a median window is odd and positive, not {window}")
        self.half = tuple(window // 2 for window in windows)
        self._longest = max(windows)
        outside = np.zeros((len(windows), self._longest), np.float32)
        for column, window in enumerate(windows):
            below = (self._longest - window) // 2
            outside[column, :below] = -np.inf
            outside[column, below : 2 * below] = np.inf
        self._columns, self._places = np.nonzero(outside)
        self._beyond = outside[self._columns, self._places]
        self._memory = np.zeros((0, self._longest - 1, len(windows)), np.float32)
        self._begun = np.zeros((0, len(windows)), np.bool_)

    def push(self, slots: Sequence[int], frames: Array) -> Array:
        """Add frames ``(n, F, C)`` of the streams in ``slots``; their values must be finite.

        Returns:
            The medians ``(n, F, C)`` that are known with them: for class c, those that are
            centred ``half[c]`` frames before. Those centred before a stream's first frame mean
            nothing.
        """
        if self._longest == 1:
            return frames
        self._grow(max(slots) + 1)
        if not self._begun[slots].all():
            for slot, first in zip(slots, frames[:, 0], strict=True):
                anew = ~self._begun[slot]
                self._memory[slot, :, anew] = first[anew, None]
                self._begun[slot] = True
        joined = np.concatenate([self._memory[slots], frames], axis=1)
        self._memory[slots] = joined[:, frames.shape[1] :]
        medians = np.empty_like(frames)
        at_once = max(1, _WINDOWS_AT_ONCE // (len(frames) * len(self.half)))
        for first in range(0, frames.shape[1], at_once):
            end = first + at_once
            medians[:, first:end] = self._medians(joined[:, first : end + self._longest - 1])
        return medians

    def _medians(self, joined: Array) -> Array:
        """Return the median of every window in ``(n, T, C)``."""
        windows = sliding_window_view(joined, self._longest, axis=1).copy()
        windows[:, :, self._columns, self._places] = self._beyond
        middle = self._longest // 2
        windows.partition(middle, axis=-1)
        return windows[..., middle]

    def flush(self, slot: int) -> Array:
        """End a stream, which has had frames, as if its last one went on.

        Returns:
            ``(max(half), C)``; for class c the first ``half[c]`` are those still missing.
        """
        missing, classes = max(self.half), len(self.half)
        if not missing:
            return np.zeros((0, classes), np.float32)
        last = self._memory[slot, -1]
        medians: Array = self.push([slot], np.broadcast_to(last, (1, missing, classes)))[0]
        self._begun[slot] = False
        return medians

    def inherit(self, other: StreamingMedian, columns: Sequence[int]) -> None:
        """Go on with the streams of another filter in some classes, whose windows are the same.

        All other classes begin anew with the next frame.
        """
        self._grow(len(other._memory))
        known = min(self._longest, other._longest) - 1
        if known:
            self._memory[:, -known:, columns] = other._memory[:, -known:, columns]
        self._begun[:, columns] = other._begun[:, columns]

    def _grow(self, slots: int) -> None:
        missing = slots - len(self._memory)
        if missing > 0:
            memory = np.zeros((missing, *self._memory.shape[1:]), np.float32)
            self._memory = np.concatenate([self._memory, memory])
            begun = np.zeros((missing, len(self.half)), np.bool_)
            self._begun = np.concatenate([self._begun, begun])


def median_filter(values: Sequence[float], window: int) -> list[float]:
    """Return the centred median of a whole signal: the slow reference of StreamingMedian.

    Args:
        values: the signal.
        window: length in values, odd.
    """
    half, last = window // 2, len(values) - 1
    return [
        sorted(values[min(max(i, 0), last)] for i in range(centre - half, centre + half + 1))[half]
        for centre in range(len(values))
    ]
