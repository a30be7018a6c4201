"""Tables with a row a class: figures of merit, errors, confusion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamsed.evaluate.evaluation import Averages, ClassCounts, Confusion, Metric
from streamsed.evaluate.report.wording import LONGEST, count, figure_of_merit, legible, rate


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure in a table.

    Attributes:
        text: as shown.
        sort: what it is sorted by; empty goes last.
        share: length of the bar behind it, 0 to 1.
    """

    text: str
    sort: str
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """A class and its cells."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class ConfusionCell:
    """A cell of the heat map.

    Attributes:
        text: the count; empty for 0.
        strength: 0 to 1, how strongly it is coloured.
        right: whether truth and detection are the same class.
        tip: the cell in words; empty for 0.
    """

    text: str
    strength: float
    right: bool
    tip: str


def number(value: float, text: str, *, share: float = 0.0) -> Cell:
    """Return a cell of a number; what is not finite is sorted last."""
    finite = math.isfinite(value)
    return Cell(text, repr(float(value)) if finite else "", share if finite else 0.0)


def metric_rows(metrics: Sequence[Metric], classes: Sequence[str]) -> tuple[Row, ...]:
    """Return the figures of each class, a column a metric, with bars."""
    return tuple(
        Row(
            legible(label, LONGEST),
            tuple(
                number(value, figure_of_merit(metric.key, value), share=min(1.0, max(0.0, value)))
                for metric in metrics
                for value in (metric.per_class.get(label, math.nan),)
            ),
        )
        for label in classes
    )


def error_rows(counts: Mapping[str, ClassCounts]) -> tuple[Row, ...]:
    """Return the errors of each class: counts, false alarms an hour, precision and recall.

    Bars of missed and wrong are shares of truth and found; those of the rate, of the worst class.
    """
    worst = max((c.false_alarms_per_hour for c in counts.values()), default=0.0)
    rows = []
    for label, of in counts.items():
        plain = (of.truth, of.found, of.hits)
        shared = ((of.missed, of.truth), (of.wrong, of.found), (of.false_alarms, of.found))
        hourly = of.false_alarms_per_hour
        rows.append(
            Row(
                legible(label, LONGEST),
                (
                    *(number(n, count(n)) for n in plain),
                    *(
                        number(n, count(n), share=n / whole if whole else 0.0)
                        for n, whole in shared
                    ),
                    number(hourly, rate(hourly), share=hourly / worst if worst > 0 else 0.0),
                    _share(of.hits, of.found),
                    _share(of.hits, of.truth),
                ),
            )
        )
    return tuple(rows)


def _share(part: int, whole: int) -> Cell:
    """Return a cell of a share in per cent, with a bar."""
    value = part / whole if whole else math.nan
    return number(value, figure_of_merit("", value), share=value)


def average_rows(averages: Mapping[str, Averages]) -> list[tuple[str, list[str]]]:
    """Return each criterion with precision, recall, F1 and error rate, micro, then macro."""
    rows = []
    for each in averages.values():
        cells = []
        for rates in (each.micro, each.macro):
            shares = (rates.precision, rates.recall, rates.f1)
            cells += [figure_of_merit("", value) for value in shares]
            cells.append(rate(rates.error_rate))
        rows.append((each.title, cells))
    return rows


def error_totals(counts: Mapping[str, ClassCounts]) -> tuple[str, ...]:
    """Return the sums of the columns of :func:`error_rows`."""
    names = ("truth", "found", "hits", "missed", "wrong", "false_alarms")
    sums = (sum(getattr(of, name) for of in counts.values()) for name in names)
    hits, found, truth = (
        sum(getattr(of, name) for of in counts.values()) for name in ("hits", "found", "truth")
    )
    return (
        *map(count, sums),
        rate(sum(of.false_alarms_per_hour for of in counts.values())),
        _share(hits, found).text,
        _share(hits, truth).text,
    )


def most_confused(confusion: Confusion, *, most: int) -> Confusion:
    """Return the matrix of the classes with most errors, in their order; the rest as one class.

    Args:
        confusion: of all classes.
        most: how many to keep; with so many or fewer, all are.
    """
    width = len(confusion.labels)
    if width <= most:
        return confusion
    counts = confusion.counts
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    kept = np.sort(np.argsort(-errors[:width], kind="stable")[:most])
    place = np.full(width + 1, most)
    place[kept] = np.arange(most)
    place[width] = most + 1
    merged = np.zeros((most + 2, most + 2), np.int64)
    np.add.at(merged, (place[:, None], place[None, :]), counts)
    labels = (*(confusion.labels[c] for c in kept.tolist()), f"{width - most} other classes")
    return Confusion(labels, merged)


def confusion_rows(
    confusion: Confusion,
) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[ConfusionCell, ...]], ...]]:
    """Return the heads of the columns, and for each row its head and its cells.

    A cell is coloured by the root of its share of the row, so that the few are seen beside the
    many.
    """
    labels = tuple(legible(label, LONGEST) for label in confusion.labels)
    totals = np.maximum(confusion.counts.sum(axis=1), 1)
    rows = []
    for r, values in enumerate(confusion.counts.tolist()):
        truth = labels[r] if r < len(labels) else "nothing"
        cells = []
        for c, n in enumerate(values):
            detected = labels[c] if c < len(labels) else "nothing"
            tip = f"{truth} detected as {detected}: {count(n)}" if n else ""
            strength = math.sqrt(n / totals[r])
            cells.append(ConfusionCell(count(n) if n else "", strength, r == c, tip))
        rows.append((truth, tuple(cells)))
    return (*labels, "nothing"), tuple(rows)
