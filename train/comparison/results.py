"""Figures of a comparison's runs: kept beside each run, and together as a page of Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from textwrap import fill

from streamsed.errors import ConfigError
from train.checkpoint import load_model
from train.comparison.plan import Comparison, Run
from train.comparison.scoring import MEDIAN_S, Figure, Reached, reached
from train.data.clips import ClipSet
from train.data.desed import Part, read_desed
from train.data.sets.clips import clips_fingerprint
from train.recipe.schema import Recipe

FIGURES = "figures.json"
PARTS: tuple[Part, ...] = ("strong", "weak", "unlabelled", "strong_validation", "validation")
COLUMNS: dict[Figure, str] = {
    "psds1": "PSDS1",
    "psds2": "PSDS2",
    "event_f1": "event F1",
    "intersection_f1": "intersection F1",
}

_WIDTH = 100
_PAGE = """\
# Results

## {title}

{about}

{clips}

Figures are of the {validation} validation clips. Checkpoints are chosen on strong_validation and a
part of weak, the student's and the teacher's each by its own figure. Every class has the same
median filter of {median_s:g} s; F1 is macro, above 0.5; PSDS is over 50 thresholds. A row of
several seeds says their mean and standard deviation. Look-ahead is how long after a frame its score
is out, the clip heard as a stream from its beginning; a network that hears the whole clip at once
has "whole".

{table}

Made by `streamsed-train compare {file} {data}`,
where data set and sizes stand.
{missing}"""


@dataclass(frozen=True)
class Measured:
    """One network of one run, scored in one way.

    Attributes:
        network: its name, at the best checkpoint of its own.
        look_ahead_frames: of the stream; None if whole clips were scored.
        look_ahead_s: the same in seconds.
        parameters: number of weights.
        step: at which the checkpoint was taken.
        reached: the figures.
    """

    network: str
    look_ahead_frames: int | None
    look_ahead_s: float | None
    parameters: int
    step: int
    reached: Reached


def part_counts(data: Path) -> dict[Part, int]:
    """Count the clips of a data set's parts that runs learn from or are measured on.

    Raises:
        DataError: one is missing or wrong.
    """
    return {part: len(read_desed(data, part)) for part in PARTS}


def validation_set(data: Path, recipe: Recipe) -> ClipSet:
    """Read the part that figures are of: clips of recordings that nothing was trained on.

    Raises:
        DataError: it is missing or wrong.
    """
    return read_desed(data, "validation", classes=recipe.model.classes)


def measure_run(
    run: Run, folder: Path, clips: ClipSet, *, hearings: Sequence[int | None]
) -> list[Measured]:
    """Score a run that is done, or read what was written when it was scored.

    Raises:
        ConfigError: a checkpoint is missing, or cannot be run with a look-ahead.
        DataError: a clip cannot be read.
    """
    file = folder / FIGURES
    asked = {
        "clips": clips_fingerprint(clips.clips),
        "hearings": list(hearings),
    }
    if file.exists():
        written = json.loads(file.read_text(encoding="utf-8"))
        if written["asked"] == asked:
            return [_parsed(entry) for entry in written["measured"]]
    measured = []
    for network in run.recipe.stage.network_names():
        checkpoint = load_model(folder / f"{network}.best.pt")
        model = checkpoint.model
        frame_s = model.config.frame_samples / model.config.front_end.sample_rate
        parameters = sum(weights.numel() for weights in model.parameters())
        measured += [
            Measured(
                network=network,
                look_ahead_frames=frames,
                look_ahead_s=None if frames is None else frames * frame_s,
                parameters=parameters,
                step=checkpoint.step,
                reached=reached(
                    model,
                    clips,
                    duration_s=run.recipe.data.duration_s,
                    look_ahead_frames=frames,
                ),
            )
            for frames in hearings
        ]
    content = {"asked": asked, "measured": [asdict(entry) for entry in measured]}
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return measured


def _parsed(entry: Mapping[str, object]) -> Measured:
    fields = dict(entry)
    return Measured(**{**fields, "reached": Reached(**fields["reached"])})  # type: ignore[arg-type]


def page(
    comparison: Comparison,
    measured: Mapping[str, Sequence[Measured]],
    *,
    counts: Mapping[Part, int],
) -> str:
    """Return the results as Markdown.

    Args:
        comparison: what was compared.
        measured: by name of the run; runs that are missing are named as such.
        counts: clips of the data set by part.

    Raises:
        ConfigError: nothing was measured.
    """
    if not any(measured.values()):
        raise ConfigError(f"{comparison.file}: no run is done; there is nothing to show")
    runs = list(comparison.runs())
    missing = [run.name for run in runs if run.name not in measured]
    said = ", ".join(f"{count} {part}" for part, count in counts.items())
    return _PAGE.format(
        title=comparison.title,
        about=fill(comparison.about, _WIDTH),
        clips=fill(f"Clips: {said}.", _WIDTH),
        validation=counts["validation"],
        median_s=MEDIAN_S,
        table="\n".join(_table(comparison, runs, measured)),
        file=comparison.file.as_posix(),
        data="--data DATA" if comparison.data_set is None else "--bank BANK",
        missing=f"\nNot trained yet: {', '.join(missing)}.\n" if missing else "",
    )


def _table(
    comparison: Comparison, runs: Iterable[Run], measured: Mapping[str, Sequence[Measured]]
) -> Iterator[str]:
    head = ["model", "parameters", "look-ahead", "selected", *COLUMNS.values(), "seeds"]
    yield f"| {' | '.join(head)} |"
    yield "|" + " --- |" * len(head)
    of_row: dict[str, list[Measured]] = {name: [] for name in comparison.rows}
    for run in runs:
        of_row[run.row] += measured.get(run.name, [])
    for name, entries in of_row.items():
        ways = dict.fromkeys((entry.network, entry.look_ahead_frames) for entry in entries)
        for network, frames in ways:
            same = [e for e in entries if (e.network, e.look_ahead_frames) == (network, frames)]
            look_ahead_s = same[0].look_ahead_s
            cells = [
                comparison.rows[name].title,
                f"{same[0].parameters:,}",
                "whole" if look_ahead_s is None else f"{look_ahead_s:.2f} s",
                network,
                *(_spread([getattr(e.reached, key) for e in same]) for key in COLUMNS),
                str(len(same)),
            ]
            yield f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float]) -> str:
    mean = f"{fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {stdev(values):.3f}"
