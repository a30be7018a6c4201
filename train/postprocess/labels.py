"""Durations of training labels, for windows that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from streamsed.errors import DataError
from streamsed.evaluate.reading.delimited import counted, few
from streamsed.evaluate.reading.event_tables import merge_connected, read_durations
from streamsed.evaluate.reading.ground_truth import read_ground_truth
from streamsed.evaluate.reading.naming import RecordingNames
from train.postprocess.windows import Durations


def read_training_durations(
    labels: Path,
    classes: Sequence[str],
    *,
    lengths: Path | None,
    note: Callable[[str], None],
) -> dict[str, Durations]:
    """Read how long the events of training recordings are.

    Labels of one class that overlap or touch are one event. Labels of other classes count for
    nothing.

    Args:
        labels: strong labels, ``filename onset offset event_label``.
        classes: the bundle's.
        lengths: ``filename duration`` of the recordings, to see which events fill theirs; without
            it none does, nor, with a note, in recordings that it does not name.
        note: takes a line for people.

    Raises:
        DataError: a table cannot be used, or the two name different recordings.
    """
    table = read_ground_truth(labels, note=note)
    clip_s: dict[str, float] = {}
    if lengths is not None:
        listed = read_durations(lengths, note=note)
        names = RecordingNames(listed, origin=str(lengths))
        matches = names.match(table.recordings, origin=str(labels))
        if matches.unknown and not matches.known:
            raise DataError(
                f"{lengths}: names no recording of {labels}, which are called "
                f"{few(map(repr, matches.unknown), at_most=2)}"
            )
        if matches.unknown:
            note(
                f"{lengths}: does not name {counted(len(matches.unknown), 'recording')} of "
                f"{labels}, whose events count as not cut by their ends: {few(matches.unknown)}"
            )
        clip_s = {name: listed[recording] for name, recording in matches.known.items()}
    events, _ = merge_connected(table.rows, touching=True)
    of_class = {label: [row for row in events if row.label == label] for label in classes}
    return {
        label: Durations.of(
            [row.offset_s - row.onset_s for row in rows],
            np.array([clip_s.get(row.recording, np.inf) for row in rows]),
        )
        for label, rows in of_class.items()
    }
