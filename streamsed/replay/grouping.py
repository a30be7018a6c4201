"""Which recordings are replayed together, and in which order."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from streamsed.replay.recordings import Recording

BATCH = 16
"""Recordings that one process computes together on a CPU: more would hardly be faster, and what is
under way is lost by an interrupt."""

# Enough that a recording that ends is followed by another, and few enough that little waits.
_MOST = 64


def grouped(recordings: Iterable[Recording], *, processes: int) -> list[tuple[Recording, ...]]:
    """Share recordings out so that batches are full and no process is left over at the end.

    Recordings of alike length go together, longest first; those whose length is not known before
    all, which most often cannot be read. Groups become smaller towards the end (guided
    self-scheduling, Polychronopoulos and Kuck 1987): each is as many whole batches as a fair share
    of half of what is left has, or as much of one batch as a fair share of all that is left has,
    or a single recording.

    Args:
        recordings: in any order.
        processes: that will work on the groups.

    Returns:
        The groups, in the order in which they are to be begun.
    """
    waiting = sorted(recordings, key=lambda r: inf if r.duration_s is None else r.duration_s)
    left_s = sum(recording.duration_s or 0.0 for recording in waiting)
    groups = []
    while waiting:
        group = [waiting.pop()]
        length_s = group[0].duration_s or 0.0
        while waiting and len(group) < _MOST:
            share_s = left_s / processes / (1 if len(group) < BATCH else 2)
            next_s = waiting[-1].duration_s or 0.0
            if length_s + next_s > share_s:
                break
            group.append(waiting.pop())
            length_s += next_s
        while len(group) > BATCH and len(group) % BATCH:
            length_s -= group[-1].duration_s or 0.0
            waiting.append(group.pop())
        left_s -= length_s
        groups.append(tuple(group))
    return groups
