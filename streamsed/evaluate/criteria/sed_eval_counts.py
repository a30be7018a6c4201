"""Counts by recording out of sed_eval, which itself only keeps sums."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from streamsed.evaluate.criteria.error_counts import ErrorCounts
from streamsed.evaluate.libraries import plain_labels, without_library_warnings
from streamsed.evaluate.tables import EVENT_COLUMNS

Record = dict[str, str | float]


def records_by_recording(table: pd.DataFrame, classes: Sequence[str]) -> dict[str, list[Record]]:
    """Return the events by recording and onset, as sed_eval takes them, with plain labels."""
    plain = plain_labels(classes)
    records: dict[str, list[Record]] = {}
    for name, onset, offset, label in sorted(
        table[EVENT_COLUMNS].itertuples(index=False, name=None)
    ):
        record = {"onset": onset, "offset": offset, "event_label": plain[label]}
        records.setdefault(name, []).append(record)
    return records


def count_by_recording(
    count: Callable[[str, list[str]], Mapping[str, Mapping[str, float]]],
    occurring: Mapping[str, Collection[str]],
    *,
    recordings: Sequence[str],
    classes: Sequence[str],
) -> ErrorCounts:
    """Return the counts of each recording, of the classes that occur in it.

    sed_eval goes over all classes for each recording: of hundreds, nearly all find nothing.

    Args:
        count: called with a recording and plain labels; returns sed_eval's sums by label.
        occurring: by recording the plain labels that are true or detected in it.
        recordings: all R of them.
        classes: all C of them.
    """
    column = {label: c for c, label in enumerate(plain_labels(classes).values())}
    hits, wrong, missed = np.zeros((3, len(recordings), len(classes)), np.int64)
    with without_library_warnings():
        for r, name in enumerate(recordings):
            if labels := sorted(occurring.get(name, ())):
                sums = count(name, labels)
                columns = [column[label] for label in labels]
                hits[r, columns] = [sums[label]["Ntp"] for label in labels]
                wrong[r, columns] = [sums[label]["Nfp"] for label in labels]
                missed[r, columns] = [sums[label]["Nfn"] for label in labels]
    return ErrorCounts(hits, wrong, missed)


def labels_of(*sides: Mapping[str, Sequence[Record]]) -> dict[str, set[str]]:
    """Return the labels that occur in each recording, on whichever side."""
    occurring: dict[str, set[str]] = {}
    for side in sides:
        for name, records in side.items():
            occurring.setdefault(name, set()).update(str(r["event_label"]) for r in records)
    return occurring
