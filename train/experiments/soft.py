"""The page of the soft-label paper: its table, floors, and what context and the future are worth.

"Sound event detection with soft labels using self-attention mechanisms for global scene feature
extraction" (Do et al., DCASE 2023), table 1 and figures 4 and 5.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from textwrap import fill
from typing import Literal

from pydantic import ConfigDict

from streamsed.errors import ConfigError
from streamsed.validation_messages import Location
from train.data.tables import read_rows
from train.engine.training_log import read_history
from train.experiments.model_steps import Fit
from train.experiments.page import Page, Results, table
from train.experiments.soft_scoring import OFFICIAL, Pooled
from train.experiments.soft_steps import Floors, ScoreFolds, SoftViews, read_pooled
from train.experiments.soft_views import draw_fold_losses
from train.experiments.step import Step

_WIDTH = 100
_LOSSES = "losses.png"
_PAGE = """\
# {title}

{about}

{recordings}

F1MO is macro over {classes} classes, each at the threshold that is best for these very recordings,
and so an upper bound: `sed_scores_eval.segment_based.best_fscore({call})`, the {seconds:,} seconds
of the folds' test recordings pooled. Behind it stand mean and deviation of the folds alone. F1 is
macro at 0.5. Checkpoints are chosen by the loss of a fold's validation recordings.

## Table 1

The paper's figures are of MAESTRO Real, whose recordings are others: compare the order of rows. A
dash is what was not run, or is not known.

{first}

## Context and the future

{verdicts}

## Losses

The first and the last mean that each training logged; deviations are over folds.

{losses}
{pictures}
Made by `streamsed-train recipe soft{plan}`, where data set and sizes stand.
"""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two rows of the table that are held against each other.

    Attributes:
        better: title of the row that should be better.
        than: title of the other.
        of: what the difference shows, for people.
    """

    better: str
    than: str
    of: str


@dataclass(frozen=True, kw_only=True)
class SoftPage(Page):
    """Rows are steps that score folds, by their titles.

    Attributes:
        published: the paper's F1MO by title, 0 to 1.
        comparisons: sentences below the table.
        curves: trainings whose losses are drawn, by fold; their steps' names.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    published: dict[str, float] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    curves: tuple[str, ...] = ()
    kind: Literal["soft"] = "soft"

    def mistakes(self, steps: Mapping[str, Step]) -> Iterator[tuple[Location, str]]:
        """Yield titles that no step has, and trainings that are none."""
        titles = {getattr(step, "title", None) for step in steps.values()}
        for place, comparison in enumerate(self.comparisons):
            for key in ("better", "than"):
                if getattr(comparison, key) not in titles:
                    yield (
                        ("comparisons", place, key),
                        f"{getattr(comparison, key)!r}: no step that scores has this title",
                    )
        for place, name in enumerate(self.curves):
            if not isinstance(steps.get(name), Fit):
                yield ("curves", place), f"{name!r}: no training has this name"

    def text(self, results: Results) -> str:
        """Return the page.

        Raises:
            ConfigError: the data set is not there yet.
        """
        if "data" not in results.paths:
            raise ConfigError(f"{results.name}: nothing is done; there is nothing to show")
        found = dict(_rows(results))
        done = [of for of in found.values() if of is not None]
        call = ", ".join(f"{name}={value}" for name, value in OFFICIAL.items())
        return _PAGE.format(
            title=results.title,
            about=fill(results.about.strip(), _WIDTH),
            recordings=fill(_recordings(results.paths["data"]), _WIDTH),
            classes=len(done[0].per_class) if done else 0,
            call=call,
            seconds=max((of.seconds for of in done), default=0),
            first=table(
                ["system", "parameters", "look-ahead", "F1MO", "the paper's", "of folds", "F1"],
                (self._row(title, of) for title, of in found.items()),
            ),
            verdicts="\n".join(self._verdicts(found)),
            losses=table(["training", "folds", "step", "loss", "first", "last"], _losses(results)),
            pictures=self._links(results),
            plan="" if results.name == "soft" else f" --plan {results.name}",
        )

    def draw(self, results: Results, folder: Path) -> None:
        """Write the pictures that the page links to into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        curves = self._histories(results)
        if curves:
            draw_fold_losses(curves, folder / _LOSSES)
        for path in _views(results):
            shutil.copyfile(path, folder / path.name)

    def _histories(self, results: Results) -> dict[str, list[dict[str, object]]]:
        return {
            name: read_history(results.folders[name])
            for name in self.curves
            if name in results.folders
        }

    def _row(self, title: str, of: Pooled | None) -> Sequence[str]:
        theirs = f"{self.published[title]:.3f}" if title in self.published else "-"
        if of is None:
            return [title, "-", "-", "-", theirs, "-", "-"]
        folds = list(of.per_fold.values())
        spread = f" ± {stdev(folds):.3f}" if len(folds) > 1 else ""
        ahead = "-" if of.look_ahead_s is None else f"{of.look_ahead_s:g} s"
        return [
            title,
            f"{of.parameters:,}" if of.parameters else "-",
            ahead,
            f"{of.f1mo:.3f}",
            theirs,
            f"{fmean(folds):.3f}{spread}",
            f"{of.f1:.3f}",
        ]

    def _verdicts(self, found: Mapping[str, Pooled | None]) -> Iterator[str]:
        for each in self.comparisons:
            better, than = found.get(each.better), found.get(each.than)
            if better is None or than is None:
                yield f"- {each.of}: not run."
                continue
            shared = sorted(better.per_fold.keys() & than.per_fold.keys())
            won = sum(better.per_fold[fold] > than.per_fold[fold] for fold in shared)
            difference = better.f1mo - than.f1mo
            yield (
                f"- {each.of}: {each.better} {better.f1mo:.3f}, {each.than} {than.f1mo:.3f}, "
                f"{difference:+.3f}; higher in {won} of {len(shared)} folds."
            )

    def _links(self, results: Results) -> str:
        if not results.pictures:
            return ""
        pictures = [(_LOSSES, "Losses of the folds (the paper's figure 4)")]
        pictures = pictures if self._histories(results) else []
        captions = {
            "embeddings.png": "Embeddings of seconds by t-SNE (the paper's figure 5)",
            "attention.png": "What is attended to",
        }
        pictures += [(path.name, captions[path.name]) for path in _views(results)]
        return "\n## Pictures\n\n" + "".join(
            f"![{caption}]({results.pictures}/{name})\n\n" for name, caption in pictures
        )


