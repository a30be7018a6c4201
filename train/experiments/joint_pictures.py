"""Pictures of the joint framework: confusion of tags, and durations with the chosen point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from train.postprocess.windows import Durations, Rule, WindowConfig, class_window, find_knee

Shares = Mapping[str, Mapping[str, float | None]]
_COLUMNS = 5


def draw_confusions(found: Mapping[str, Sequence[Shares]], path: Path) -> None:
    """Draw heat maps of tagging side by side, each the mean of its seeds, as a PNG.

    Args:
        found: by title, of each seed the share of clips with a class that have each as a tag.
        path: of the picture; replaced in one go.
    """
    figure = Figure(figsize=(7.2 * len(found), 6.6), layout="constrained")
    FigureCanvasAgg(figure)
    image = None
    for axes, (title, seeds) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        labels, shares = list(seeds[0]), _mean(seeds)
        image = axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues")
        ticks, names = range(len(labels)), [label.replace("_", " ") for label in labels]
        axes.set_xticks(ticks, names, rotation=45, ha="right", fontsize="small")
        axes.set_yticks(ticks, names, fontsize="small")
        axes.set(title=title, xlabel="tag that is found", ylabel="class in the clip")
        for (row, column), share in np.ndenumerate(shares):
            if np.isfinite(share):
                colour = "white" if share > 0.6 else "black"
                text = f"{100.0 * share:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    if image is not None:
        figure.colorbar(image, ax=figure.axes, shrink=0.8, label="share of clips")
    _save(figure, path)


def _mean(seeds: Sequence[Shares]) -> NDArray[np.float64]:
    """Return the mean ``(C, C)`` of the seeds; NaN where no clip is."""
    each = [
        [[np.nan if share is None else share for share in row.values()] for row in shares.values()]
        for shares in seeds
    ]
    return np.asarray(np.array(each, np.float64).mean(axis=0))


def draw_durations(durations: Mapping[str, Durations], path: Path) -> None:
    """Draw each class's cumulative distribution of durations, the knee, and two means, as a PNG.

    They are the durations that windows are made of, before they are multiplied by eta.

    Args:
        durations: of training events, by class; a class without any has an empty plot.
        path: of the picture; replaced in one go.
    """
    rows = -(-len(durations) // _COLUMNS)
    columns = min(len(durations), _COLUMNS)
    figure = Figure(figsize=(3.2 * columns, 2.9 * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (label, of_class) in zip(places, durations.items(), strict=False):
        _draw_class(axes, label, of_class)
    for axes in places[len(durations) :]:
        axes.set_visible(False)
    handles = {
        text: handle
        for axes in places
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=4, fontsize="small"
    )
    figure.supxlabel("duration, s", fontsize="small")
    figure.supylabel("share of events that are no longer", fontsize="small")
    _save(figure, path)


def _draw_class(axes: Any, label: str, durations: Durations) -> None:
    lengths = np.sort(durations.durations_s)
    axes.set_title(f"{label.replace('_', ' ')}, {len(lengths)} events", fontsize="small")
    axes.set_ylim(0.0, 1.05)
    axes.grid(visible=True, alpha=0.3)
    if not len(lengths):
        return
    shares = np.arange(1, len(lengths) + 1) / len(lengths)
    axes.step(lengths, shares, where="post", color="C0", label="events")
    if (knee := find_knee(lengths, WindowConfig())) is not None:
        axes.plot(lengths[knee - 1], shares[knee - 1], "o", color="C3", label="knee")
    # The wider line shows beside the other where both are the same.
    for rule, text, style in (
        (Rule.MEAN, "mean of all (Avg)", {"color": "C2", "linewidth": 4.0, "alpha": 0.5}),
        (Rule.KNEE, "mean up to the knee (ESP)", {"color": "black", "linewidth": 1.2}),
    ):
        window = class_window(label, durations, WindowConfig(rule=rule, eta=1.0))
        axes.axvline(window.window_s, label=text, **style)
    axes.set_xlim(left=0.0)


def _save(figure: Figure, path: Path) -> None:
    part = path.with_suffix(".part")
    figure.savefig(part, dpi=100, format="png")
    part.replace(path)
