"""Where a clip sounds: activity intervals from its energy envelope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from train.data.level import loudness_signal

Interval = tuple[int, int]

_HOP_S = 0.01


@dataclass(frozen=True, slots=True)
class ActivityRule:
    """How a class's clips are cut into intervals.

    Attributes:
        range_db: what lies this far below the clip's loud parts is a pause or a room's tail.
        merge_pause_s: pauses shorter than this do not part two intervals.
        min_active_s: intervals shorter than this are dropped as clicks.
        floor_margin_db: what is not this far above the clip's own noise floor is a pause.
        floor_percentile: of the envelope; where the noise floor is looked for.
    """

    range_db: float = 30.0
    merge_pause_s: float = 0.25
    min_active_s: float = 0.04
    floor_margin_db: float = 8.0
    floor_percentile: float = 5.0


def envelope_db(audio: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Energy above 150 Hz of 10 ms frames, smoothed over three, in dB re full scale; ``(T,)``.

    What lies below is rumble and handling noise, in which events drown.
    """
    hop = round(_HOP_S * sample_rate)
    frames = -(-len(audio) // hop)
    rows = np.zeros((frames, hop), dtype=np.float32)
    rows.ravel()[: len(audio)] = loudness_signal(audio, sample_rate)
    power = np.square(rows, dtype=np.float64).mean(axis=1)
    level: NDArray[np.float64] = 10.0 * np.log10(uniform_filter1d(power, 3, mode="nearest") + 1e-10)
    return level


def active_intervals(
    audio: NDArray[np.float32], rule: ActivityRule, *, sample_rate: int
) -> tuple[Interval, ...]:
    """Intervals in samples in which a clip sounds.

    The threshold lies ``range_db`` below the clip's loud parts (its 97th percentile) or
    ``floor_margin_db`` above its noise floor (a low percentile), whichever is higher; a clip whose
    floor is within 12 dB of its loud parts has no pauses and is one interval.

    Args:
        audio: ``(n,)`` float32.
        rule: of the clip's class.
        sample_rate: in Hz.

    Returns:
        Sorted, disjoint ``(start, stop)``; at least one, if need be the whole clip.
    """
    level = envelope_db(audio, sample_rate)
    loud, floor = np.percentile(level, 97), np.percentile(level, rule.floor_percentile)
    if loud - floor < 12.0:
        return ((0, len(audio)),)
    threshold = max(loud - rule.range_db, min(floor + rule.floor_margin_db, loud - 10.0))
    edges = np.flatnonzero(np.diff(np.concatenate(([0], (level > threshold).astype(np.int8), [0]))))
    hop = round(_HOP_S * sample_rate)
    merged: list[list[int]] = []
    for start, stop in edges.reshape(-1, 2) * hop:
        if merged and start - merged[-1][1] <= rule.merge_pause_s * sample_rate:
            merged[-1][1] = int(stop)
        else:
            merged.append([int(start), int(stop)])
    kept = [
        (start, min(stop, len(audio)))
        for start, stop in merged
        if stop - start >= rule.min_active_s * sample_rate
    ]
    return tuple(kept) or ((0, len(audio)),)
