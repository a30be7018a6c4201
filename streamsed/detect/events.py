"""Results of detection: transitions of events, and the scores behind them.

All times are int64 sample indices on the source's own clock. No wall clock, no identifiers that
depend on anything but the samples: the same audio gives the same transitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # clients import this module for its names, and have no numpy
    import numpy as np
    from numpy.typing import NDArray


class Kind(StrEnum):
    """Which moment of an event a transition reports."""

    ONSET = "onset"
    UPDATE = "update"
    OFFSET = "offset"


class Reason(StrEnum):
    """Why an event ended."""

    SILENCE = "silence"
    MAX_DURATION = "max_duration"
    GAP = "gap"
    END_OF_STREAM = "end_of_stream"
    SOURCE_LOST = "source_lost"
    RELOAD = "reload"
    SHUTDOWN = "shutdown"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Score:
    """Median-filtered scores of one event so far, each in [0, 1]."""

    current: float
    peak: float
    mean: float


@dataclass(frozen=True, slots=True)
class Transition:
    """An onset, update or offset of one event of one source.

    Attributes:
        source: name of the source.
        kind: onset, update or offset.
        number: counts the events of this source from 0; the onset, updates and offset of one
            event share it. Together with the source it identifies the event in one run.
        label: class name.
        onset_sample: first sample of the event.
        offset_sample: one past its last sample; None until the offset.
        score: over the frames of the event decided so far.
        reason: why it ended; None until the offset.
        decided_sample: one past the last sample that had been received when this was decided; less
            ``onset_sample`` or ``offset_sample`` it gives the algorithmic latency.
    """

    source: str
    kind: Kind
    number: int
    label: str
    onset_sample: int
    offset_sample: int | None
    score: Score
    reason: Reason | None
    decided_sample: int


@dataclass(frozen=True, slots=True)
class ScoredFrames:
    """Fused scores of consecutive frames of one source, as they go into the median filter.

    Frames that are not decoded do not appear: those of a gap, of the model's warm-up and beyond
    the end of a segment. The last frame of a segment may reach beyond its last sample.

    Attributes:
        source: name of the source.
        first_frame_sample: first sample of the first frame.
        scores: ``(n, C)`` float32 in [0, 1], fused and tag-gated.
    """

    source: str
    first_frame_sample: int
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FilteredFrames:
    """Median-filtered scores of consecutive frames of one source, as they meet the thresholds.

    The same frames as :class:`ScoredFrames` has, later by half the longest median window, and
    several steps' at a time.

    Attributes:
        source: name of the source.
        first_frame_sample: first sample of the first frame.
        scores: ``(n, C)`` float32.
    """

    source: str
    first_frame_sample: int
    scores: NDArray[np.float32]
