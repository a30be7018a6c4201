"""Folds: parts of the recordings, between which cuts of one recording are not torn apart."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamsed.evaluate.reading.naming import without_extension

_RUNS_A_FOLD = 4


def assign_folds(names: Sequence[str], folds: int) -> NDArray[np.int64]:
    """Deal recordings out to folds of about equal size.

    Recordings of one name but for the numbers at its end (``kitchen_003.wav`` and
    ``kitchen_004.wav``, ``Y1a_30.000_40.000.wav`` and ``Y1a_40.000_50.000.wav``) may be
    neighbouring cuts of one: what is fitted on the one is then no surprise to the other. They go
    into the same fold; if there are so many of a name that folds would become unequal, in
    runs of neighbours, of which there are at least four a fold.

    Args:
        names: of the recordings, all different.
        folds: how many, not more than there are recordings.

    Returns:
        ``(n,)`` the fold of each.
    """
    assert 0 < folds <= len(names)
    longest = -(-len(names) // (_RUNS_A_FOLD * folds))
    runs: list[list[int]] = []
    last = None
    for index in sorted(range(len(names)), key=lambda index: _natural(names[index])):
        family = _family(names[index])
        if family != last or len(runs[-1]) == longest:
            runs.append([])
        runs[-1].append(index)
        last = family
    assigned = np.zeros(len(names), np.int64)
    sizes = [0] * folds
    for run in runs:
        smallest = sizes.index(min(sizes))
        assigned[run] = smallest
        sizes[smallest] += len(run)
    return assigned


def _family(name: str) -> str:
    return without_extension(name).rstrip("0123456789._- ")


def _natural(name: str) -> tuple[str, list[str | int]]:
    """Sort by family, and within it by number: ``take_2`` before ``take_10``."""
    parts = re.split(r"(\d+)", name, flags=re.ASCII)
    return _family(name), [int(part) if number % 2 else part for number, part in enumerate(parts)]
