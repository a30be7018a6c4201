"""Charts over operating points: PSD-ROC, and F1 against the threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from streamsed.evaluate.evaluation import RocCurve, ThresholdCurve
from streamsed.evaluate.report.theme import LINES, Tone, axes, svg
from streamsed.evaluate.report.wording import LONGEST, figure_of_merit, legible

DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
"""Line styles that distinguish curves without colour."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart, for its legend.

    Attributes:
        element: id of the line in the SVG.
        label: its class.
        colour: the CSS variable without dashes; empty where lines do not differ in colour.
        note: its value at the right end.
    """

    element: str
    label: str
    colour: str
    note: str


@dataclass(frozen=True, slots=True)
class RocChart:
    """A PSD-ROC chart and its legend."""

    title: str
    area: str
    chart: Markup
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ThresholdChart:
    """F1 of one class, or of all, over the threshold.

    Attributes:
        best: the highest value of each curve, in words.
        operating: the threshold in use, in words; empty if it is not known.
    """

    label: str
    chart: Markup
    best: tuple[str, ...]
    operating: str


def roc_chart(curve: RocCurve, *, value: float, name: str) -> RocChart:
    """Draw a PSD-ROC: a thin staircase a class, a thick one for the effective rate.

    Args:
        curve: staircases.
        value: the area under it.
        name: begins the ids in the SVG.
    """
    coloured = len(curve.per_class) <= len(LINES)
    figure = Figure(figsize=(4.8, 3.3))
    plot = axes(figure, left=0.55, right=0.15, bottom=0.5, top=0.12)
    lines = []
    for index, (label, ratios) in enumerate(curve.per_class.items()):
        tone = LINES[index] if coloured else Tone.MUTED
        x, y = staircase(curve.efpr, ratios, end=curve.max_efpr)
        plot.plot(
            x, y, color=tone, linewidth=1.1, alpha=1.0 if coloured else 0.55, gid=f"class{index}"
        )
        end = f"{y[-1]:.2f}" if np.isfinite(y[-1]) else "no truth"
        variable = tone.name.lower() if coloured else ""
        lines.append(Line(f"{name}-class{index}", legible(label, LONGEST), variable, end))
    x, y = staircase(curve.efpr, curve.effective_tpr, end=curve.max_efpr)
    plot.fill_between(x, y, color=Tone.INK, alpha=0.08, linewidth=0)
    plot.plot(x, y, color=Tone.INK, linewidth=2.8, gid="effective")
    plot.set(
        xlim=(0, curve.max_efpr),
        ylim=(0, 1.015),
        xlabel="effective false positives per hour",
        ylabel="true positive ratio",
    )
    plot.grid(visible=True)
    plot.set_axisbelow(True)
    area = figure_of_merit(curve.key, value)
    text = f"{legible(curve.title)}: PSD-ROC curves of {len(lines)} classes; area {area}"
    return RocChart(legible(curve.title), area, svg(figure, name=name, text=text), tuple(lines))


def staircase(
    rates: NDArray[np.float64], ratios: NDArray[np.float64], *, end: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the corners of a staircase that begins at 0, steps after each point, ends at ``end``.

    Args:
        rates: ``(E,)`` rising.
        ratios: ``(E,)``.
        end: points beyond it are left out.

    Returns:
        x and y, both ``(2 n + 2,)`` for the n points up to ``end``.
    """
    inside = rates <= end
    values = np.concatenate([[0.0], ratios[inside]])
    steps = rates[inside]
    return np.concatenate([[0.0], np.repeat(steps, 2), [end]]), np.repeat(values, 2)


def threshold_charts(
    curves: Sequence[ThresholdCurve],
    *,
    operating: Mapping[str, float],
    labels: Sequence[str] | None = None,
) -> tuple[ThresholdChart, ...]:
    """Draw small charts: all classes together, then each that has truth; a line for each curve.

    Args:
        curves: of the same classes.
        operating: thresholds in use by class.
        labels: classes to draw a chart of; None for all.
    """
    panels: list[tuple[str, list[NDArray[np.float64]], float | None]] = [
        ("All classes (macro)", [c.macro for c in curves], None)
    ]
    every = dict.fromkeys(label for curve in curves for label in curve.per_class)
    for label in every if labels is None else labels:
        values = [c.per_class.get(label, np.full_like(c.thresholds, np.nan)) for c in curves]
        panels.append((label, values, operating.get(label)))
    return tuple(
        _threshold_chart(curves, label, values, mark=mark, name=f"threshold{index}")
        for index, (label, values, mark) in enumerate(panels)
        if any(np.isfinite(v).any() for v in values)
    )


def _threshold_chart(
    curves: Sequence[ThresholdCurve],
    label: str,
    values: Sequence[NDArray[np.float64]],
    *,
    mark: float | None,
    name: str,
) -> ThresholdChart:
    figure = Figure(figsize=(3.1, 1.75))
    plot = axes(figure, left=0.4, right=0.12, bottom=0.3, top=0.08)
    best = []
    if mark is not None:
        plot.axvline(mark, color=Tone.INK, linewidth=1)
    for curve, f1, tone, dash in zip(curves, values, LINES, DASHES * 3, strict=False):
        plot.plot(curve.thresholds, f1, color=tone, linewidth=1.6, linestyle=dash)
        if np.isfinite(f1).any():
            top = int(np.nanargmax(f1))
            at = float(curve.thresholds[top])
            plot.plot(at, f1[top], "o", color=tone, markersize=4.5, clip_on=False)
            best.append(f"{figure_of_merit(curve.key, float(f1[top]))} at {at:.2f}")
    plot.set(xlim=(0, 1), ylim=(0, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    plot.grid(visible=True)
    plot.set_axisbelow(True)
    text = f"F1 of {legible(label)} against the threshold; best: {', '.join(best)}"
    return ThresholdChart(
        label=legible(label, LONGEST),
        chart=svg(figure, name=name, text=text),
        best=tuple(best),
        operating="" if mark is None else f"{mark:.2f}",
    )
