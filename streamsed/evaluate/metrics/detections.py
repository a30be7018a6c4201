"""The operating point: the one set of detections that F1, error counts and pictures are about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.metrics.thresholds import threshold_events
from streamsed.evaluate.tables import EVENT_COLUMNS, event_table


@dataclass(frozen=True, slots=True, eq=False)
class OperatingPoint:
    """Detections at one threshold.

    Attributes:
        events: event table; events of one class of one recording do not overlap, labels are
            among the classes.
        threshold: what the scores were compared with; None if the detections came as events.
        notes: what had to be chosen or mended, for people.
    """

    events: pd.DataFrame
    threshold: float | None
    notes: tuple[str, ...] = ()


def operating_point(data: EvaluationData) -> OperatingPoint | None:
    """Return the detections that came as events, or else those at the data's threshold.

    Of given operating points the one nearest to it is taken. None if nothing was detected in any
    form.
    """
    wanted = data.threshold
    if data.events is not None:
        events, notes = mended(data.events, data.classes)
        return OperatingPoint(events, None, notes)
    if data.scores is not None:
        events = threshold_events(data.scores, wanted, classes=data.classes)
        note = f"F1 and error counts are at threshold {wanted:g}: there are scores, but no events"
        return OperatingPoint(events, wanted, (note,))
    if data.operating_points:
        threshold = min(data.operating_points, key=lambda t: abs(t - wanted))
        events, notes = mended(data.operating_points[threshold], data.classes)
        note = (
            f"F1 and error counts are at operating point {threshold:g}, the nearest to {wanted:g}"
        )
        return OperatingPoint(events, threshold, (note, *notes))
    return None


def mended(events: pd.DataFrame, classes: tuple[str, ...]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return detections as every library takes them, and a line for each thing that was done.

    Labels that are not evaluated and events without length go; events of one class of one
    recording that overlap become one (psds_eval refuses them).
    """
    notes = []
    known = events["event_label"].isin(classes)
    if not known.all():
        labels = ", ".join(sorted(set(events["event_label"][~known].astype(str))))
        notes.append(f"{(~known).sum()} detections of classes not evaluated left out: {labels}")
    lasting = events["offset"] > events["onset"]
    if (known & ~lasting).any():
        notes.append(f"{(known & ~lasting).sum()} detections without length left out")
    table = events.loc[known & lasting, EVENT_COLUMNS]
    merged = merge_overlapping(table)
    if len(merged) < len(table):
        notes.append(
            f"{len(table) - len(merged)} detections merged into others of their class that they"
            " overlap"
        )
    return merged, tuple(notes)


def merge_overlapping(events: pd.DataFrame, *, touching: bool = False) -> pd.DataFrame:
    """Join events of one class of one recording that overlap, or also those that touch."""
    if events.empty:
        return event_table([])
    table = events.sort_values(["filename", "event_label", "onset", "offset"], ignore_index=True)
    group = table.groupby(["filename", "event_label"], sort=False)
    reached = group["offset"].cummax().groupby(group.ngroup()).shift(fill_value=-np.inf)
    apart = table["onset"] > reached if touching else table["onset"] >= reached
    run = apart.cumsum()
    joined = table.groupby(run, sort=False).agg(
        {"filename": "first", "onset": "first", "offset": "max", "event_label": "first"}
    )
    return joined.sort_values(["filename", "onset"], kind="stable", ignore_index=True)[
        EVENT_COLUMNS
    ]
