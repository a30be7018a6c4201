"""What can be synthesised, by label."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from train.synthesis import alarms, beeps, motors

Maker = Callable[..., tuple[NDArray[np.float32], list[tuple[int, int]]]]


def _one(machine: Callable[..., tuple[NDArray[np.float32], tuple[int, int]]]) -> Maker:
    def make(
        rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
    ) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
        audio, audible = machine(rng, n, sample_rate=sample_rate, held_out=held_out)
        return audio, [audible]

    return make


TARGETS: Mapping[str, Maker] = {
    "Alarm_bell_ringing": alarms.alarm,
    "Blender": _one(motors.blender),
    "Electric_shaver_toothbrush": _one(motors.shaver_or_toothbrush),
    "Vacuum_cleaner": _one(motors.vacuum_cleaner),
}
NEGATIVES: Mapping[str, Maker] = {"hum": _one(motors.hum), "melody": beeps.melody}
_MAKERS = {**TARGETS, **NEGATIVES}


def synthesise(
    label: str,
    rng: np.random.Generator,
    *,
    duration_s: float,
    sample_rate: int,
    held_out: bool = False,
) -> tuple[NDArray[np.float32], tuple[tuple[float, float], ...]]:
    """Make one sound of a class (or of a negative: ``hum``, ``melody``).

    Args:
        label: a key of ``TARGETS`` or ``NEGATIVES``.
        rng: decides everything; the same state gives the same sound.
        duration_s: length of the audio, ramps included.
        sample_rate: in Hz.
        held_out: draw fundamentals from the strips kept for validation
            (:mod:`train.synthesis.draw`).

    Returns:
        ``(n,)`` float32 with a peak of 1, and the intervals in seconds in which it sounds, known
        from its construction: sorted, disjoint, not merged over pauses.

    Raises:
        ValueError: no such label, or less than 0.05 s asked for.
    """
    if label not in _MAKERS:
        raise ValueError(f"label {label!r} cannot be synthesised; must be {', '.join(_MAKERS)}")
    n = round(duration_s * sample_rate)
    if duration_s < 0.05:
        raise ValueError(f"duration_s {duration_s}; must be at least 0.05")
    audio, intervals = _MAKERS[label](rng, n, sample_rate=sample_rate, held_out=held_out)
    audio = audio / np.float32(np.abs(audio).max() + 1e-9)
    joined: list[list[int]] = []
    for start, stop in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([start, stop])
    times = tuple((start / sample_rate, min(stop, n) / sample_rate) for start, stop in joined)
    return audio.astype(np.float32, copy=False), times
