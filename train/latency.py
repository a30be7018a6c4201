"""Accuracy against look-ahead of models that choose it when they are exported."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from streamsed.bundle.manifest import ClassPostprocessing
from train.ensemble import Ensemble
from train.held_out import HeldOut
from train.postprocess.metrics import ClassMetrics, measure

log = structlog.get_logger()

LOOK_AHEADS_S = (0.0, 0.25, 0.5, 1.0, 2.0)
FIGURES = {
    "psds1": "PSDS1",
    "psds2": "PSDS2",
    "event_f1": "event F1",
    "intersection_f1": "intersection F1",
}


@dataclass(frozen=True)
class Point:
    """What is reached with a look-ahead.

    Attributes:
        look_ahead_s: of the slowest member, as whole frames allow.
        reached: over all classes.
    """

    look_ahead_s: float
    reached: ClassMetrics


def distinct(ensemble: Ensemble) -> list[tuple[int, ...]]:
    """Return, shortest first, the frames that members look ahead at each of the curve's points.

    Points are fewer than :data:`LOOK_AHEADS_S` where windows allow no more, or where a member is
    trained to look further.
    """
    wanted: dict[int, tuple[int, ...]] = {}
    for frames in map(ensemble.at_most, LOOK_AHEADS_S):
        wanted.setdefault(max(frames), frames)
    return list(wanted.values())


def latency_curve(
    ensemble: Ensemble,
    held_out: HeldOut,
    *,
    postprocessing: Mapping[str, ClassPostprocessing],
    measured: Mapping[tuple[int, ...], ClassMetrics] | None = None,
) -> list[Point]:
    """Export with one look-ahead after another and replay the part that is reported.

    Args:
        ensemble: with a windowed member.
        held_out: recordings.
        postprocessing: by class, the same for all.
        measured: what is known already, by the frames that each member looks ahead; it is not
            replayed again.

    Raises:
        StreamsedError: a recording or the labels cannot be used.
    """
    wanted = distinct(ensemble)
    points: list[Point] = []
    for number, frames in enumerate(wanted, start=1):
        reached = (measured or {}).get(frames)
        if reached is None:
            with tempfile.TemporaryDirectory() as folder:
                bundle = Path(folder) / "at"
                ensemble.write(bundle, frames)
                replayed = held_out.replay(
                    bundle,
                    held_out.recipe.postprocessing.report,
                    title=f"look-ahead {number} of {len(wanted)}",
                )
            names = replayed.clips.names
            reached = measure(replayed, dict.fromkeys(names, postprocessing)).overall
        look_ahead_s = max(frames) * ensemble.frame_s
        points.append(Point(look_ahead_s, reached))
        log.info(
            f"look-ahead {number} of {len(wanted)}",
            look_ahead_s=round(look_ahead_s, 3),
            psds1=round(reached.psds1, 3),
        )
    return points


def curve_rows(points: Sequence[Point]) -> list[tuple[str, ...]]:
    """Return a row a point: look-ahead, then the figures in the order of :data:`FIGURES`."""
    return [
        (f"{p.look_ahead_s:.3f}", *(f"{getattr(p.reached, key):.3f}" for key in FIGURES))
        for p in points
    ]


def draw_latency(points: Sequence[Point], path: Path) -> None:
    """Draw the curve as a PNG."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for key, title in FIGURES.items():
        values = [getattr(point.reached, key) for point in points]
        axes.plot([point.look_ahead_s for point in points], values, marker="o", label=title)
    axes.set_xlabel("look-ahead in seconds")
    axes.set_ylim(bottom=0.0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=110, format="png")
