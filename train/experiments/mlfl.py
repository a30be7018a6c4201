"""The page of the metric-learning paper: its table, an ablation, and how losses went.

"Sound event detection using metric learning and focal loss for DCASE 2021 task 4" (Tian et al.),
table 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from textwrap import fill
from typing import Literal, NamedTuple

from pydantic import ConfigDict
from scipy.stats import t as student

from streamsed.errors import ConfigError
from train.engine.training_log import read_history
from train.experiments.model_steps import Fit
from train.experiments.page import Page, Results, table
from train.experiments.score_steps import Scored
from train.experiments.scoring import MEDIAN_S


class Published(NamedTuple):
    """Figures on DESED's validation set; F1 is of events."""

    psds1: float
    psds2: float
    event_f1: float


TABLE_1: dict[str, Published] = {
    "Baseline": Published(0.342, 0.527, 0.401),
    "Result1": Published(0.401, 0.597, 0.550),
    "Result2": Published(0.396, 0.587, 0.547),
    "Result3": Published(0.392, 0.585, 0.542),
    "Result4": Published(0.398, 0.599, 0.549),
}

_WIDTH = 100
_PAGE = """\
# {title}

{about}

Clips: {clips}. Figures are of the {validation} validation clips. Checkpoints are chosen on
strong_validation and a part of weak. Every class has the same median filter of {median_s:g} s; PSDS
is over 50 thresholds; F1 is macro, above 0.5. A row of several seeds has their mean and deviation.
A dash is what was not run.

## Table 1

Behind the stroke stand the paper's figures, of DESED's validation clips, which are others: compare
the order of rows, not the numbers.

{first}

## Parts

{second}

Gains are of PSDS1 + PSDS2 + intersection F1, seed by seed; the interval is Student's, of their
mean.

{verdicts}

## Losses

The first and the last mean that each training logged.

{losses}

Made by `streamsed-train recipe mlfl{plan}`, where data set and sizes stand.
"""

_FIGURES = ("PSDS1", "PSDS2", "event F1", "intersection F1")


@dataclass(frozen=True, kw_only=True)
class MLFLPage(Page):
    """Rows of Table 1 and of the ablation are steps that score, by their titles.

    Attributes:
        whole: title of the row that the others of the ablation lack a part of.
        without: their titles.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    whole: str | None = None
    without: tuple[str, ...] = ()
    kind: Literal["mlfl"] = "mlfl"

    def text(self, results: Results) -> str:
        """Return the page.

        Raises:
            ConfigError: the data set is not there yet.
        """
        if "data" not in results.paths:
            raise ConfigError(f"{results.name}: nothing is done; there is nothing to show")
        planned: dict[str, list[Scored | None]] = {}
        for _, step, scored in results.scored():
            planned.setdefault(str(step.title), []).append(scored)
        found = {title: [of for of in rows if of] for title, rows in planned.items()}
        counts = results.counts()
        plan = "" if results.name == "mlfl" else f" --plan {results.name}"
        return _PAGE.format(
            title=results.title,
            about=fill(results.about.strip(), _WIDTH),
            clips=", ".join(f"{count} {part}" for part, count in counts.items()),
            validation=counts["validation"],
            median_s=MEDIAN_S,
            first=table(["system", *_FIGURES[:3]], (_first(row, found) for row in TABLE_1)),
            second=table(
                ["system", "parameters", "look-ahead", *_FIGURES, "seeds"],
                (_second(title, rows) for title, rows in found.items() if title not in TABLE_1),
            ),
            verdicts="\n".join(self._verdicts(planned)),
            losses=table(["training", "step", "loss", "first", "last"], _losses(results)),
            plan=plan,
        )

    def _verdicts(self, planned: dict[str, list[Scored | None]]) -> Iterator[str]:
        """Yield for each part what the whole is better by than without it, seed by seed."""
        whole = planned.get(self.whole or "", [])
        for title in self.without:
            pairs = zip(whole, planned.get(title, []), strict=False)
            gains = [_value(mine) - _value(other) for mine, other in pairs if mine and other]
            yield f"- {title}: {_verdict(gains)}"


def _verdict(gains: Sequence[float]) -> str:
    """Return what is to be concluded from what a part gains in each seed."""
    if not gains:
        return "not run."
    each = ", ".join(f"{gain:+.3f}" for gain in gains)
    if len(gains) == 1:
        return f"the part gains {each}; nothing can be concluded from one seed."
    half = student.ppf(0.975, len(gains) - 1) * stdev(gains) / len(gains) ** 0.5
    interval = f"{fmean(gains):+.3f} ± {half:.3f} (95 %)"
    if min(gains) > 0.0:
        verdict = "it helps in every seed"
    elif max(gains) < 0.0:
        verdict = "it costs in every seed"
    else:
        verdict = "seeds disagree"
    return f"the part gains {each}, {interval}: {verdict}."


def _value(scored: Scored) -> float:
    reached = scored.reached
    return reached.psds1 + reached.psds2 + reached.intersection_f1


def _first(row: str, found: dict[str, list[Scored]]) -> Sequence[str]:
    theirs = [f"{value:.3f}" for value in TABLE_1[row]]
    mine = ["-"] * 3
    if rows := found.get(row):
        mine = [_spread(rows, key) for key in ("psds1", "psds2", "event_f1")]
    return [row, *(f"{one} / {other}" for one, other in zip(mine, theirs, strict=True))]


def _second(title: str, rows: Sequence[Scored]) -> Sequence[str]:
    if not rows:
        return [title, *["-"] * (len(_FIGURES) + 3)]
    ahead = rows[0].look_ahead_s
    return [
        title,
        f"{rows[0].parameters:,}",
        "whole" if ahead is None else f"{ahead:.2f} s",
        *(_spread(rows, key) for key in ("psds1", "psds2", "event_f1", "intersection_f1")),
        str(len(rows)),
    ]


def _spread(rows: Sequence[Scored], key: str) -> str:
    values = [float(getattr(of.reached, key)) for of in rows]
    mean = f"{fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {stdev(values):.3f}"


def _losses(results: Results) -> Iterator[Sequence[str]]:
    """Yield first and last logged value of each part of the loss of each training that is done."""
    for name, step in results.steps.items():
        folder = results.folders.get(name)
        if not isinstance(step, Fit) or folder is None:
            continue
        logged = [record for record in read_history(folder) if record["kind"] == "losses"]
        for term in logged[0]["losses"] if logged else ():
            first, last = (record["losses"][term] for record in (logged[0], logged[-1]))
            yield [name, str(logged[-1]["step"]), term, f"{first:.4f}", f"{last:.4f}"]
