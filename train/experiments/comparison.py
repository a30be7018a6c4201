"""A page that holds recipes side by side: one table of all that was scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from textwrap import fill
from typing import Literal

from pydantic import ConfigDict

from streamsed.errors import ConfigError
from train.experiments.page import Page, Results, table
from train.experiments.score_steps import Scored
from train.experiments.scoring import MEDIAN_S, Figure

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
is out, the clip read as a stream from its beginning; a network that reads the whole clip at once
has "whole".

{table}

Made by `streamsed-train compare {name}{given}`,
where data set and sizes stand.
{missing}"""


@dataclass(frozen=True, kw_only=True)
class ComparisonPage(Page):
    """A row for each title, network and look-ahead; of several seeds it has mean and deviation."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["comparison"] = "comparison"

    def text(self, results: Results) -> str:
        """Return the page.

        Raises:
            ConfigError: nothing was scored.
        """
        counts = results.counts()
        missing = [name for name, _, found in results.scored() if found is None]
        rows = _rows(results)
        if not rows:
            raise ConfigError(f"{results.name}: nothing is done; there is nothing to show")
        counted = ", ".join(f"{count} {part}" for part, count in counts.items())
        return _PAGE.format(
            title=results.title,
            about=fill(results.about, _WIDTH),
            clips=fill(f"Clips: {counted}.", _WIDTH),
            validation=counts["validation"],
            median_s=MEDIAN_S,
            table=table(
                ["model", "parameters", "look-ahead", "selected", *COLUMNS.values(), "seeds"],
                _cells(rows),
            ),
            name=results.name,
            given=" --bank BANK" if "bank" in results.paths else " --data DATA",
            missing=f"\nNot done yet: {', '.join(missing)}.\n" if missing else "",
        )


Row = tuple[str | None, str | None, float | None]
Rows = dict[Row, list[Scored]]


def _rows(results: Results) -> Rows:
    rows: Rows = {}
    for _, step, found in results.scored():
        if found is not None:
            rows.setdefault((step.title, step.row, found.look_ahead_s), []).append(found)
    return rows


def _cells(rows: Rows) -> Iterator[Sequence[str]]:
    for (title, selected, look_ahead_s), same in rows.items():
        yield [
            str(title),
            f"{same[0].parameters:,}",
            "whole" if look_ahead_s is None else f"{look_ahead_s:.2f} s",
            selected or "-",
            *(_spread([getattr(of.reached, key) for of in same]) for key in COLUMNS),
            str(len(same)),
        ]


def _spread(values: Sequence[float]) -> str:
    mean = f"{fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {stdev(values):.3f}"
