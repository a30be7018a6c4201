"""Fit thresholds, hysteresis and median windows of each class on validation scenes.

The objective is the mean of event F1 (200 ms collars) and intersection F1 (0.5, 0.5), less a
price of false alarms: the first wants exact boundaries, the second finds long events that the
first gives up, and neither knows how few events an hour of an ordinary day holds. The search is
coarse to fine: every window with every threshold, then hysteresis and durations around the best.
Decoding here is a vectorised twin of the runtime's decoder, and a test holds the two equal.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from streamsed.bundle.manifest import ClassPostprocessing

WINDOWS_FRAMES = (1, 3, 5, 7, 9, 13, 17, 21, 25)
"""Up to 1.6 s: half a window is latency of every onset."""
ENTERS = tuple(np.round(np.arange(0.05, 0.96, 0.05), 2))
EXIT_SHARES = (1.0, 0.8, 0.6, 0.4, 0.2)
MIN_ONS_FRAMES = (1, 2, 4, 6, 10)
MIN_OFFS_FRAMES = (1, 3, 5, 8, 12, 16, 20)
KEPT = 4
"""Best windows and thresholds that go on to the second round."""


@dataclass(frozen=True)
class Decoding:
    """Postprocessing of one class in frames; the manifest holds the same in seconds."""

    enter: float
    exit: float
    median: int = 1
    min_on: int = 1
    min_off: int = 1

    def in_seconds(self, frame_s: float) -> ClassPostprocessing:
        """Return the manifest's form; durations of one frame or less need not be said."""
        return ClassPostprocessing(
            enter=round(self.enter, 4),
            exit=round(self.exit, 4),
            median_s=round(self.median * frame_s, 4),
            min_on_s=round(self.min_on * frame_s, 4) if self.min_on > 1 else 0.0,
            min_off_s=round(self.min_off * frame_s, 4) if self.min_off > 1 else 0.0,
        )


@dataclass(frozen=True)
class Intervals:
    """Events of one class over many clips, sorted by clip and onset.

    Attributes:
        clip: ``(n,)`` index of the clip.
        onset: ``(n,)`` seconds.
        offset: ``(n,)`` seconds.
    """

    clip: NDArray[np.int64]
    onset: NDArray[np.floating]
    offset: NDArray[np.floating]

    @classmethod
    def of(cls, events: Iterable[tuple[int, float, float]]) -> Intervals:
        """Build from ``(clip, onset_s, offset_s)``."""
        rows = np.array(sorted(events), dtype=np.float64).reshape(-1, 3)
        return cls(rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2])


def decode(filtered: NDArray[np.float32], decoding: Decoding) -> NDArray[np.int64]:
    """Return the events of one class in filtered scores.

    Args:
        filtered: ``(n, T)``, a row a clip.
        decoding: thresholds and durations; its median is taken as already applied.

    Returns:
        ``(k, 3)``: clip, first frame, one past the last frame.
    """
    frames = filtered.shape[1]
    active = np.zeros((filtered.shape[0], frames + 2), np.int8)
    active[:, 1:-1] = filtered >= decoding.exit
    change = np.diff(active, axis=1)
    clips, starts = np.nonzero(change == 1)
    _, ends = np.nonzero(change == -1)
    rows: list[list[int]] = []
    above = filtered >= decoding.enter
    for clip, start, end in zip(clips, starts, ends, strict=True):
        entered = above[clip, start:end].argmax()
        if not above[clip, start + entered]:
            continue
        start += entered  # noqa: PLW2901
        if rows and rows[-1][0] == clip and start - rows[-1][2] < decoding.min_off:
            rows[-1][2] = end
        else:
            rows.append([clip, start, end])
    events = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return events[events[:, 2] - events[:, 1] >= decoding.min_on]


def event_f1(found: Intervals, truth: Intervals, *, collar_s: float = 0.2) -> float:
    """Return the collar-based F1; events are matched in order of onset, each at most once."""
    hits, first = 0, 0
    for clip, onset, offset in zip(truth.clip, truth.onset, truth.offset, strict=True):
        tolerance = max(collar_s, 0.2 * (offset - onset))
        while first < len(found.clip) and (found.clip[first], found.onset[first]) < (
            clip,
            onset - collar_s,
        ):
            first += 1
        for index in range(first, len(found.clip)):
            if found.clip[index] != clip or found.onset[index] > onset + collar_s:
                break
            if abs(found.offset[index] - offset) <= tolerance:
                hits += 1
                first = index + 1
                break
    return 2 * hits / max(1, len(found.clip) + len(truth.clip))


