"""The model card: what a bundle is, what it was trained on, what it reaches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from train.data.sets.scenes import ScenesConfig
from train.data.soundscape_set import SOURCES
from train.ensemble import Ensemble
from train.held_out import HeldOut, SourceRow
from train.latency import FIGURES, Point, curve_rows
from train.postprocess.metrics import ClassMetrics, Metrics
from train.rules import FittedRules

WORKS_INTERSECTION_F1, WORKS_EVENT_F1 = 0.5, 0.25
"""A class that reaches both counts as working."""
FAILS_INTERSECTION_F1, FAILS_FALSE_ALARMS = 0.25, 60.0
"""A class below the first, or above the second an hour, counts as not working."""
FEW_RECORDINGS = 12
"""Figures of a class with fewer recordings mean little for others of its kind."""


@dataclass(frozen=True, kw_only=True)
class CardContent:
    """All that a card states.

    Attributes:
        name: of the bundle.
        ensemble: its members.
        held_out: what it was fitted to and is reported on.
        look_ahead: frames of each member.
        differences: largest of each member's graph to PyTorch.
        fitted: thresholds and windows that ship.
        figures: measured with them.
        alone: what each of several members reaches by itself, fitted by itself.
        events: true events by class.
        recordings: that figures are of.
        hours: of audio.
        points: accuracy against look-ahead; none if it cannot be chosen.
        picture: file of that.
        sources: recordings trained on.
        history: earlier versions and what they reached.
        command: that prints the figures.
    """

    name: str
    ensemble: Ensemble
    held_out: HeldOut
    look_ahead: Sequence[int]
    differences: Mapping[str, float]
    fitted: FittedRules
    figures: Metrics
    alone: Mapping[str, Metrics]
    events: Mapping[str, int]
    recordings: int
    hours: float
    points: Sequence[Point]
    picture: str
    sources: Sequence[SourceRow]
    history: Sequence[Mapping[str, Any]]
    command: str


def write_card(content: CardContent) -> str:
    """Return the card as Markdown."""
    ensemble = content.ensemble
    ahead_s = max(content.look_ahead) * ensemble.frame_s
    head = (
        f"Detects {len(ensemble.classes)} sound events in a stream: {', '.join(ensemble.classes)}. "
        f"One step takes {ensemble.chunk_s:.3f} s of {ensemble.sample_rate / 1000:g} kHz mono and "
        f"scores frames of {ensemble.frame_s * 1e3:.0f} ms, {ahead_s:.3f} s behind its end."
    )
    sections = {
        "Members": _members(content),
        "Trained on": "\n\n".join(_trained_on(content)),
        "What it reaches": "\n\n".join(_reached(content)),
        "Accuracy against look-ahead": _look_ahead(content),
        "Thresholds and windows": _rules(content),
        "Sources and licences": _sources(content),
        "History": _history(content),
    }
    parts = [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    return "\n\n".join([f"# {content.name}", head, *parts]) + "\n"


def _members(content: CardContent) -> str:
    return _table(
        (
            "member",
            "model",
            "parameters",
            "weight",
            "look-ahead s",
            "steps",
            "from PyTorch at most",
        ),
        [
            (
                member.name,
                member.model.config.kind,
                f"{member.parameters:,}",
                f"{member.weight:g}",
                f"{frames * content.ensemble.frame_s:.3f}",
                member.checkpoint.step,
                f"{content.differences[member.name]:.1e}",
            )
            for member, frames in zip(content.ensemble.members, content.look_ahead, strict=True)
        ],
    )


def _trained_on(content: CardContent) -> Iterator[str]:
    data, held_out = content.held_out.recipe.data, content.held_out
    for member in content.ensemble.members:
        run = member.run
        counts = "" if run is None else ", ".join(f"{n} {name}" for name, n in run.clips.items())
        what = f" ({counts})" if counts else ""
        yield f"{member.name}: `{member.trained_by(held_out.recipe.name)}`{what}."
    minutes = sum(row[3] for row in content.sources) / 60
    if isinstance(data, ScenesConfig):
        shares = ", ".join(
            f"{label} ({spec.synthetic_share:.0%})"
            for label, spec in data.soundscape.plans.items()
            if spec.synthetic_share
        )
        yield (
            f"Soundscapes mixed anew for every step from {minutes:.0f} minutes of the recordings "
            "listed below and from procedural synthesis (`train/synthesis`), which stands in for a "
            f"share of some classes, and for all of one without recordings: {shares}. Rooms are "
            "simulated or recorded, levels and backgrounds random. No recording "
            "stands in both training and validation."
        )
    elif held_out.synthetic:
        yield (
            f"The clips are soundscapes mixed from {minutes:.0f} minutes of the recordings listed "
            "below and from procedural synthesis (`train/synthesis`). No recording stands in both "
            "training and validation."
        )
    if held_out.synthetic:
        yield (
            "It has never been trained on recordings of real homes, and nothing here says how well "
            "it does there."
        )


def _reached(content: CardContent) -> Iterator[str]:
    config = content.held_out.recipe.postprocessing
    mixed = (
        content.held_out.synthetic and SOURCES[config.part].split == SOURCES[config.report].split
    )
    other = "other scenes of the same recordings" if mixed else f"the part `{config.part}`"
    yield (
        f"{content.recordings} clips of the part `{config.report}`, {content.hours:.2f} hours, of "
        f"recordings that nothing was trained on; thresholds were fitted on {other}. Measured "
        "through the runtime with the thresholds below. Where the data set lies in DATA, "
        f"`{content.command}` prints it."
    )
    if isinstance(content.held_out.recipe.data, ScenesConfig):
        data = content.held_out.recipe.data
        yield (
            f"`streamsed-train soundscapes -o DATA --bank BANK --duration {data.duration_s:g} "
            f"--{config.report} {data.held_out_clips}` writes these scenes."
        )
    systems = {**content.alone, "all together" if content.alone else content.name: content.figures}
    yield _table(
        ("system", *FIGURES.values()),
        [
            (name, *(f"{getattr(one.overall, key):.3f}" for key in FIGURES))
            for name, one in systems.items()
        ],
    )
    if content.alone:
        yield "A member alone has thresholds and windows of its own, fitted in the same way."
    yield _table(
        ("class", "events", *FIGURES.values(), "false alarms an hour", "verdict"),
        [
            (
                label,
                content.events[label],
                *(_two(getattr(one, key)) for key in FIGURES),
                f"{one.false_alarms_per_hour:.1f}",
                _verdict(one),
            )
            for label, one in content.figures.classes.items()
        ],
    )
    yield (
        "Event F1: onset within 200 ms, offset within 200 ms or 20 % of the length. Intersection "
        "F1: half of the event found, half of the detection true. PSDS of a class: its own area, "
        "without the penalty for variation between classes. A false alarm meets no event of its "
        f"class. A class works from an intersection F1 of {WORKS_INTERSECTION_F1} with an event F1 "
        f"of {WORKS_EVENT_F1}, and does not below {FAILS_INTERSECTION_F1} or beyond "
        f"{FAILS_FALSE_ALARMS:.0f} false alarms an hour."
    )
    yield from _few(content)


def _few(content: CardContent) -> Iterator[str]:
    """Name the classes that have next to nothing to validate on."""
    bank = content.held_out.bank
    if bank is None:
        return
    counts = {
        label: len({c.recording for c in bank.select("foreground", split="valid", label=label)})
        for label in content.ensemble.classes
    }
    if none := [label for label, count in counts.items() if not count]:
        yield f"{', '.join(none)}: validated on synthetic sounds alone, never on real ones."
    few = [f"{label} {count}" for label, count in counts.items() if 0 < count < FEW_RECORDINGS]
    if few:
        yield (
            f"Validation recordings are few ({', '.join(few)}): figures of these classes say "
            "little about others of their kind."
        )


def _look_ahead(content: CardContent) -> str:
    if not content.points:
        return ""
    table = _table(("look-ahead s", *FIGURES.values()), curve_rows(content.points))
    return (
        f"![]({content.picture})\n\n{table}\n\nThe same recordings, thresholds and windows; "
        "`--latency` of `streamsed-train export` chooses."
    )


def _rules(content: CardContent) -> str:
    config = content.held_out.recipe.postprocessing
    table = _table(
        ("class", "enter", "exit", "median s", "min on s", "min off s"),
        [
            (label, p.enter, p.exit, *(f"{s:.2f}" for s in (p.median_s, p.min_on_s, p.min_off_s)))
            for label, p in content.fitted.rules.items()
        ],
    )
    notes = "".join(f"\n- {note}" for note in content.fitted.notes)
    return (
        f"{table}\n\nFitted on the part `{config.part}` for {content.fitted.objective}. "
        f"Median windows: {content.fitted.windows}." + (f"\n{notes}" if notes else "")
    )


def _sources(content: CardContent) -> str:
    if not content.sources:
        return "The data set says nothing of sources and licences; those of its makers hold."
    table = _table(("source", "licence", "clips", "seconds"), content.sources)
    return f"Sources under CC BY ask for attribution: this table gives it.\n\n{table}"


def _history(content: CardContent) -> str:
    if not content.history:
        return ""
    rows = [
        (row["version"], row["recipe"], *(_three(row.get(key)) for key in FIGURES))
        for row in content.history
    ]
    table = _table(("version", "recipe", *FIGURES.values()), rows)
    return f"Earlier versions and what their own cards contain.\n\n{table}"


def _verdict(figures: ClassMetrics) -> str:
    if math.isnan(figures.intersection_f1):
        return "not measured"
    if (
        figures.intersection_f1 < FAILS_INTERSECTION_F1
        or figures.false_alarms_per_hour > FAILS_FALSE_ALARMS
    ):
        return "does not work"
    works = figures.intersection_f1 >= WORKS_INTERSECTION_F1 and figures.event_f1 >= WORKS_EVENT_F1
    return "works" if works else "weak"


def _two(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(header: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    names = list(header)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
