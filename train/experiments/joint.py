"""The page of the joint framework: its three tables, and its pictures.

"Joint framework with deep feature distillation and adaptive focal loss for weakly supervised audio
tagging and acoustic event detection" (Liang et al.).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from textwrap import fill
from typing import Literal, NamedTuple

from pydantic import ConfigDict

from streamsed.errors import ConfigError
from train.data.desed import read_desed
from train.engine.training_log import read_history
from train.experiments.detect_steps import F1, Detect, Detected, read_detected
from train.experiments.joint_pictures import draw_confusions, draw_durations
from train.experiments.model_steps import Fit
from train.experiments.page import Page, Results, table
from train.postprocess.twice import event_durations


class Published(NamedTuple):
    """F1 in percent on DCASE 2019 task 4's validation set; None where it is not at hand."""

    tagging: float | None
    detection: float | None


NOT_AT_HAND = Published(None, None)
AFL, WHOLE = "+ AFL", "+ ESP"
TABLE_1: dict[str, Published] = {
    "backbone": NOT_AT_HAND,
    "+ DFD-MSE": NOT_AT_HAND,
    "+ DFD-D": NOT_AT_HAND,
    "+ TFD": NOT_AT_HAND,
    AFL: NOT_AT_HAND,
    WHOLE: Published(81.2, 49.8),
}
"""Rows; the last is the one before with event-specific windows. Its figures are the abstract's."""
TABLE_2: dict[str, str] = {
    "BCE": "+ TFD",
    "AFL, gamma 1": "AFL, gamma 1.0",
    "AFL, gamma 2": AFL,
    "AFL, gamma 3": "AFL, gamma 3.0",
    "Lin's, gamma 2": "Lin's, gamma 2",
}
"""Rows, and the titles of the steps that they show."""
CONFUSION, DURATIONS = "confusion.png", "durations.png"

_WIDTH = 100
_PAGE = """\
# {title}

{about}

Clips: {clips}. Figures are of the {validation} validation clips, in percent: macro F1 of clips'
tags, and of events (collars of 200 ms, offsets also 20 % of the duration), thresholds 0.5, the
student's. Checkpoints are chosen on strong_validation and a part of weak. Scores are gated by the
clip's tags and filtered twice, but in {whole} rows with windows of the average duration. A row of
several seeds has their mean and deviation; in brackets stands the 95 % interval of its first seed
when clips are resampled. A dash is what was not run.

## Table 1: what each part gives

Behind the stroke stand the paper's figures where they are at hand (the abstract's), of other clips:
compare the order of rows, not the numbers.

{first}

{verdicts}

## Table 2: losses of labels

The paper's figures are not at hand.

{second}

## Table 3: classes

Of "{system}": tagging, and detection with windows of the average duration (Avg) and of the
durations up to their knee (ESP). The paper's figures are not at hand.

{third}

## Other networks

{others}

## Embeddings that are distilled

Root mean square of a feature, and of its deviation from its mean over frames, at the first and the
last validation: what collapsed would end near 0.

{embeddings}
{pictures}
Made by `streamsed-train recipe joint{plan}`, where data set and sizes stand.
"""

Found = Mapping[str, Sequence[Detected | None]]
"""What each seed detected, by title, in the order of the plan; None where it is not done."""


