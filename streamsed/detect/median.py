"""Centred median filters with edges that replicate, as ``scipy.ndimage`` does in mode nearest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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
        self._every = np.arange(len(windows))
        self._anew: dict[int, NDArray[np.int64]] = {}  # classes that begin with a slot's next frame

    def push(self, slots: Sequence[int], frames: Array) -> Array:
        """Add frames ``(n, F, C)`` of the streams in ``slots``; their values must be finite.

        Returns:
            The medians ``(n, F, C)`` that are known with them: for class c, those that are
            centred ``half[c]`` frames before. Those centred before a stream's first frame mean
            nothing.
        """
        return self.medians(self.extend(slots, frames))

    def extend(self, slots: Sequence[int], frames: Array) -> Array:
        """Add frames without computing medians.

        Returns:
            ``(n, longest - 1 + F, C)``: the frames, after those that share windows with them. No
            median of theirs is above the maximum of these.
        """
        self._grow(max(slots) + 1)
        if not self._anew.keys().isdisjoint(slots):
            for slot, first in zip(slots, frames[:, 0], strict=True):
                columns = self._anew.pop(slot, self._every[:0])
                self._memory[slot][:, columns] = first[columns]
        joined: Array = np.concatenate([self._memory[slots], frames], axis=1)
        self._memory[slots] = joined[:, frames.shape[1] :]
        return joined

    def medians(self, joined: Array) -> Array:
        """Return the medians ``(n, F, C)`` of frames that were added, as ``extend`` gave them."""
        count, longest = joined.shape[1], self._longest
        if longest == 1:
            return joined
        medians = np.empty((len(joined), count - longest + 1, joined.shape[2]), np.float32)
        at_once = max(1, _WINDOWS_AT_ONCE // (len(joined) * joined.shape[2]))
        rows, frames, classes = joined.strides
        for first in range(0, medians.shape[1], at_once):
            # By hand: the checks of sliding_window_view cost more than the medians of one stream.
            part = medians[:, first : first + at_once]
            windows = np.ndarray(
                (*part.shape, longest),
                np.float32,
                joined,
                offset=first * frames,
                strides=(rows, frames, classes, frames),
            ).copy()
            windows[:, :, self._columns, self._places] = self._beyond
            windows.partition(longest // 2, axis=-1)
            part[...] = windows[..., longest // 2]
        return medians

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
        self._anew[slot] = self._every
        return medians

    def inherit(self, other: StreamingMedian, columns: Sequence[int]) -> None:
        """Go on with the streams of another filter in some classes, whose windows are the same.

        All other classes begin anew with the next frame.
        """
        self._grow(len(other._memory))
        known = min(self._longest, other._longest) - 1
        if known:
            self._memory[:, -known:, columns] = other._memory[:, -known:, columns]
        for slot in range(len(other._memory)):
            anew = np.setdiff1d(self._every, columns)
            self._anew[slot] = np.union1d(anew, other._anew.get(slot, self._every[:0]))

    def _grow(self, slots: int) -> None:
        there = len(self._memory)
        if slots > there:
            more = np.zeros((slots - there, *self._memory.shape[1:]), np.float32)
            self._memory = np.concatenate([self._memory, more])
            self._anew.update(dict.fromkeys(range(there, slots), self._every))


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
