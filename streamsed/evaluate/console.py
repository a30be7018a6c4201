"""Figures of an evaluation as tables for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamsed.printable import printable, printable_lines

if TYPE_CHECKING:
    from streamsed.evaluate.comparison import Comparison
    from streamsed.evaluate.evaluation import (
        Averages,
        ClassLatency,
        Evaluation,
        Interval,
        Metric,
        Rates,
    )

NONE = "-"
"""What stands in place of a figure that is not defined."""
WIDTH_ON_PAPER = 120
_INTERVAL = "interval"
_QUANTILES = (0.5, 0.9, 0.99)


def figures_console() -> Console:
    """Return a console for standard output; a file or pipe has room for whole tables."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_ON_PAPER)


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print what was measured: headline figures, then class by class, then what to know of them.

    Beside each figure stand its parameters and the library that computed it.
    """
    classes = evaluation.classes
    console.print(
        _plural(evaluation.recordings, "recording")
        + f", {_length(evaluation.hours)}, {_plural(len(classes), 'class', 'classes')}"
    )
    if evaluation.metrics:
        console.print(_headline(evaluation.metrics))
        for some in _groups(evaluation.metrics, classes, width=console.width):
            console.print(_by_class(some, classes))
    if evaluation.averages:
        console.print(_averages(evaluation.averages))
        if "event" in evaluation.averages:
            console.print(_rates_by_class(evaluation.averages["event"]))
    if evaluation.counts:
        console.print(_errors(evaluation))
    if evaluation.latency:
        console.print(_latencies(evaluation.latency, classes))
    for note in evaluation.notes:
        console.print(Text(printable(f"note: {note}")), soft_wrap=not console.is_terminal)


def _headline(metrics: Sequence[Metric]) -> Table:
    table = _table("Overall", ("", "value", "interval", "computed with"), texts=(0, 3))
    for metric in metrics:
        parameters = ", ".join(
            f"{name} {_plain(value)}"
            for name, value in metric.parameters.items()
            if name != _INTERVAL  # the same for all: printed below the table
        )
        how = f"{metric.computed_by}: {parameters}" if parameters else metric.computed_by
        _add(
            table,
            metric.title,
            _value(metric.key, metric.value),
            _interval(metric.key, metric.interval),
            how,
        )
    levels = sorted({m.interval.level for m in metrics if m.interval is not None})
    if levels:
        shown = " and ".join(f"{100 * level:g} %" for level in levels)
        table.columns[2].header = f"{shown} interval"
    by = dict.fromkeys(str(m.parameters[_INTERVAL]) for m in metrics if _INTERVAL in m.parameters)
    if by:
        table.caption = f"Intervals: {'; '.join(by)}.\n"
        table.caption_justify = "left"
    return table


def _groups(
    metrics: Sequence[Metric], classes: Iterable[str], *, width: int
) -> list[Sequence[Metric]]:
    """Part the metrics so that a table of each part fits into ``width``."""
    room = width - max((len(label) for label in classes), default=0) - 3
    groups: list[list[Metric]] = [[]]
    left = room
    for metric in metrics:
        needed = max(map(len, (*metric.key.split("_"), "100.0 %"))) + 2
        if needed > left and groups[-1]:
            groups.append([])
            left = room
        groups[-1].append(metric)
        left -= needed
    return list(groups)


def _by_class(metrics: Sequence[Metric], classes: Iterable[str]) -> Table:
    heads = ("class", *(metric.key.replace("_", "\n") for metric in metrics))
    table = _table("By class", heads)
    for label in classes:
        values = (_value(m.key, m.per_class.get(label, math.nan)) for m in metrics)
        _add(table, label, *values)
    return table


def _averages(averages: Mapping[str, Averages]) -> Table:
    names = ("precision", "recall", "F1", "error rate")
    table = _table(
        "Precision, recall and error rate (deletions and insertions, without substitutions)",
        ("", *(f"micro\n{name}" for name in names), *(f"macro\n{name}" for name in names)),
    )
    for each in averages.values():
        cells = [cell for rates in (each.micro, each.macro) for cell in _rates(rates)]
        _add(table, each.title, *cells)
    return table


def _rates_by_class(averages: Averages) -> Table:
    table = _table(
        f"{averages.title}, by class", ("class", "precision", "recall", "F1", "error rate")
    )
    for label, rates in averages.per_class.items():
        _add(table, label, *_rates(rates))
    return table


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print this run beside the other, and what makes them hard to compare."""
    table = _table(f"Compared with {comparison.other}", ("", "this run", "other run", "change"))
    for each in comparison.differences:
        change = NONE if math.isnan(each.change) else _signed(each.key, each.change)
        values = (_value(each.key, value) for value in (each.value, each.other))
        _add(table, each.title, *values, change)
    console.print(table)
    for doubt in comparison.doubts:
        console.print(
            Text(printable(f"not comparable: {doubt}")), soft_wrap=not console.is_terminal
        )


