"""DCASE tables: events ``filename onset offset event_label``, durations ``filename duration``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

EVENT_COLUMNS = ["filename", "onset", "offset", "event_label"]


def event_table(rows: Iterable[tuple[str, float, float, str]]) -> pd.DataFrame:
    """Return an event table of ``(filename, onset_s, offset_s, label)`` rows; may be empty."""
    table = pd.DataFrame(list(rows), columns=EVENT_COLUMNS)
    return table.astype({"onset": float, "offset": float})


def duration_table(durations_s: Mapping[str, float]) -> pd.DataFrame:
    """Return a duration table; recordings without events must be in it too."""
    return pd.DataFrame(list(durations_s.items()), columns=["filename", "duration"])


def threshold_events(
    scores: Mapping[str, NDArray[np.float32]],
    threshold: float,
    *,
    classes: Sequence[str],
    frame_s: float,
    durations_s: Mapping[str, float],
) -> pd.DataFrame:
    """Return the runs of frames in which a score exceeds ``threshold``, as an event table.

    Args:
        scores: recording to ``(T, C)`` scores, already filtered.
        threshold: exclusive.
        classes: the C class names.
        frame_s: seconds of a frame.
        durations_s: where the last frame is cut.
    """
    rows = []
    for name, array in scores.items():
        active = np.zeros((array.shape[0] + 2, array.shape[1]), np.int8)
        active[1:-1] = array > threshold
        change = np.diff(active, axis=0)
        for index, label in enumerate(classes):
            onsets = np.flatnonzero(change[:, index] == 1) * frame_s
            offsets = np.minimum(
                np.flatnonzero(change[:, index] == -1) * frame_s, durations_s[name]
            )
            rows += [(name, on, off, label) for on, off in zip(onsets, offsets, strict=True)]
    return event_table(rows)
