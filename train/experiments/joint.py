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

Pair = tuple[float | None, float]
"""Percent on the development and on the evaluation set of DCASE 2019 task 4."""


class Published(NamedTuple):
    """The paper's figures: F1 of events, of segments, of clips' tags."""

    events: Pair
    segments: Pair
    tags: Pair


def _published(*figures: float | None) -> Published:
    pairs = [(figures[at], figures[at + 1]) for at in range(0, 6, 2)]
    return Published(*pairs)  # type: ignore[arg-type]


WITHOUT_BGRUS, BACKBONE = "backbone without BGRUs", "backbone"
TFD, AFL, WHOLE = "+ TFD", "+ TFD + AFL", "+ TFD + AFL + ESP"
TABLE_1: dict[str, Published] = {
    "mean teacher": _published(None, 25.8, None, 53.7, None, 45.8),
    "guided learning": _published(43.3, 40.5, 67.1, 66.5, 74.1, 70.2),
    WITHOUT_BGRUS: _published(42.0, 39.4, 63.3, 61.0, 71.2, 69.1),
    BACKBONE: _published(43.1, 40.9, 69.0, 68.1, 75.0, 73.4),
    "+ DFD-MSE": _published(44.1, 41.3, 69.9, 69.6, 71.3, 68.7),
    "+ DFD-D": _published(44.4, 41.7, 73.2, 71.1, 73.4, 72.9),
    TFD: _published(48.0, 45.4, 71.7, 70.2, 78.6, 77.1),
    "+ TFD + DFD-D(w+u)": _published(42.9, 40.1, 72.9, 72.0, 75.2, 73.3),
    AFL: _published(48.9, 47.1, 75.6, 74.0, 80.0, 78.1),
    WHOLE: _published(51.6, 49.8, 76.4, 75.9, 83.4, 81.2),
}
"""Systems 0 to 9. The last is the one before with event-specific windows."""
TABLE_2: dict[str, tuple[str, Published | None]] = {
    "BCE throughout": (TFD, TABLE_1[TFD]),
    "gamma 2, tau 10": ("AFL, earlier tau", _published(49.1, 47.0, 75.4, 75.1, 78.0, 76.6)),
    "gamma 2, tau 15": (AFL, TABLE_1[AFL]),
    "gamma 2, tau 30": ("AFL, later tau", _published(48.0, 47.1, 70.8, 70.1, 76.9, 76.4)),
    "gamma 1, tau 15": ("AFL, gamma 1.0", _published(45.5, 44.8, 74.3, 73.3, 75.3, 74.4)),
    "gamma 3, tau 15": ("AFL, gamma 3.0", _published(48.0, 46.6, 75.6, 74.0, 77.0, 75.2)),
    "Lin's form, gamma 2, tau 15": ("Lin's, gamma 2", None),
}
"""Rows, the titles of the steps that they show, and the paper's figures."""
TABLE_3: dict[str, tuple[float, float, float, float]] = {
    "Alarm_bell_ringing": (47.6, 77.4, 48.3, 83.3),
    "Blender": (39.5, 63.7, 40.3, 72.3),
    "Cat": (57.1, 86.1, 66.2, 89.6),
    "Dishes": (34.5, 74.6, 38.5, 78.2),
    "Dog": (52.2, 87.7, 52.8, 88.3),
    "Electric_shaver_toothbrush": (43.5, 78.0, 51.4, 80.8),
    "Frying": (51.5, 73.8, 54.5, 80.2),
    "Running_water": (32.9, 68.1, 31.2, 63.2),
    "Speech": (56.9, 93.4, 58.9, 93.3),
    "Vacuum_cleaner": (54.7, 77.7, 55.2, 82.3),
    "mean": (47.1, 78.0, 49.8, 81.2),
}
"""The paper's F1 on the evaluation set: events and tags with Avg, events and tags with ESP."""
KINDS = ("events", "segments", "tags")
CONFUSION, DURATIONS = "confusion.png", "durations.png"