def _signed(key: str, change: float) -> str:
    return f"{change:+.4f}" if "psds" in key else f"{100 * change:+.1f} %"


def _rates(rates: Rates) -> list[str]:
    shares = [_value("", value) for value in (rates.precision, rates.recall, rates.f1)]
    return [*shares, NONE if math.isnan(rates.error_rate) else f"{rates.error_rate:.3f}"]


def _errors(evaluation: Evaluation) -> Table:
    table = _table(
        "Event-based errors; false alarms touch no truth",
        ("class", "truth", "found", "hits", "missed", "wrong", "false\nalarms", "per\nhour"),
    )
    rows = [evaluation.counts[c] for c in evaluation.classes if c in evaluation.counts]
    names = [c for c in evaluation.classes if c in evaluation.counts]
    for name, of in zip(names, rows, strict=True):
        counts = (of.truth, of.found, of.hits, of.missed, of.wrong, of.false_alarms)
        _add(table, name, *map(str, counts), _rate(of.false_alarms_per_hour))
    sums = (
        sum(getattr(of, name) for of in rows)
        for name in ("truth", "found", "hits", "missed", "wrong", "false_alarms")
    )
    table.add_section()
    _add(table, "all", *map(str, sums), _rate(sum(of.false_alarms_per_hour for of in rows)))
    return table


def _latencies(latency: Mapping[str, ClassLatency], classes: Iterable[str]) -> Table:
    quantiles = tuple(f"p{100 * q:g}" for q in _QUANTILES)
    heads = ("class", *(f"onset\n{x}" for x in ("n", *quantiles)))
    table = _table(
        "Latency of messages after the truth, in seconds of audio",
        (*heads, *(f"offset\n{x}" for x in ("n", *quantiles))),
    )
    for label in classes:
        if label in latency:
            of = latency[label]
            cells = (cell for delays in (of.onset_s, of.offset_s) for cell in _spread(delays))
            _add(table, label, *cells)
    return table


def _spread(delays_s: Iterable[float]) -> list[str]:
    values = np.asarray(list(delays_s), np.float64)
    if not values.size:
        return ["0", *(NONE for _ in _QUANTILES)]
    return [str(values.size), *(f"{q:.2f}" for q in np.quantile(values, _QUANTILES))]


def _value(key: str, value: float) -> str:
    """Write a figure as the field does: PSDS from 0 to 1, everything else in per cent."""
    if math.isnan(value):
        return NONE
    return f"{value:.4f}" if "psds" in key else f"{100 * value:.1f} %"


def _interval(key: str, interval: Interval | None) -> str:
    if interval is None or math.isnan(interval.low) or math.isnan(interval.high):
        return NONE
    if "psds" in key:
        return f"{interval.low:.3f} to {interval.high:.3f}"
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %"


def _rate(per_hour: float) -> str:
    return NONE if math.isnan(per_hour) else f"{per_hour:.{2 if per_hour < 100 else 0}f}"


def _plain(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _length(hours: float) -> str:
    if hours >= 1.0:
        return f"{hours:.2f} h of audio"
    return f"{60 * hours:.1f} min of audio" if hours >= 1 / 60 else f"{3600 * hours:.1f} s of audio"


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _table(title: str, heads: Iterable[str], *, texts: Sequence[int] = (0,)) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for number, head in enumerate(heads):
        text = number in texts  # which gives way on a narrow terminal; figures do not
        table.add_column(
            Text(printable_lines(head)),
            justify="left" if text else "right",
            no_wrap=not text,
            overflow="fold",
        )
    return table


def _add(table: Table, *cells: str) -> None:
    """Add a row of plain text: labels may hold what rich would take for markup."""
    table.add_row(*(Text(printable(cell)) for cell in cells))
