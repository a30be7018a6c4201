"""Event-specific post-processing as its paper applies it: a gate of tags, then the filter twice.

Liang et al.; see :class:`train.postprocess.windows.WindowConfig`. Offline, of whole clips. The
runtime gates by the tags of a window and filters once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from train.data.clips import ClipSet
from train.data.events import merge
from train.postprocess.windows import Durations


def active_frames(
    scores: NDArray[np.float32],
    tags: NDArray[np.float32],
    *,
    windows: Sequence[int],
    threshold: float = 0.5,
    tag_threshold: float = 0.5,
) -> NDArray[np.bool_]:
    """Return where each class is active in a clip, ``(T, C)``.

    A class that is no tag of the clip is active nowhere. Of the others the scores are filtered,
    held against the threshold, and the outcome is filtered again.

    Args:
        scores: ``(T, C)`` in [0, 1].
        tags: ``(C,)`` in [0, 1].
        windows: of each class's median filter, odd, in frames; the ends of a clip go on for ever.
        threshold: of filtered scores.
        tag_threshold: of tags.
    """
    active = np.zeros(scores.shape, bool)
    for column in np.flatnonzero(tags > tag_threshold):
        size = windows[column]
        smooth = median_filter(scores[:, column], size=size, mode="nearest") > threshold
        active[:, column] = median_filter(smooth.astype(np.uint8), size=size, mode="nearest") > 0
    return active


def event_durations(clips: ClipSet) -> dict[str, Durations]:
    """Return how long a set's events are, by class; labels that overlap or touch are one event."""
    lengths: dict[str, list[tuple[float, float]]] = {label: [] for label in clips.classes}
    clip_s = clips.durations()
    for clip in clips.clips:
        for event in merge(clip.events or ()):
            lengths[event.label].append((event.offset_s - event.onset_s, clip_s[clip.name]))
    return {label: _durations(pairs) for label, pairs in lengths.items()}


def _durations(pairs: Iterable[tuple[float, float]]) -> Durations:
    table = np.array(list(pairs), np.float64).reshape(-1, 2)
    return Durations.of(table[:, 0], table[:, 1])