@dataclass(frozen=True, kw_only=True)
class JointPage(Page):
    """Rows are steps that detect, by their titles.

    Attributes:
        system: title whose classes Table 3 shows, and whose confusion is drawn.
        beside: title whose confusion is drawn beside it.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    system: str = AFL
    beside: str = "backbone"
    kind: Literal["joint"] = "joint"

    def text(self, results: Results) -> str:
        """Return the page.

        Raises:
            ConfigError: the data set is not there yet.
        """
        if "data" not in results.paths:
            raise ConfigError(f"{results.name}: nothing is done; there is nothing to show")
        found, counts = _found(results), results.counts()
        listed = ", ".join(f"{count} {part}" for part, count in counts.items())
        known = {*TABLE_1, *TABLE_2.values()}
        return _PAGE.format(
            title=results.title,
            about=fill(results.about.strip(), _WIDTH),
            clips=listed,
            validation=counts["validation"],
            whole=WHOLE,
            first=table(
                ["system", "tagging", "detection", "seeds"],
                (_first(row, found, published) for row, published in TABLE_1.items()),
            ),
            verdicts="\n".join(verdicts(found)),
            second=table(
                ["loss", "tagging", "detection", "seeds"],
                (_second(row, _done(found, title)) for row, title in TABLE_2.items()),
            ),
            system=self.system,
            third=table(
                ["class", "tagging", "detection, Avg", "detection, ESP", "windows, Avg and ESP"],
                _third(_done(found, self.system)),
            ),
            others=table(
                ["network", "parameters", "tagging", "detection", "seeds"],
                (_other(title, _done(found, title)) for title in found if title not in known),
            ),
            embeddings=table(["training", "network", "norm", "spread"], _embeddings(results)),
            pictures=self._links(results, found),
            plan="" if results.name == "joint" else f" --plan {results.name}",
        )

    def draw(self, results: Results, folder: Path) -> None:
        """Write the heat maps of tagging, and the durations with their knees."""
        found = _found(results)
        folder.mkdir(parents=True, exist_ok=True)
        shown = {title: _done(found, title) for title in (self.beside, self.system)}
        shares = {title: [of.confusion for of in seeds] for title, seeds in shown.items() if seeds}
        if shares:
            draw_confusions(shares, folder / CONFUSION)
        draw_durations(
            event_durations(read_desed(results.paths["data"], "strong")), folder / DURATIONS
        )

    def _links(self, results: Results, found: Found) -> str:
        if not results.pictures:
            return ""
        captions = {DURATIONS: "Durations of training events (the paper's figure 7)"}
        if _done(found, self.system) or _done(found, self.beside):
            captions[CONFUSION] = "Confusion of tags"
        return "\n## Pictures\n\n" + "".join(
            f"![{caption}]({results.pictures}/{name})\n\n" for name, caption in captions.items()
        )


def _found(results: Results) -> Found:
    found: dict[str, list[Detected | None]] = {}
    for name, step in results.steps.items():
        if isinstance(step, Detect) and step.title is not None:
            folder = results.folders.get(name)
            of_seed = None if folder is None else read_detected(folder)
            found.setdefault(step.title, []).append(of_seed)
    whole = found.get(AFL, ())
    specific = [None if of is None else replace(of, average=of.event_specific) for of in whole]
    return {**found, WHOLE: specific}


def _done(found: Found, title: str) -> list[Detected]:
    return [of for of in found.get(title, ()) if of is not None]


def _first(row: str, found: Found, published: Published) -> Sequence[str]:
    seeds = _done(found, row)
    mine = [_spread([of.tags for of in seeds]), _spread([of.average for of in seeds])]
    theirs = ("not at hand" if value is None else f"{value:.1f}" for value in published)
    both = (f"{one} / {other}" for one, other in zip(mine, theirs, strict=True))
    return [row, *both, str(len(seeds) or "-")]


def _second(row: str, seeds: Sequence[Detected]) -> Sequence[str]:
    cells = [_spread([of.tags for of in seeds]), _spread([of.average for of in seeds])]
    return [row, *cells, str(len(seeds) or "-")]


def _other(title: str, seeds: Sequence[Detected]) -> Sequence[str]:
    row, *cells = _second(title, seeds)
    return [row, f"{seeds[0].parameters:,}" if seeds else "-", *cells]


def _third(seeds: Sequence[Detected]) -> Iterator[Sequence[str]]:
    for label, windows_s in (seeds[0].windows_s if seeds else {}).items():
        cells = []
        for kind in ("tags", "average", "event_specific"):
            values = [getattr(of, kind).classes[label] for of in seeds]
            known = [100.0 * value for value in values if value is not None]
            cells.append(_mean(known) if known else "-")
        windows = f"{windows_s['average']:.2f} s, {windows_s['event_specific']:.2f} s"
        yield [label, *cells, windows]
    if seeds:
        kinds = ("tags", "average", "event_specific")
        yield ["mean", *(_spread([getattr(of, kind) for of in seeds]) for kind in kinds), ""]


def _spread(of_seeds: Sequence[F1]) -> str:
    if not of_seeds:
        return "-"
    low, high = (100.0 * bound for bound in of_seeds[0].interval)
    return f"{_mean([100.0 * of.macro for of in of_seeds])} ({low:.1f} to {high:.1f})"


def _mean(values: Sequence[float]) -> str:
    mean = f"{fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {stdev(values):.1f}"


STEPS_UP = (
    ("backbone", "+ DFD-MSE"),
    ("backbone", "+ DFD-D"),
    ("backbone", "+ TFD"),
    ("+ TFD", AFL),
    (AFL, WHOLE),
)
_SEEDS = 3


def verdicts(found: Found) -> Iterator[str]:
    """Yield for each part in how many seeds it helps; a claim only where three seeds agree."""
    for without, part in STEPS_UP:
        both = zip(found.get(without, ()), found.get(part, ()), strict=False)
        pairs = [(mine, theirs) for mine, theirs in both if mine is not None and theirs is not None]
        if not pairs:
            yield f"- {part}, against {without}: not run."
            continue
        verdicts_of = []
        for kind, name in (("tags", "tagging"), ("average", "detection")):
            gains = [
                100.0 * (getattr(theirs, kind).macro - getattr(mine, kind).macro)
                for mine, theirs in pairs
            ]
            if len(gains) < _SEEDS:
                verdict = f"{len(gains)} of {_SEEDS} seeds are too few for a claim"
            elif all(gain > 0.0 for gain in gains):
                verdict = f"better in all {len(gains)} seeds"
            elif all(gain < 0.0 for gain in gains):
                verdict = f"worse in all {len(gains)} seeds"
            elif not any(gains):
                verdict = "the same"
            else:
                verdict = "seeds disagree"
            verdicts_of.append(f"{name} {fmean(gains):+.1f}, {verdict}")
        yield f"- {part}, against {without}: {'; '.join(verdicts_of)}."


def _embeddings(results: Results) -> Iterator[Sequence[str]]:
    for name, step in results.steps.items():
        folder = results.folders.get(name)
        if not isinstance(step, Fit) or folder is None:
            continue
        shown = [record for record in read_history(folder) if record["kind"] == "validation"]
        for network, figures in (shown[0]["figures"] if shown else {}).items():
            if "embedding_norm" in figures:
                last = shown[-1]["figures"][network]
                cells = (
                    f"{figures[f'embedding_{key}']:.3f}, {last[f'embedding_{key}']:.3f}"
                    for key in ("norm", "spread")
                )
                yield [name, network, *cells]
