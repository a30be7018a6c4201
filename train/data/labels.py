"""Frame labels from events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from train.data.events import Event

_SLACK = 1e-6  # of a frame: an onset on a frame's edge, but for rounding, is on the edge


def rasterise(
    events: Iterable[Event],
    *,
    classes: Sequence[str],
    frames: int,
    frame_samples: int,
    sample_rate: int,
) -> NDArray[np.float32]:
    """Mark every frame that an event touches: onset floor, offset ceil, as the DCASE baseline.

    Args:
        events: their times in seconds; parts beyond the last frame are cut.
        classes: the columns.
        frames: T, the rows.
        frame_samples: length of a frame in samples.
        sample_rate: in Hz.

    Returns:
        ``(T, C)`` float32, 1 where the class is active and 0 elsewhere.

    Raises:
        ValueError: an event's label is none of the classes.
    """
    column = {label: index for index, label in enumerate(classes)}
    target = np.zeros((frames, len(classes)), dtype=np.float32)
    frames_per_s = sample_rate / frame_samples
    for event in events:
        if event.label not in column:
            raise ValueError(f"label {event.label!r} is none of the classes {', '.join(classes)}")
        first = math.floor(event.onset_s * frames_per_s + _SLACK)
        end = math.ceil(event.offset_s * frames_per_s - _SLACK)
        target[first : max(end, first + 1), column[event.label]] = 1.0
    return target