_WIDTH = 100
_PAGE = """\
# {title}

{about}

Clips: {clips}. Figures are of the {validation} validation clips, in percent: macro F1 of events
(collars of 200 ms, offsets also 20 % of the duration), of segments of 1 s, and of clips' tags,
thresholds 0.5, the student's. Checkpoints are chosen on strong_validation and a part of weak.
Scores are gated by the clip's tags and filtered twice; a clip has the tags of which an event is
left. Windows are of the average duration, but in the row with ESP. A row of several seeds has their
mean and deviation; in brackets stands the 95 % interval of its first seed when clips are resampled.
A dash is what was not run.

The paper's figures are of other clips, the development / evaluation sets of DCASE 2019 task 4:
compare the order of rows, not the numbers.

## Table 1: what each part gives

{first}

{verdicts}

The paper's text credits TFD with 41.3 to 45.4 in events of the evaluation set; its table has 40.9
for the backbone, and 41.3 for DFD-MSE.

## Table 2: losses of labels

Tau stands for the paper's epochs of 200; here it is the plan's share of its own.

{second}

## Table 3: classes

Of "{system}", F1 of events / tags, with windows of the average duration (Avg) and of the durations
up to their knee (ESP). The paper's are of its evaluation set.

{third}

## Other networks

Tags before and after windows of the average duration.

{others}

## Embeddings that are distilled

Root mean square of a feature of each network's projection, and of its deviation from its mean over
frames, at the first and the last validation: what collapsed would end near 0.

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
        beside: title whose confusion is drawn beside it, by default the first of the paper's
            (without BGRUs) and the backbone that was run.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    system: str = AFL
    beside: str | None = None
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
        known = {*TABLE_1, *(title for title, _ in TABLE_2.values())}
        return _PAGE.format(
            title=results.title,
            about=fill(results.about.strip(), _WIDTH),
            clips=listed,
            validation=counts["validation"],
            first=table(
                ["system", *_heads("paper"), "seeds"],
                (_row(row, _done(found, row), published) for row, published in TABLE_1.items()),
            ),
            verdicts="\n".join(verdicts(found)),
            second=table(
                ["loss", *_heads("paper"), "seeds"],
                (_row(row, _done(found, title), of) for row, (title, of) in TABLE_2.items()),
            ),
            system=self.system,
            third=table(
                ["class", "Avg", "paper's", "ESP", "paper's", "windows, Avg and ESP"],
                _third(_done(found, self.system)),
            ),
            others=table(
                ["network", "parameters", "events", "segments", "tags", "tags before", "seeds"],
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
        shown = {title: _done(found, title) for title in (self._beside(found), self._drawn(found))}
        shares = {
            title: [of.average.confusion for of in seeds] for title, seeds in shown.items() if seeds
        }
        if shares:
            draw_confusions(shares, folder / CONFUSION)
        draw_durations(
            event_durations(read_desed(results.paths["data"], "strong")), folder / DURATIONS
        )

    def _beside(self, found: Found) -> str:
        if self.beside is not None:
            return self.beside
        return WITHOUT_BGRUS if _done(found, WITHOUT_BGRUS) else BACKBONE

    def _drawn(self, found: Found) -> str:
        """Return the title whose confusion is drawn: with event-specific windows, if it has any."""
        return WHOLE if self.system == AFL and _done(found, WHOLE) else self.system

    def _links(self, results: Results, found: Found) -> str:
        if not results.pictures:
            return ""
        captions = {DURATIONS: "Durations of training events (the paper's figure 7)"}
        if _done(found, self._drawn(found)) or _done(found, self._beside(found)):
            captions[CONFUSION] = "Confusion of tags (the paper's figures 5 and 6)"
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


def _heads(whose: str) -> list[str]:
    return [head for kind in KINDS for head in (kind, f"{whose}'s")]


def _row(row: str, seeds: Sequence[Detected], published: Published | None) -> Sequence[str]:
    cells = []
    for kind in KINDS:
        cells.append(_spread([getattr(of.average, kind) for of in seeds]))
        pair = None if published is None else getattr(published, kind)
        cells.append("-" if pair is None else " / ".join(_percent(value) for value in pair))
    return [row, *cells, str(len(seeds) or "-")]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _other(title: str, seeds: Sequence[Detected]) -> Sequence[str]:
    kinds = [[getattr(of.average, kind) for of in seeds] for kind in KINDS]
    cells = [_spread(of_seeds) for of_seeds in (*kinds, [of.tags for of in seeds])]
    parameters = f"{seeds[0].parameters:,}" if seeds else "-"
    return [title, parameters, *cells, str(len(seeds) or "-")]


def _third(seeds: Sequence[Detected]) -> Iterator[Sequence[str]]:
    names = ("average", "event_specific")
    for label in seeds[0].average.windows_s if seeds else ():
        cells = []
        for name in names:
            pair = []
            for kind in ("events", "tags"):
                values = [getattr(getattr(of, name), kind).classes[label] for of in seeds]
                known = [100.0 * value for value in values if value is not None]
                pair.append(_mean(known) if known else "-")
            cells.append(" / ".join(pair))
        windows = ", ".join(f"{getattr(seeds[0], name).windows_s[label]:.2f} s" for name in names)
        yield _beside_the_papers(label, cells, windows)
    if seeds:
        cells = [
            " / ".join(
                _spread([getattr(getattr(of, name), kind) for of in seeds])
                for kind in ("events", "tags")
            )
            for name in names
        ]
        yield _beside_the_papers("mean", cells, "")


def _beside_the_papers(label: str, cells: Sequence[str], windows: str) -> Sequence[str]:
    theirs = TABLE_3.get(label)
    pairs = ["-"] * 2 if theirs is None else [f"{theirs[at]} / {theirs[at + 1]}" for at in (0, 2)]
    return [label, cells[0], pairs[0], cells[1], pairs[1], windows]


def _spread(of_seeds: Sequence[F1]) -> str:
    if not of_seeds:
        return "-"
    low, high = (100.0 * bound for bound in of_seeds[0].interval)
    return f"{_mean([100.0 * of.macro for of in of_seeds])} ({low:.1f} to {high:.1f})"


def _mean(values: Sequence[float]) -> str:
    mean = f"{fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {stdev(values):.1f}"


STEPS_UP = (
    (WITHOUT_BGRUS, BACKBONE),
    (BACKBONE, "+ DFD-MSE"),
    (BACKBONE, "+ DFD-D"),
    (BACKBONE, TFD),
    (TFD, "+ TFD + DFD-D(w+u)"),
    (TFD, AFL),
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
        for kind in KINDS:
            gains = [
                100.0 * (getattr(theirs.average, kind).macro - getattr(mine.average, kind).macro)
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
            verdicts_of.append(f"{kind} {fmean(gains):+.1f}, {verdict}")
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
