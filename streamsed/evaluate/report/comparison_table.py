"""The other run beside this one, as tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

from streamsed.evaluate.comparison import Comparison, Difference
from streamsed.evaluate.report.class_tables import Cell, number
from streamsed.evaluate.report.wording import LONGEST, NOTHING, figure_of_merit, legible

_KEYS = ("psds1", "psds2", "event_f1", "segment_f1")
"""Metrics that are compared class by class."""


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """A metric, or a class: this run, the other, and the change."""

    title: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class ComparisonTable:
    """Two runs side by side.

    Attributes:
        other: where the other is from.
        doubts: why they may not be comparable.
        rows: a row a metric: this run, the other, the change.
        class_heads: titles of the metrics that are compared class by class.
        class_rows: a row a class: the change of each of these metrics.
    """

    other: str
    doubts: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]
    class_heads: tuple[str, ...]
    class_rows: tuple[ComparisonRow, ...]


def comparison_table(comparison: Comparison) -> ComparisonTable:
    """Return the comparison in words and figures."""
    by_class = [d for d in comparison.differences if d.key in _KEYS and d.per_class]
    labels = dict.fromkeys(label for d in by_class for label in d.per_class)
    return ComparisonTable(
        other=legible(str(comparison.other)),
        doubts=tuple(map(legible, comparison.doubts)),
        rows=tuple(_row(each) for each in comparison.differences),
        class_heads=tuple(each.title for each in by_class),
        class_rows=tuple(
            ComparisonRow(
                legible(label, LONGEST),
                tuple(_change(d.key, _less(*d.per_class[label])) for d in by_class),
            )
            for label in labels
        ),
    )


def change_of_merit(key: str, change: float) -> str:
    """Word a change: PSDS +0.0123, F1 -1.4 points of per cent."""
    if not math.isfinite(change):
        return NOTHING
    sign = "+" if change > 0 else "\N{MINUS SIGN}" if change < 0 else "\N{PLUS-MINUS SIGN}"
    return sign + (f"{abs(change):.4f}" if "psds" in key else f"{100 * abs(change):.1f} %")


def _row(each: Difference) -> ComparisonRow:
    values = (each.value, each.other)
    return ComparisonRow(
        each.title,
        (
            *(number(value, figure_of_merit(each.key, value)) for value in values),
            _change(each.key, each.change),
        ),
    )


def _change(key: str, change: float) -> Cell:
    return number(change, change_of_merit(key, change), share=min(1.0, abs(change)))


def _less(value: float, other: float) -> float:
    return value - other