def _rows(results: Results) -> Iterator[tuple[str, Pooled | None]]:
    """Yield the title of every step that scores, and what it found, once it is done."""
    for name, step in results.steps.items():
        if isinstance(step, ScoreFolds | Floors) and step.title is not None:
            folder = results.folders.get(name)
            yield step.title, None if folder is None else read_pooled(folder)


def _views(results: Results) -> list[Path]:
    return [
        results.folders[name] / artefact.path
        for name, step in results.steps.items()
        if isinstance(step, SoftViews) and name in results.folders
        for artefact in step.yields().values()
    ]


def _recordings(data: Path) -> str:
    """Return how many recordings of which scenes there are, from the lists of fold 1."""
    counts: dict[str, int] = {}
    for part in ("train", "val", "test"):
        for _, row in read_rows(
            data / "development_folds" / f"fold1_{part}.csv", ("filename",), delimiter=","
        ):
            scene = row["filename"].partition("/")[0]
            counts[scene] = counts.get(scene, 0) + 1
    scenes = ", ".join(f"{count} of {scene.replace('_', ' ')}" for scene, count in counts.items())
    return f"Recordings: {scenes}; in each of five folds a fifth is tested on."


def _losses(results: Results) -> Iterator[Sequence[str]]:
    """Yield first and last logged value of each part of the loss of trainings, folds together."""
    groups: dict[str, list[list[dict[str, object]]]] = {}
    for name, step in results.steps.items():
        folder = results.folders.get(name)
        if isinstance(step, Fit) and folder is not None:
            logged = [record for record in read_history(folder) if record["kind"] == "losses"]
            if logged:
                groups.setdefault(name.rpartition("-")[0] or name, []).append(logged)
    for name, runs in groups.items():
        for term in runs[0][0]["losses"]:  # type: ignore[attr-defined]
            ends = [[run[at]["losses"][term] for run in runs] for at in (0, -1)]  # type: ignore[index]
            cells = [
                f"{fmean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")
                for values in ends
            ]
            yield [name, str(len(runs)), str(runs[0][-1]["step"]), term, *cells]
