"""The two tables of the JSS paper, beside what was reached here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from train.comparison.scoring import MEDIAN_S, Reached
from train.data.desed import Part
from train.separation.experiments import Measured, Separated
from train.separation.grid import SELECTIONS, Grid


class Published(NamedTuple):
    """Figures of one system on DESED's validation set; F1 is collar-based, in per cent."""

    psds1: float
    psds2: float
    f1: float


TABLE_1: dict[str, dict[str, Published]] = {
    "SED baseline": {
        "student": Published(0.338, 0.522, 40.12),
        "teacher": Published(0.357, 0.552, 41.65),
    },
    "FUSS-S0": {
        "student": Published(0.241, 0.336, 31.42),
        "teacher": Published(0.281, 0.380, 33.15),
    },
    "FUSS-S1": {
        "student": Published(0.329, 0.517, 41.03),
        "teacher": Published(0.349, 0.534, 41.47),
    },
    "FUSS-S2": {
        "student": Published(0.344, 0.549, 42.36),
        "teacher": Published(0.356, 0.552, 42.75),
    },
    "FUSS-JT": {
        "student": Published(0.336, 0.535, 41.50),
        "teacher": Published(0.358, 0.547, 41.46),
    },
    "DESED-S0": {
        "student": Published(0.249, 0.352, 33.89),
        "teacher": Published(0.273, 0.373, 35.69),
    },
    "DESED-S1": {
        "student": Published(0.346, 0.539, 39.25),
        "teacher": Published(0.355, 0.550, 42.41),
    },
    "DESED-S2": {
        "student": Published(0.328, 0.529, 40.85),
        "teacher": Published(0.362, 0.572, 43.40),
    },
    "DESED-JT": {
        "student": Published(0.337, 0.504, 40.77),
        "teacher": Published(0.365, 0.555, 43.14),
    },
}
TABLE_2: dict[str, Published] = {
    "SSep-SED baseline": Published(0.363, 0.532, 44.34),
    "SED Bs + DESED-S2": Published(0.379, 0.590, 43.74),
    "SED Bs + DESED-JT": Published(0.366, 0.563, 43.02),
    "DESED-S2 + DESED-JT": Published(0.380, 0.589, 45.52),
    "SED Bs + DESED-S2 + DESED-JT": Published(0.379, 0.587, 45.05),
}

_PAGE = """\
# {title}

{about}

Clips: {clips}. Figures are of the {validation} validation clips, and behind the stroke those that
the paper gives for DESED's, which are others: compare the order of rows, not the numbers.
Checkpoints are chosen on strong_validation and a part of weak. Every class has the same median
filter of {median_s:g} s; PSDS is over 50 thresholds; F1 is of events, macro, above 0.5. A dash is
what was not run.

## Separators

{separators}

Figures are of their own validation mixtures; SI-SNR of those of MixIT is that of the two clips of
a sum, each remixed from the sources that are its.

## Table 1: stages

{first}

## Table 2: fusions, by teacher selection

{second}

Made by `streamsed-train recipe jss --grid`, from {file}.
"""


def page(
    grid: Grid,
    measured: Iterable[Measured],
    separated: Iterable[Separated],
    *,
    counts: Mapping[Part, int],
) -> str:
    """Return both tables as Markdown, and what the separators reach.

    Args:
        grid: what was run.
        measured: as far as it is done.
        separated: the same, of separators.
        counts: clips of the data set by part.
    """
    found = {(entry.system, entry.selection): entry.reached for entry in measured}
    return _PAGE.format(
        title=grid.title,
        about=grid.about.strip(),
        clips=", ".join(f"{count} {part}" for part, count in counts.items()),
        validation=counts["validation"],
        median_s=MEDIAN_S,
        separators="\n".join(_separators(separated)),
        first="\n".join(_first(grid, found)),
        second="\n".join(_second(grid, found)),
        file=grid.file.as_posix(),
    )


Found = Mapping[tuple[str, str], Reached]


def _separators(separated: Iterable[Separated]) -> Iterator[str]:
    yield from _head(["learned from", "by", "steps", "loss dB", "SI-SNR improvement dB"])
    names = {"pit": "PIT", "mixit": "MixIT"}
    for entry in separated:
        better = entry.si_snr_improvement_db
        cells = [entry.learned_from, names[entry.step], str(entry.steps), f"{entry.loss_db:.2f}"]
        yield f"| {' | '.join(cells)} | {'-' if better is None else f'{better:.2f}'} |"


def _first(grid: Grid, found: Found) -> Iterator[str]:
    names = [f"{selection} {figure}" for selection in SELECTIONS for figure in _FIGURES]
    yield from _head(["system", *names])
    for system in grid.systems():
        cells = [system]
        for selection in SELECTIONS:
            published = TABLE_1.get(system, {}).get(selection)
            cells += _cells(found.get((system, selection)), published)
        yield f"| {' | '.join(cells)} |"


def _second(grid: Grid, found: Found) -> Iterator[str]:
    yield from _head(["system", *_FIGURES])
    for system in dict.fromkeys([*TABLE_2, *grid.fusions]):
        cells = [system, *_cells(found.get((system, "teacher")), TABLE_2.get(system))]
        yield f"| {' | '.join(cells)} |"


_FIGURES = ("PSDS1", "PSDS2", "F1 %")


def _head(names: list[str]) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield "|" + " --- |" * len(names)


def _cells(reached: Reached | None, published: Published | None) -> list[str]:
    here = ["-"] * 3
    if reached is not None:
        shares = [f"{reached.psds1:.3f}", f"{reached.psds2:.3f}"]
        here = [*shares, f"{100 * reached.event_f1:.2f}"]
    there = ["-"] * 3
    if published is not None:
        there = [f"{published.psds1:.3f}", f"{published.psds2:.3f}", f"{published.f1:.2f}"]
    return [f"{mine} / {theirs}" for mine, theirs in zip(here, there, strict=True)]
