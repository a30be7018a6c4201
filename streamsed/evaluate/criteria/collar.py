"""Event-based F1: a detection is right if its onset and offset are near those of a true event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from sed_eval.sound_event import EventBasedMetrics

from streamsed.evaluate.criteria.error_counts import ErrorCounts
from streamsed.evaluate.criteria.sed_eval_counts import (
    Record,
    count_by_recording,
    labels_of,
    records_by_recording,
)
from streamsed.evaluate.intervals import Indices, Intervals, near_pairs

COLLAR_S = 0.2
OFFSET_SHARE = 0.2
_PIECE = 20
PARAMETERS: dict[str, float | int | str] = {
    "t_collar": COLLAR_S,
    "percentage_of_length": OFFSET_SHARE,
    "event_matching_type": "optimal",
    "average": "macro over the classes with truth",
}


def event_counts(
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    recordings: Sequence[str],
    classes: Sequence[str],
) -> ErrorCounts:
    """Count hits and errors with sed_eval: optimal matching within collars.

    The onset may be 200 ms off, the offset 200 ms or 20 % of the true event's length, whichever
    is more (Mesaros et al. 2016, "Metrics for polyphonic sound event detection").
    """
    true, found = (records_by_recording(table, classes) for table in (truth, detections))
    true_of, found_of = _by_class(true), _by_class(found)

    def count(name: str, labels: list[str]) -> Mapping[str, Mapping[str, float]]:
        sums = {}
        for label in labels:
            # A counter a class: one of all would look at each list of events once for each class.
            counter = EventBasedMetrics(
                event_label_list=[label],
                t_collar=COLLAR_S,
                percentage_of_length=OFFSET_SHARE,
                event_matching_type="optimal",
            )
            for reference, estimated in _apart(
                true_of.get((name, label), []), found_of.get((name, label), [])
            ):
                counter.evaluate(reference_event_list=reference, estimated_event_list=estimated)
            sums[label] = counter.class_wise[label]
        return sums

    return count_by_recording(count, labels_of(true, found), recordings=recordings, classes=classes)


def _by_class(records: Mapping[str, Sequence[Record]]) -> dict[tuple[str, str], list[Record]]:
    """Part the events of each recording by class, in their order."""
    parted: dict[tuple[str, str], list[Record]] = {}
    for name, events in records.items():
        for event in events:
            parted.setdefault((name, str(event["event_label"])), []).append(event)
    return parted


def _apart(
    true: Sequence[Record], found: Sequence[Record]
) -> Iterator[tuple[list[Record], list[Record]]]:
    """Cut a recording between onsets that are too far apart to be matched.

    sed_eval compares each true event with each detection, in Python: a day's would take a day.
    The sums by class are the same for the pieces.
    """
    both = [(record, 0) for record in true] + [(record, 1) for record in found]
    piece: tuple[list[Record], list[Record]] = ([], [])
    before = -np.inf
    for record, side in sorted(both, key=lambda one: one[0]["onset"]):
        onset = float(record["onset"])
        if onset - before > 2 * COLLAR_S and len(piece[0]) + len(piece[1]) >= _PIECE:
            yield piece
            piece = ([], [])
        piece[side].append(record)
        before = onset
    if both:
        yield piece


def matched_counts(
    detections: Intervals, truth: Intervals, *, recordings: int, classes: int
) -> ErrorCounts:
    """Count the same as :func:`event_counts`, in one maximum matching over all recordings.

    It is what curves over many thresholds are drawn from.
    """
    matched = partners(detections, truth) >= 0
    hits = np.zeros((recordings, classes), np.int64)
    np.add.at(hits, (truth.recording[matched], truth.label[matched]), 1)
    return ErrorCounts(
        hits=hits,
        wrong=detections.count(recordings=recordings, classes=classes) - hits,
        missed=truth.count(recordings=recordings, classes=classes) - hits,
    )


def partners(detections: Intervals, truth: Intervals) -> Indices:
    """Return for each true event ``(N,)`` the index of the detection that it matches; or -1.

    As many events as possible have one, no two the same. The graph falls apart into recordings
    and classes, so the largest matching of the whole is the largest of each part.
    """
    found, true = near_pairs(detections, truth, within_s=COLLAR_S)
    length_s = truth.offset_s[true] - truth.onset_s[true]
    collar_s = np.maximum(COLLAR_S, OFFSET_SHARE * length_s)
    right = (
        (detections.label[found] == truth.label[true])
        & (np.abs(truth.onset_s[true] - detections.onset_s[found]) <= COLLAR_S)
        & (np.abs(truth.offset_s[true] - detections.offset_s[found]) <= collar_s)
    )
    graph = coo_array(
        (np.ones(right.sum(), np.int8), (true[right], found[right])),
        shape=(len(truth), len(detections)),
    ).tocsr()
    return np.asarray(maximum_bipartite_matching(graph, perm_type="column"), np.int64)
