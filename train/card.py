"""The model card: what a bundle is, what it was trained on, what it reaches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from streamsed.bundle.manifest import ClassPostprocessing
from train.measure import ClassFigures, Figures

WORKS_INTERSECTION_F1, WORKS_EVENT_F1 = 0.5, 0.25
"""A class that reaches both is said to work."""
FAILS_INTERSECTION_F1, FAILS_FALSE_ALARMS = 0.25, 60.0
"""A class below the first, or above the second an hour, is said not to work."""


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _verdict(figures: ClassFigures) -> str:
    if math.isnan(figures.intersection_f1):
        return "not measured"
    if (
        figures.intersection_f1 < FAILS_INTERSECTION_F1
        or figures.false_alarms_per_hour > FAILS_FALSE_ALARMS
    ):
        return "does not work"
    works = figures.intersection_f1 >= WORKS_INTERSECTION_F1 and figures.event_f1 >= WORKS_EVENT_F1
    return "works" if works else "weak"


def write_card(
    *,
    name: str,
    members: Sequence[tuple[str, int, int, float]],
    recipe: str,
    postprocessing: dict[str, ClassPostprocessing],
    figures: Figures,
    licences: Sequence[tuple[str, str, int, float]],
    synthetic: Sequence[str],
    chunk_s: float,
    frame_s: float,
    look_ahead_s: float,
    false_alarm_price: float,
    command: str,
) -> str:
    """Return the card as Markdown.

    Args:
        name: of the bundle.
        members: (name, parameters, training steps, largest difference to PyTorch) of each.
        recipe: the recipe's file.
        postprocessing: thresholds and windows that ship.
        figures: measured with them.
        licences: (source, licence, clips, seconds) of the recordings trained on.
        synthetic: classes of which the bank has no recording to validate on.
        chunk_s: audio of one step.
        frame_s: score resolution.
        look_ahead_s: of the slowest member.
        false_alarm_price: with which the thresholds were fitted.
        command: that printed the figures.
    """
    classes = [
        (
            label,
            f.events,
            f"{f.event_f1:.2f}",
            f"{f.intersection_f1:.2f}",
            f"{f.psds1:.2f}",
            f"{f.psds2:.2f}",
            f"{f.false_alarms_per_hour:.1f}",
            _verdict(f) + (", on synthetic sounds" if label in synthetic else ""),
        )
        for label, f in figures.classes.items()
    ]
    rules = [
        (
            label,
            p.enter,
            p.exit,
            f"{p.median_s:.2f}",
            f"{p.min_on_s:.2f}",
            f"{p.min_off_s:.2f}",
        )
        for label, p in postprocessing.items()
    ]
    seconds = sum(row[3] for row in licences)
    unheard = ""
    if synthetic:
        unheard = (
            f"{', '.join(synthetic)}: validated on synthetic sounds alone, never on real ones. "
        )
    return f"""# {name}

Detects {len(classes)} domestic sound events (the classes of DESED) in a stream. One step takes
{chunk_s:.3f} s of 16 kHz mono and scores frames of {frame_s * 1e3:.0f} ms, {
        look_ahead_s:.3f} s behind its end.

## Members

{
        _table(
            ("member", "parameters", "training steps", "largest difference to PyTorch"),
            [(n, f"{p:,}", s, f"{d:.1e}") for n, p, s, d in members],
        )
    }

## Trained on

Soundscapes mixed on the fly (`{recipe}`) from {seconds / 60:.0f} minutes of recordings listed
below and from procedural synthesis (`train/synthesis`): every Electric_shaver_toothbrush, about
half of Alarm_bell_ringing and Vacuum_cleaner, and a share of Blender are synthetic. Rooms are
simulated or recorded, levels and backgrounds random. No recording stands in both training and
validation. It has never been trained on recordings of real homes, and nothing here says how well
it does there.

## What it reaches

{figures.scenes} validation soundscapes, {figures.hours:.2f} hours, other recordings and other
seeds than training, and other scenes than those that set the thresholds. Measured through the
runtime with the thresholds below. `{command}` prints it.

{
        _table(
            ("event F1", "intersection F1", "PSDS1", "PSDS2"),
            [
                [
                    f"{v:.3f}"
                    for v in (
                        figures.event_f1,
                        figures.intersection_f1,
                        figures.psds1,
                        figures.psds2,
                    )
                ]
            ],
        )
    }

{
        _table(
            (
                "class",
                "events",
                "event F1",
                "intersection F1",
                "PSDS1",
                "PSDS2",
                "false alarms an hour",
                "verdict",
            ),
            classes,
        )
    }

Event F1: onset within 200 ms, offset within 200 ms or 20 % of the length. Intersection F1: half of
the event found, half of the detection true. PSDS of a class: its own area, without the penalty for
variation between classes. A false alarm meets no event of its class. A class works from an
intersection F1 of {WORKS_INTERSECTION_F1} with an event F1 of {WORKS_EVENT_F1}, and does not below
{FAILS_INTERSECTION_F1} or beyond {
        FAILS_FALSE_ALARMS:.0f} false alarms an hour; the scenes are busy, with
distractors and noise beside the events. {unheard}The validation recordings are
few (two of frying, six each of blender and water, nine of dogs): figures of these classes say
little about others of their kind.

## Thresholds and windows

{_table(("class", "enter", "exit", "median s", "min on s", "min off s"), rules)}

Fitted on validation soundscapes for the mean of event F1 and intersection F1, less {
        false_alarm_price
    } for each
false alarm an hour.

## Sources and licences

Sources under CC BY ask for attribution: this table gives it.

{_table(("source", "licence", "clips", "seconds"), licences)}
"""
