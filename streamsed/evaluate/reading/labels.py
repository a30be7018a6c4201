"""Classes of an evaluation, and what becomes of labels that are none of them."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

from streamsed.errors import DataError
from streamsed.evaluate.reading.delimited import Note, counted, few
from streamsed.evaluate.reading.event_tables import EventRow
from streamsed.validation_messages import suggest

IN_EVALUATE = "--classes evaluates some and leaves out the rest"
IN_REPLAY = "after a replay without --ground-truth, streamsed evaluate --replay takes --classes"


def choose_classes(
    asked: Sequence[str] | None,
    *,
    scored: Sequence[str] | None,
    truth: Iterable[EventRow],
    found: Iterable[EventRow],
) -> tuple[str, ...]:
    """Return the classes that are evaluated.

    Those that are asked for; else those of the scores, in their order; else every label of the
    truth and of what was detected, by name.

    Args:
        asked: by the user.
        scored: columns of the scores; None without scores.
        truth: true events.
        found: detected events.

    Raises:
        DataError: a class that is asked for does not occur, or there is none at all.
    """
    occurring = {row.label for rows in (truth, found) for row in rows}
    known = list(scored) if scored is not None else sorted(occurring)
    if asked is not None:
        for label in asked:
            if label not in known:
                raise DataError(f"classes: there is no {label!r}; {suggest(label, known)}")
        return tuple(dict.fromkeys(asked))
    if not known:
        raise DataError("there is no event in the ground truth, and none was detected")
    return tuple(known)


def of_classes(
    rows: Iterable[EventRow],
    classes: Sequence[str],
    *,
    asked: bool,
    note: Note,
    remedy: str = IN_EVALUATE,
) -> list[EventRow]:
    """Return the events of the classes that are evaluated.

    Args:
        rows: events of one file.
        classes: that are evaluated.
        asked: whether the user chose them: then other labels are left out, with a note.
        note: is called with each line that people should read.
        remedy: how to evaluate some classes alone.

    Raises:
        DataError: file and line of a label that is none of the classes, unless ``asked``.
    """
    kept: list[EventRow] = []
    other: list[EventRow] = []
    known = frozenset(classes)
    for row in rows:
        (kept if row.label in known else other).append(row)
    if other and not asked:
        row = other[0]
        raise DataError(
            f"{row.place}: the label {row.label!r} is none of the classes that are detected; "
            f"{suggest(row.label, classes)}; {remedy}"
        )
    if other:
        labels = Counter(row.label for row in other)
        note(
            f"{other[0].path}: left out {counted(len(other), 'event')} of other classes: "
            f"{few(f'{label} ({count})' for label, count in labels.most_common())}"
        )
    return kept


def note_without_truth(truth: Iterable[EventRow], found: Iterable[EventRow], *, note: Note) -> None:
    """Note labels that were detected but are never true, with the class that was perhaps meant."""
    occurring = {row.label for row in truth}
    first: dict[str, EventRow] = {}
    for row in found:
        if row.label not in occurring:
            first.setdefault(row.label, row)
    for label, row in first.items():
        close = difflib.get_close_matches(label, sorted(occurring), n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        note(
            f"{row.place}: {label!r} never occurs in the ground truth, so each detection of it is "
            f"a false alarm{meant}"
        )
