"""Decoding of one class over all clips at once: a vectorised twin of the runtime's decoder.

A test holds it equal to :func:`streamsed.detect.reference.find_events`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from streamsed.bundle.manifest import ClassPostprocessing
from streamsed.detect.postprocessing import FrameRules
from train.postprocess.clips import Clips, Track
from train.postprocess.intervals import Intervals


@dataclass(frozen=True)
class Decoding:
    """Postprocessing of one class in frames; the manifest holds the same in seconds."""

    enter: float
    exit: float
    median: int = 1
    min_on: int = 1
    min_off: int = 1
    max_on: int | None = None

    @classmethod
    def of(cls, postprocessing: ClassPostprocessing, *, frame_s: float) -> Self:
        """Convert as the runtime does."""
        rules = FrameRules.of(postprocessing, frame_s=frame_s)
        return cls(rules.enter, rules.exit, rules.median, rules.min_on, rules.min_off, rules.max_on)

    def in_seconds(
        self, frame_s: float, *, base: ClassPostprocessing | None = None
    ) -> ClassPostprocessing:
        """Return the manifest's form; durations of one frame or less may be left out.

        Args:
            frame_s: seconds of a frame.
            base: what is not fitted is kept from here: ``max_on_s`` and ``tag_threshold``.
        """
        base = base or ClassPostprocessing()
        return ClassPostprocessing(
            enter=round(self.enter, 4),
            exit=round(self.exit, 4),
            median_s=round(self.median * frame_s, 4),
            min_on_s=_shortened(self.min_on * frame_s) if self.min_on > 1 else 0.0,
            min_off_s=_shortened(self.min_off * frame_s) if self.min_off > 1 else 0.0,
            max_on_s=base.max_on_s,
            tag_threshold=base.tag_threshold,
        )


def _shortened(seconds: float) -> float:
    """Cut to four decimals: the runtime rounds durations up, so more would be a frame more."""
    return math.floor(seconds * 1e4 + 1e-6) / 1e4


def decode(track: Track, decoding: Decoding) -> NDArray[np.int64]:
    """Return the events of one class.

    Args:
        track: its scores, filtered with the decoding's window.
        decoding: thresholds and durations.

    Returns:
        ``(k, 3)``: clip, first frame in the clip, one past the last frame; in order.
    """
    scores = track.scores
    change = np.diff((scores >= np.float32(decoding.exit)).view(np.int8))
    starts, ends = np.flatnonzero(change == 1) + 1, np.flatnonzero(change == -1) + 1
    above = np.flatnonzero(scores >= np.float32(decoding.enter))
    entered = np.append(above, len(scores))[np.searchsorted(above, starts)]
    kept = entered < ends
    starts, ends = entered[kept], ends[kept]
    clips = track.clip[starts]
    if len(starts):
        parted = (clips[1:] != clips[:-1]) | (starts[1:] - ends[:-1] >= decoding.min_off)
        first, last = np.append(True, parted), np.append(parted, True)
        starts, ends, clips = starts[first], ends[last], clips[first]
    if decoding.max_on is not None:
        starts, ends, clips = _split(starts, ends, clips, decoding.max_on)
    long = ends - starts >= decoding.min_on
    starts, ends, clips = starts[long], ends[long], clips[long]
    begins = track.starts[clips]
    return np.stack([clips, starts - begins, ends - begins], axis=1)


def decode_intervals(clips: Clips, track: Track, decoding: Decoding) -> Intervals:
    """Return the events of one class in seconds; none reaches beyond its recording's end."""
    events = decode(track, decoding)
    clip = events[:, 0]
    edges_s = (events[:, 1:] + clips.first_frames[clip][:, None]) * np.float64(clips.frame_s)
    onset, offset = edges_s.T
    return Intervals(clip, onset, np.minimum(offset, clips.durations_s[clip]))


def _split(
    starts: NDArray[np.int64], ends: NDArray[np.int64], clips: NDArray[np.int64], longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cut events into pieces of at most ``longest`` frames."""
    pieces = -(-(ends - starts) // longest)
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    first = np.repeat(starts, pieces) + number * longest
    return first, np.minimum(first + longest, np.repeat(ends, pieces)), np.repeat(clips, pieces)
