"""Pictures of a run: the parts of its loss, and the figures of its networks, over the steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

STYLES = ("-", "--", ":", "-.")
"""Of the networks, in their order."""
WATCHED = "embedding_"
"""Figures whose names begin so measure no result; they are drawn apart."""


def draw_curves(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw a history's curves as a PNG; replaces the file in one go.

    Args:
        records: as :class:`train.engine.training_log.TrainingLog` writes them.
        path: of the picture.
    """
    validations = [record for record in records if record["kind"] == "validation"]
    names = {name for record in validations for of in record["figures"].values() for name in of}
    watched = {name for name in names if name.startswith(WATCHED)}
    figure = Figure(figsize=(16.5 if watched else 11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    losses, figures, *further = figure.subplots(1, 3 if watched else 2)
    _draw_losses(losses, [record for record in records if record["kind"] == "losses"])
    _draw_figures(figures, validations, names - watched, title="Validation")
    for axes in further:
        _draw_figures(axes, validations, watched, title="Embeddings that are distilled")
    part = path.with_suffix(".part")
    figure.savefig(part, dpi=110, format="png")
    part.replace(path)


def _draw_losses(axes: Any, records: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(name for record in records for name in record["losses"]))
    for name in names:
        points = [(r["step"], r["losses"][name]) for r in records if name in r["losses"]]
        wide = 2.0 if name == "loss" else 1.1
        axes.plot(*zip(*points, strict=True), label=name.replace("_", " "), linewidth=wide)
    values = [value for record in records for value in record["losses"].values()]
    if any(value > 0.0 for value in values) and min(values) >= 0.0:  # others are in dB
        axes.set_yscale("log")
    _finish(axes, title="Training loss, mean since the point before", any_line=bool(names))


def _draw_figures(
    axes: Any, records: Sequence[Mapping[str, Any]], names: Collection[str], *, title: str
) -> None:
    colours: dict[str, str] = {}
    networks = dict.fromkeys(name for record in records for name in record["figures"])
    for network, style in zip(networks, cycle(STYLES), strict=False):
        of_network = [
            (record["step"], record["figures"][network])
            for record in records
            if network in record["figures"]
        ]
        for name in of_network[0][1] if of_network else ():
            if name not in names:
                continue
            points = [(step, f[name]) for step, f in of_network if f[name] is not None]
            if not points:
                continue
            colour = colours.setdefault(name, f"C{len(colours)}")
            label = f"{network}: {name.replace('_', ' ').replace('f1', 'F1')}"
            marker = "o" if len(points) == 1 else None
            axes.plot(*zip(*points, strict=True), style, color=colour, label=label, marker=marker)
    _finish(axes, title=title, any_line=bool(colours))
    if axes.get_ylim()[0] > 0.0 or axes.dataLim.ymin >= 0.0:
        axes.set_ylim(bottom=0.0)


def _finish(axes: Any, *, title: str, any_line: bool) -> None:
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.grid(visible=True, alpha=0.3)
    if any_line:
        axes.legend(fontsize="small")