def intersection_f1(found: Intervals, truth: Intervals, *, share: float = 0.5) -> float:
    """Return the F1 in which ``share`` of an event must be covered, and of a detection be true."""
    covered = np.zeros(len(truth.clip))
    valid = 0
    bounds = np.searchsorted(truth.clip, [found.clip, found.clip + 1]).T
    for index, (first, last) in enumerate(bounds):
        overlap = np.minimum(truth.offset[first:last], found.offset[index]) - np.maximum(
            truth.onset[first:last], found.onset[index]
        )
        overlap = np.clip(overlap, 0, None)
        if overlap.sum() >= share * (found.offset[index] - found.onset[index]):
            valid += 1
            covered[first:last] += overlap
    hits = int(np.sum(covered >= share * (truth.offset - truth.onset)))
    false = len(found.clip) - valid
    return 2 * hits / max(1, hits + false + len(truth.clip))


def false_alarms(found: Intervals, truth: Intervals) -> int:
    """Count the detections that touch no true event."""
    bounds = np.searchsorted(truth.clip, [found.clip, found.clip + 1]).T
    return sum(
        not np.any((truth.onset[a:b] < offset) & (truth.offset[a:b] > onset))
        for (a, b), onset, offset in zip(bounds, found.onset, found.offset, strict=True)
    )


def objective(
    filtered: NDArray[np.float32],
    decoding: Decoding,
    truth: Intervals,
    *,
    frame_s: float,
    false_alarm_price: float,
) -> float:
    """Return the mean of event F1 and intersection F1 of one class, less its false alarms."""
    events = decode(filtered, decoding)
    found = Intervals(events[:, 0], events[:, 1] * frame_s, events[:, 2] * frame_s)
    hours = filtered.size * frame_s / 3600
    f1 = 0.5 * (event_f1(found, truth) + intersection_f1(found, truth))
    return f1 - false_alarm_price * false_alarms(found, truth) / hours


def fit_class(
    scores: NDArray[np.float32], truth: Intervals, *, frame_s: float, false_alarm_price: float
) -> Decoding:
    """Return the best postprocessing of one class.

    Args:
        scores: ``(n, T)``, before the median filter.
        truth: its events; onsets in seconds from the start of each clip.
        frame_s: seconds of a frame.
        false_alarm_price: F1 given up for one false alarm an hour less.
    """
    smoothed = {
        window: median_filter(scores, size=(1, window), mode="nearest") for window in WINDOWS_FRAMES
    }

    def rank(candidates: Iterable[Decoding]) -> list[Decoding]:
        # Ties go to the earlier candidate, which is the simpler one.
        return sorted(
            candidates,
            key=lambda d: (
                -objective(
                    smoothed[d.median],
                    d,
                    truth,
                    frame_s=frame_s,
                    false_alarm_price=false_alarm_price,
                )
            ),
        )

    coarse = rank(Decoding(enter, enter, window) for window in WINDOWS_FRAMES for enter in ENTERS)[
        :KEPT
    ]
    hysteresis = rank(
        Decoding(enter, base.enter * share, base.median)
        for base in coarse
        for enter in sorted({base.enter, min(0.95, base.enter + 0.1), min(0.95, base.enter + 0.2)})
        for share in EXIT_SHARES
        if base.enter * share <= enter
    )[:KEPT]
    return rank(
        Decoding(base.enter, base.exit, base.median, min_on, min_off)
        for base, min_on, min_off in itertools.product(hysteresis, MIN_ONS_FRAMES, MIN_OFFS_FRAMES)
    )[0]


def fit_postprocessing(
    scores: NDArray[np.float32],
    truth: Sequence[Iterable[tuple[str, float, float]]],
    *,
    classes: Sequence[str],
    frame_s: float,
    false_alarm_price: float = 0.0,
) -> dict[str, ClassPostprocessing]:
    """Fit every class on its own.

    Args:
        scores: ``(n, T, C)`` of n clips, before the median filter.
        truth: for each clip its events ``(label, onset_s, offset_s)``.
        classes: the C class names.
        frame_s: seconds of a frame.
        false_alarm_price: F1 given up for one false alarm an hour less.
    """
    fitted = {}
    for index, label in enumerate(classes):
        events = Intervals.of(
            (clip, onset, offset)
            for clip, rows in enumerate(truth)
            for name, onset, offset in rows
            if name == label
        )
        best = fit_class(
            np.ascontiguousarray(scores[:, :, index]),
            events,
            frame_s=frame_s,
            false_alarm_price=false_alarm_price,
        )
        fitted[label] = best.in_seconds(frame_s)
    return fitted
