"""The definition of an event, written down plainly over whole recordings.

Slow and obvious: what the streaming decoder is tested against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamsed.detect.events import Reason
from streamsed.detect.median import median_filter
from streamsed.detect.postprocessing import FrameRules


@dataclass(frozen=True, slots=True)
class FrameEvent:
    """Frames ``first`` up to, not including, ``end``; why it ended; filtered scores."""

    first: int
    end: int
    reason: Reason
    peak: float
    mean: float


def find_events(scores: Sequence[float], rules: FrameRules, reason: Reason) -> list[FrameEvent]:
    """Find the events of one class in all the scores of one segment.

    Args:
        scores: one for each frame, unfiltered.
        rules: thresholds and durations in frames.
        reason: why the segment ended.
    """
    filtered = median_filter(scores, rules.median)
    found = []
    for first, end in _merged(_runs(filtered, rules), rules):
        # Within min_off of the segment's end, silence has not been established.
        why = Reason.SILENCE if len(filtered) - end >= rules.min_off else reason
        found += _split(first, end, why, rules)
    return [
        FrameEvent(
            first,
            end,
            why,
            peak=max(filtered[first:end]),
            mean=sum(filtered[first:end]) / (end - first),
        )
        for first, end, why in found
        if end - first >= rules.min_on
    ]


def _runs(filtered: Sequence[float], rules: FrameRules) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    active = False
    for frame, score in enumerate(filtered):
        if active and score >= rules.exit:
            runs[-1] = (runs[-1][0], frame + 1)
        elif score >= rules.enter:
            active = True
            runs.append((frame, frame + 1))
        else:
            active = False
    return runs


def _merged(runs: Sequence[tuple[int, int]], rules: FrameRules) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, end in runs:
        if merged and first - merged[-1][1] < rules.min_off:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((first, end))
    return merged


def _split(first: int, end: int, why: Reason, rules: FrameRules) -> list[tuple[int, int, Reason]]:
    pieces = []
    while rules.max_on is not None and end - first >= rules.max_on:
        pieces.append((first, first + rules.max_on, Reason.MAX_DURATION))
        first += rules.max_on
    if first < end:
        pieces.append((first, end, why))
    return pieces
