"""One picture: spectrogram, and for each class truth, detections and score, on one time axis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from streamsed.evaluate.report.spectrogram import BANDS, band_edges_hz, mel
from streamsed.evaluate.report.theme import Tone, axes, svg
from streamsed.evaluate.report.wording import legible

Event = tuple[float, float, bool]
"""Onset and offset in seconds, and whether it matches."""

_WIDTH_IN = 10.5
_SPECTROGRAM_IN = 1.55
_ROW_IN = 0.36
_SCORE_IN = 0.3
_BETWEEN_IN = 0.1
_STEPS = 600
"""Score steps drawn at most; more are joined by their maximum."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassRow:
    """What a class does.

    Attributes:
        label: its name.
        truth: matched, or missed.
        detections: hits, or wrong.
        edges_s: ``(T + 1,)`` of the frames.
        scores: ``(T,)``; empty if there are none.
        threshold: on the scores; None if not known.
    """

    label: str
    truth: tuple[Event, ...]
    detections: tuple[Event, ...]
    edges_s: NDArray[np.float64]
    scores: NDArray[np.float32]
    threshold: float | None

    @property
    def events(self) -> int:
        """Events of both kinds."""
        return len(self.truth) + len(self.detections)

    @property
    def errors(self) -> int:
        """Events of both kinds that do not match."""
        return sum(not matched for *_, matched in (*self.truth, *self.detections))


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What is drawn.

    Attributes:
        level: ``(BANDS, T)`` dB; None without audio.
        sample_rate: of the audio; 0 without.
    """

    begin_s: float
    end_s: float
    level: NDArray[np.float32] | None
    sample_rate: int
    rows: tuple[ClassRow, ...]


def margin_in(labels: Iterable[str]) -> float:
    """Return the room that names need left of the time axis, in inches."""
    longest = max((len(_short(label)) for label in labels), default=0)
    return 0.62 + 0.082 * longest


def draw(scene: Scene, *, margin: float, name: str, text: str) -> Markup:
    """Return the picture as SVG.

    Args:
        scene: what to draw.
        margin: see :func:`margin_in`; the same for all pictures, so that their axes line up.
        name: begins the ids in the SVG.
        text: the text for a reader that cannot see it.
    """
    scored = any(len(row.scores) for row in scene.rows)
    row_in = _ROW_IN + (_SCORE_IN if scored else 0.0) + _BETWEEN_IN
    top_in = 0.06 if scene.level is None else _SPECTROGRAM_IN + 0.16
    rows_in = max(0.2, len(scene.rows) * row_in)
    height_in = top_in + rows_in + 0.46
    figure = Figure(figsize=(_WIDTH_IN, height_in))
    bottom = axes(figure, left=margin, right=0.1, bottom=0.46, top=top_in)
    bottom.set(
        xlim=(scene.begin_s, scene.end_s),
        ylim=(rows_in, -_BETWEEN_IN / 2),
        yticks=(),
        xlabel="seconds",
    )
    bottom.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10]))
    bottom.spines["left"].set_visible(False)
    bottom.spines["bottom"].set_gid("time")
    bottom.grid(visible=True, axis="x")
    bottom.set_axisbelow(True)
    for i, row in enumerate(scene.rows):
        _draw_row(bottom, row, top=i * row_in, scored=scored)
    if scene.level is not None:
        upper = axes(
            figure, left=margin, right=0.1, bottom=height_in - 0.06 - _SPECTROGRAM_IN, top=0.06
        )
        _draw_spectrogram(upper, scene)
    return svg(figure, name=name, text=text)


def _draw_spectrogram(plot: Axes, scene: Scene) -> None:
    assert scene.level is not None
    plot.imshow(
        np.round(scene.level / 2) * 2,  # steps of 2 dB: no eye sees less, and it is half the size
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-70,
        vmax=0,
        extent=(scene.begin_s, scene.end_s, 0, BANDS),
        interpolation="none",  # as it is, for the browser to scale
    )
    centres = mel(band_edges_hz(scene.sample_rate)[1:-1])
    hz = [f for f in (125, 500, 1000, 2000, 4000, 8000) if mel(f) < centres[-1]]
    places = np.interp(mel(np.array(hz, float)), centres, np.arange(BANDS) + 0.5)
    plot.set_yticks(places, [f"{f} Hz" if f < 1000 else f"{f // 1000} kHz" for f in hz])
    plot.set_xticks(())
    for spine in plot.spines.values():
        spine.set_visible(False)


def _draw_row(plot: Axes, row: ClassRow, *, top: float, scored: bool) -> None:
    """Draw truth, detections and score below each other, from ``top`` inches down."""
    half, bar = _ROW_IN / 2, _ROW_IN / 2 - 0.04
    bottom = top + _ROW_IN + (_SCORE_IN if scored else 0.0)
    _bars(plot, row.truth, top=top, height=bar, tone=Tone.TRUTH, hatch=None)
    _bars(plot, row.detections, top=top + half, height=bar, tone=Tone.HIT, hatch="//////")
    axis = plot.get_yaxis_transform()
    names = [("true", top + bar / 2), ("found", top + half + bar / 2)]
    if len(row.scores):
        base = bottom - 0.02
        values, edges = coarser(row.scores, row.edges_s)
        plot.stairs(
            base - values * (_SCORE_IN - 0.04),
            edges,
            baseline=base,
            fill=True,
            facecolor=Tone.SCORE,
            edgecolor=Tone.SCORE,
            linewidth=0.8,
            alpha=0.75,
        )
        names.append(("score", base - _SCORE_IN / 2 + 0.02))
        if row.threshold is not None:
            plot.axhline(
                base - row.threshold * (_SCORE_IN - 0.04),
                color=Tone.INK,
                linewidth=0.8,
                linestyle=(0, (4, 3)),
            )
    for word, y in names:
        plot.text(
            -0.006, y, word, transform=axis, ha="right", va="center", color=Tone.MUTED, fontsize=8
        )
    plot.annotate(
        _short(row.label),
        (0, (top + bottom) / 2),
        xycoords=axis,
        xytext=(-38, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=9.5,
        annotation_clip=False,
    )
    plot.axhline(bottom + _BETWEEN_IN / 2, color=Tone.GRID, linewidth=0.8)


def _bars(
    plot: Axes,
    events: tuple[Event, ...],
    *,
    top: float,
    height: float,
    tone: Tone,
    hatch: str | None,
) -> None:
    """Draw what matches filled, and what does not as an outline, hatched or empty."""
    for matched in (True, False):
        spans = [(on, off - on) for on, off, right in events if right == matched]
        if not spans:
            continue
        plot.broken_barh(
            spans,
            (top, height),
            facecolor=tone if matched else "none",
            edgecolor=tone if matched or hatch is None else Tone.WRONG,
            hatch=None if matched else hatch,
            linewidth=1.3,
            zorder=3,
        )


def _short(label: str) -> str:
    return legible(label, 28)


def coarser(
    scores: NDArray[np.float32], edges_s: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Join frames by their maximum until no more than 600 are left; peaks stay.

    Args:
        scores: ``(T,)``.
        edges_s: ``(T + 1,)``.
    """
    step = -(-len(scores) // _STEPS)
    starts = np.arange(0, len(scores), step)
    return np.maximum.reduceat(scores, starts), np.append(edges_s[starts], edges_s[-1])
