"""The page of the JSS paper: its two tables, beside what was reached here.

"Source Separation for Sound Event Detection in Domestic Environments using Jointly Trained Models"
(de Benito-Gorron et al. 2022), tables 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import ConfigDict

from streamsed.validation_messages import Location, suggest
from train.engine.training_log import read_history
from train.experiments.model_steps import Fit
from train.experiments.page import Page, Results, table
from train.experiments.score_steps import Fuse, Scored
from train.experiments.scoring import MEDIAN_S
from train.experiments.step import Step

SELECTIONS = ("student", "teacher")


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

Made by `streamsed-train recipe {command}`.
{missing}"""


_METHODS = {"pit": "PIT", "mixit": "MixIT"}
_FIGURES = ("PSDS1", "PSDS2", "F1 %")

Found = Mapping[tuple[str | None, str | None], Scored | None]


@dataclass(frozen=True, kw_only=True)
class JSSPage(Page):
    """Rows are the steps that score, by their titles: what is selected, and fusions.

    Attributes:
        separators: the trainings of separators, by what they learn from.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    separators: dict[str, str]
    kind: Literal["jss"] = "jss"

    def mistakes(self, steps: Mapping[str, Step]) -> Iterator[tuple[Location, str]]:
        """Yield separators that no step trains."""
        for name, step in self.separators.items():
            if not isinstance(steps.get(step), Fit):
                fits = [name for name, of in steps.items() if isinstance(of, Fit)]
                yield ("separators", name), f"no step {step!r} that fits; {suggest(step, fits)}"

    def text(self, results: Results) -> str:
        """Return the page."""
        found = {(step.title, step.row): scored for _, step, scored in results.scored()}
        fusions = [s.title for _, s, _ in results.scored() if isinstance(s, Fuse) and s.title]
        systems = dict.fromkeys([*TABLE_1, *(title for title, _ in found if title)])
        alone = [system for system in systems if system not in {*fusions, *TABLE_2}]
        names = [f"{selection} {figure}" for selection in SELECTIONS for figure in _FIGURES]
        counts = results.counts()
        return _PAGE.format(
            title=results.title,
            about=results.about.strip(),
            clips=", ".join(f"{count} {part}" for part, count in counts.items()),
            validation=counts["validation"],
            median_s=MEDIAN_S,
            separators=table(
                ["learned from", "by", "steps", "loss dB", "SI-SNR improvement dB"],
                self._separators(results),
            ),
            first=table(["system", *names], (_first(system, found) for system in alone)),
            missing=_missing(results),
            second=table(
                ["system", *_FIGURES],
                (_second(system, found) for system in dict.fromkeys([*TABLE_2, *fusions])),
            ),
            command="jss" if results.name == "jss" else f"jss --plan {results.name}",
        )

    def _separators(self, results: Results) -> Iterator[Sequence[str]]:
        """Yield what the separators reach that were trained so far, each at its best."""
        for learned_from, name in self.separators.items():
            step = results.steps[name]
            assert isinstance(step, Fit)
            folder = results.folders.get(name)
            if folder is None:
                continue
            validated = [
                (record["step"], record["figures"][step.loaded.selection])
                for record in read_history(folder)
                if record["kind"] == "validation"
            ]
            steps, best = max(validated, key=lambda entry: entry[1]["objective"])
            better = best["si_snr_improvement_db"]
            yield [
                learned_from,
                _METHODS[step.loaded.stage.kind],
                str(steps),
                f"{best['loss_db']:.2f}",
                "-" if better is None else f"{better:.2f}",
            ]


def _missing(results: Results) -> str:
    """Return a line that names the systems that were not run."""
    systems = dict.fromkeys(step.title for _, step, scored in results.scored() if scored is None)
    return f"\nNot run yet: {', '.join(map(str, systems))}.\n" if systems else ""


def _first(system: str, found: Found) -> Sequence[str]:
    published = TABLE_1.get(system, {})
    cells = (_cells(found.get((system, of)), published.get(of)) for of in SELECTIONS)
    return [system, *(cell for three in cells for cell in three)]


def _second(system: str, found: Found) -> Sequence[str]:
    return [system, *_cells(found.get((system, "teacher")), TABLE_2.get(system))]


def _cells(scored: Scored | None, published: Published | None) -> list[str]:
    here = there = ["-"] * 3
    if scored is not None:
        reached = scored.reached
        shares = [f"{reached.psds1:.3f}", f"{reached.psds2:.3f}"]
        here = [*shares, f"{100 * reached.event_f1:.2f}"]
    if published is not None:
        there = [f"{published.psds1:.3f}", f"{published.psds2:.3f}", f"{published.f1:.2f}"]
    return [f"{mine} / {theirs}" for mine, theirs in zip(here, there, strict=True)]
