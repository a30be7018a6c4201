"""Centred median filters with edges that replicate, as ``scipy.ndimage`` does in mode nearest."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence


class StreamingMedian:
    """Centred median over an odd window of a signal that arrives piece by piece.

    Values come out ``(window - 1) / 2`` later than they went in. The first value of the signal
    is taken to have gone on before it, and the last one after it, for ever.

    The window is kept sorted. Windows are short: finding a place in a list of tens of values and
    shifting the rest costs less than any cleverer structure in Python.

    Args:
        window: length in values, odd.
    """

    __slots__ = ("_arrived", "_half", "_sorted", "window")

    def __init__(self, window: int) -> None:
        if window < 1 or window % 2 == 0:
            raise ValueError(f"a median window is odd and positive, not {window}")
        self.window = window
        self._half = window // 2
        self._arrived: deque[float] = deque()
        self._sorted: list[float] = []

    def push(self, values: Sequence[float]) -> Sequence[float]:
        """Add values, which must be finite; return the filtered ones that are now known."""
        half = self._half
        if not half:
            return values
        arrived, position = self._arrived, 0
        if len(arrived) < self.window - 1:
            position = self._fill(values)
        ordered = self._sorted
        out = []
        for value in values[position:]:
            arrived.append(value)
            insort(ordered, value)
            out.append(ordered[half])
            del ordered[bisect_left(ordered, arrived.popleft())]
        return out

    def flush(self) -> Sequence[float]:
        """End the signal: return the filtered values that are still missing."""
        if not self._arrived:
            return ()
        return self.push([self._arrived[-1]] * self._half)

    def _fill(self, values: Sequence[float]) -> int:
        """Fill the window up to all but one value; return how many of ``values`` that took."""
        arrived = self._arrived
        if not values:
            return 0
        if not arrived:
            arrived.extend([values[0]] * self._half)
        count = min(len(values), self.window - 1 - len(arrived))
        arrived.extend(values[:count])
        self._sorted = sorted(arrived)
        return count


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
