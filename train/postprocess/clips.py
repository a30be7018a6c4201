"""Clips: scores of recordings of any lengths, laid out flat so that all are decoded at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

BETWEEN_CLIPS = np.float32(-1.0)
"""A score below every threshold: no event reaches from one clip into the next."""


@dataclass(frozen=True, eq=False)
class Track:
    """Filtered scores of one class in all clips, one clip after another.

    Attributes:
        scores: ``(N + n + 1,)`` float32 of n clips with N frames together, with
            ``BETWEEN_CLIPS`` before each clip and behind the last.
        clip: ``(N + n + 1,)`` index of the clip that each frame belongs to.
        starts: ``(n,)`` where each clip's first frame stands in ``scores``.
    """

    scores: NDArray[np.float32]
    clip: NDArray[np.int64]
    starts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Clips:
    """Fused scores of n recordings, before the median filter.

    Attributes:
        names: of the recordings.
        scores: for each ``(T, C)`` float32; T may differ and may be 0.
        first_frames: ``(n,)`` number of frames before the first of ``scores`` (the model's
            warm-up, which is not decoded).
        durations_s: ``(n,)`` length of each recording; the last frame may reach beyond it.
        frame_s: seconds of a frame.
    """

    names: tuple[str, ...]
    scores: tuple[NDArray[np.float32], ...]
    first_frames: NDArray[np.int64]
    durations_s: NDArray[np.float64]
    frame_s: float

    @property
    def hours(self) -> float:
        """Length of all recordings together."""
        return float(self.durations_s.sum() / 3600)

    def subset(self, indices: Sequence[int]) -> Clips:
        """Return some of the recordings."""
        chosen = np.array(indices, np.int64)
        return Clips(
            names=tuple(self.names[i] for i in chosen),
            scores=tuple(self.scores[i] for i in chosen),
            first_frames=self.first_frames[chosen],
            durations_s=self.durations_s[chosen],
            frame_s=self.frame_s,
        )

    def track(self, column: int, window: int) -> Track:
        """Filter one class.

        Args:
            column: of the class.
            window: of the centred median, odd, in frames; each clip's edges go on for ever.
        """
        lengths = np.array([len(scores) for scores in self.scores], np.int64)
        half = window // 2
        # Each clip is led on by half a window at both ends, and then one filter serves for all.
        parts = [
            np.pad(scores[:, column], half, mode="edge") for scores in self.scores if len(scores)
        ]
        joined = np.concatenate([np.zeros(0, np.float32), *parts])
        if window > 1 and len(joined):
            joined = median_filter(joined, size=window, mode="nearest")
        padded = np.where(lengths > 0, lengths + 2 * half, 0)
        clip = np.repeat(np.arange(len(lengths)), padded)
        place = np.arange(len(joined)) - np.repeat(np.cumsum(padded) - padded, padded)
        inside = (place >= half) & (place < half + lengths[clip])

        starts = np.cumsum(lengths + 1) - lengths
        owner = np.append(np.repeat(np.arange(len(lengths)), lengths + 1), len(lengths) - 1)
        flat = np.full(int(lengths.sum()) + len(lengths) + 1, BETWEEN_CLIPS, np.float32)
        frames = np.ones(len(flat), bool)
        frames[starts - 1] = False
        frames[-1] = False
        flat[frames] = joined[inside]
        return Track(flat, owner, starts)
