"""Latency: how late onset and offset messages came, measured against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from streamsed.evaluate.evaluation import ClassLatency
from streamsed.evaluate.intervals import Floats, Indices, Intervals, Pairs, overlapping


def message_latency(
    decided: pd.DataFrame, truth: Intervals, *, recordings: Sequence[str], classes: Sequence[str]
) -> Mapping[str, ClassLatency]:
    """Return the latencies of each class; :class:`ClassLatency` defines what is measured.

    Args:
        decided: as in the data; NaN where the time of a message is not known, and such
            messages are left out.
        truth: true events.
        recordings: names, in the order in which ``truth`` numbers them.
        classes: the classes, likewise.
    """
    known = decided[decided["event_label"].isin(classes)]
    found = Intervals.of(known, recordings=recordings, classes=classes)
    pairs = overlapping(found, truth)
    pairs = pairs.where(found.label[pairs.first] == truth.label[pairs.second])
    onset_s = _after(
        pairs, known["onset_decided"], truth.onset_s, found_at=found.onset_s, true_at=truth.onset_s
    )
    offset_s = _after(
        pairs,
        known["offset_decided"],
        truth.offset_s,
        found_at=-found.offset_s,
        true_at=-truth.offset_s,
    )
    latency = {}
    for c, name in enumerate(classes):
        own = truth.label == c
        latency[name] = ClassLatency(
            onset_s=onset_s[own & ~np.isnan(onset_s)], offset_s=offset_s[own & ~np.isnan(offset_s)]
        )
    return latency


def _after(
    pairs: Pairs, decided: pd.Series[float], moment_s: Floats, *, found_at: Floats, true_at: Floats
) -> Floats:
    """Return how long after its moment each true event had its message ``(N,)``; NaN without.

    Args:
        pairs: detections and the true events of their class that they overlap.
        decided: when each detection's message was sent.
        moment_s: the onset or offset of each true event.
        found_at: what the first detection of a true event is the first by.
        true_at: what the first true event of a detection is the first by.
    """
    detection = _first(pairs.second, pairs.first, found_at, len(moment_s))
    event = _first(pairs.first, pairs.second, true_at, len(found_at))
    reported = np.flatnonzero(detection >= 0)
    reported = reported[event[detection[reported]] == reported]
    after_s = np.full(len(moment_s), np.nan)
    after_s[reported] = decided.to_numpy(np.float64)[detection[reported]] - moment_s[reported]
    return after_s


def _first(group: Indices, member: Indices, order: Floats, groups: int) -> Indices:
    """Return the member of each group ``(groups,)`` that comes first in an order; -1 of none."""
    along = np.lexsort((order[member], group))
    present, begins = np.unique(group[along], return_index=True)
    first = np.full(groups, -1)
    first[present] = member[along][begins]
    return first
