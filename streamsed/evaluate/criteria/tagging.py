"""Clip-level tagging F1: which classes occur at all in a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pandas as pd
from sed_eval.audio_tag import AudioTaggingMetrics

from streamsed.evaluate.criteria.error_counts import ErrorCounts
from streamsed.evaluate.criteria.sed_eval_counts import count_by_recording
from streamsed.evaluate.libraries import plain_labels

PARAMETERS: dict[str, float | int | str] = {
    "tag": "a recording has the tag of each class of which it has an event",
    "average": "macro over the classes with truth",
}


def tag_counts(
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    recordings: Sequence[str],
    classes: Sequence[str],
) -> ErrorCounts:
    """Count tags of recordings with sed_eval; events are tags of the recording that they are in."""
    plain = plain_labels(classes)
    true, found = _tags(truth, plain), _tags(detections, plain)

    def count(name: str, labels: list[str]) -> Mapping[str, Mapping[str, float]]:
        metrics = AudioTaggingMetrics(tags=labels)
        # The library only compares names; every recording is looked at alone.
        metrics.evaluate(
            reference_tag_list=[{"filename": "recording", "tags": true.get(name, [])}],
            estimated_tag_list=[{"filename": "recording", "tags": found.get(name, [])}],
        )
        return cast("Mapping[str, Mapping[str, float]]", metrics.tag_wise)

    occurring = {name: {*true.get(name, ()), *found.get(name, ())} for name in {**true, **found}}
    return count_by_recording(count, occurring, recordings=recordings, classes=classes)


def _tags(table: pd.DataFrame, plain: Mapping[str, str]) -> dict[str, list[str]]:
    tags: dict[str, set[str]] = {}
    for name, label in zip(table["filename"], table["event_label"], strict=True):
        tags.setdefault(name, set()).add(plain[label])
    return {name: sorted(labels) for name, labels in tags.items()}
