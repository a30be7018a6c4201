"""The report of a calibration: for the terminal, the model card and the manifest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamsed.bundle.manifest import ClassPostprocessing
from streamsed.printable import printable
from train.postprocess.calibration import Calibration, CalibrationConfig
from train.postprocess.choices import WindowMethod
from train.postprocess.metrics import ClassMetrics, Metrics

_METRICS = {
    "event_f1": "event\nF1",
    "intersection_f1": "intersection\nF1",
    "psds1": "\nPSDS1",
    "psds2": "\nPSDS2",
    "false_alarms_per_hour": "false\nalarms/h",
}
_OVERALL = "all (macro; PSDS; mean)"
_OVERFIT = (
    "before: as the bundle was. after: fitted and measured on the same recordings, which flatters."
)


@dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """A calibration and what it was made of.

    Attributes:
        calibration: what came of it.
        config: how.
        events: true events by class.
        recordings: how many.
        hours: of audio.
        ground_truth: name of the table.
        ground_truth_sha256: of the table, in hex.
        windows_from: where median windows come from, in words; None if they were not made of
            labels.
        notes: for people.
    """

    calibration: Calibration
    config: CalibrationConfig
    events: dict[str, int]
    recordings: int
    hours: float
    ground_truth: str
    ground_truth_sha256: str
    windows_from: str | None
    notes: tuple[str, ...]

    @property
    def windows(self) -> str:
        """Where median windows come from, in words."""
        if self.windows_from is not None:
            return self.windows_from
        kept = self.config.windows is WindowMethod.KEEP
        return "as they were" if kept else "searched on the same recordings"

    @property
    def overfit(self) -> str:
        """Which figures are to be believed, in words."""
        if not self.config.folds:
            return f"{_OVERFIT} There are no cross-validated figures."
        return (
            f"{_OVERFIT} folds: each of {self.config.folds} parts of the recordings by what was "
            "fitted on the others, which is nearer to what to expect elsewhere; recordings whose "
            "names differ in numbers at their ends are taken for neighbours and kept together as "
            "far as that goes."
        )

    def show(self, console: Console) -> None:
        """Print tables."""
        audio = f"{self.recordings} recordings, {self.hours:.2f} h"
        soft = not console.is_terminal
        for line in (
            f"calibrated on {audio}, {self.ground_truth}",
            f"objective: {self.config.in_words}",
            f"windows: {self.windows}",
        ):
            console.print(Text(printable(line)), soft_wrap=soft)
        metrics = list(_METRICS)
        for group in (metrics[:2], metrics[2:4], metrics[4:]):
            console.print(self._figures_table(group))
        console.print(self._rules_table())
        for line in (self.overfit, *(f"note: {note}" for note in self.notes)):
            console.print(Text(printable(line)), soft_wrap=soft)

    def _columns(self) -> list[tuple[str, Metrics]]:
        found = [("before", self.calibration.before), ("after", self.calibration.after)]
        if self.calibration.held_out is not None:
            found.append(("folds", self.calibration.held_out))
        return found

    def _figures_table(self, metrics: Sequence[str]) -> Table:
        table = _table()
        table.add_column("\n\nclass", overflow="fold")
        table.add_column("\n\nevents", justify="right")
        for metric in metrics:
            for number, (name, _) in enumerate(self._columns()):
                title = _METRICS[metric] if number == 0 else "\n"
                table.add_column(f"{title}\n{name}", justify="right", no_wrap=True)
        for label, *cells in self._figure_rows(metrics):
            if label == _OVERALL:
                table.add_section()
            table.add_row(Text(printable(label)), *cells)
        return table

    def _figure_rows(self, metrics: Sequence[str]) -> Iterator[list[str]]:
        """Yield label, events, and for each metric its values before, after and held out."""
        columns = [figures for _, figures in self._columns()]
        for label in self.calibration.fitted:
            rows = [figures.classes[label] for figures in columns]
            yield [label, str(self.events[label]), *_cells(rows, metrics)]
        overall = [figures.overall for figures in columns]
        yield [_OVERALL, str(sum(self.events.values())), *_cells(overall, metrics)]

    def _rules_table(self) -> Table:
        table = _table()
        table.add_column("class", overflow="fold")
        for title in ("window s", "enter", "exit", "min on s", "min off s"):
            table.add_column(title, justify="right", no_wrap=True)
        for label, after in self.calibration.fitted.items():
            changes = zip(_rules(self.calibration.previous[label]), _rules(after), strict=True)
            cells = (new if old == new else f"{old} → {new}" for old, new in changes)
            table.add_row(Text(printable(label)), *cells)
        return table

    def card_section(self) -> str:
        """Return the model card's section on it, in Markdown."""
        heads = [
            f"{' '.join(_METRICS[metric].split())} {name}"
            for metric in _METRICS
            for name, _ in self._columns()
        ]
        rules = [[label, *_rules(p)] for label, p in self.calibration.fitted.items()]
        made_of = (
            f"Thresholds, hysteresis, durations and windows were fitted on {self.recordings} "
            f"recordings ({self.hours:.2f} hours) with the ground truth `{self.ground_truth}` "
            f"(sha256 {self.ground_truth_sha256[:16]}…) by `streamsed-train calibrate "
            f"{self._options()}`. Figures in other sections were measured with earlier thresholds "
            "and windows."
        )
        return "\n\n".join(
            (
                made_of,
                f"Objective: {self.config.in_words}. Median windows: {self.windows}.",
                _markdown(
                    ["class", "enter", "exit", "median s", "min on s", "min off s"],
                    [[r[0], r[2], r[3], r[1], *r[4:]] for r in rules],
                ),
                self.overfit,
                _markdown(["class", "events", *heads], list(self._figure_rows(list(_METRICS)))),
                *(["\n".join(f"- {note}" for note in self.notes)] if self.notes else []),
            )
        )

    def _options(self) -> str:
        limit = self.config.limit_per_hour
        options = [f"--objective {self.config.objective}", f"--windows {self.config.windows}"]
        options += [f"--limit {limit:g}"] if limit is not None else []
        return " ".join([*options, f"--folds {self.config.folds}"])

    def manifest_figures(self) -> dict[str, Any]:
        """Return the same for the manifest, as plain YAML values."""
        return {
            "objective": str(self.config.objective),
            "limit_per_hour": self.config.limit_per_hour,
            "windows": str(self.config.windows),
            "ground_truth": self.ground_truth,
            "ground_truth_sha256": self.ground_truth_sha256,
            "recordings": self.recordings,
            "hours": round(self.hours, 3),
            "folds": self.config.folds,
            **{name: _plain(figures) for name, figures in self._columns()},
        }


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def _cells(rows: Sequence[ClassMetrics], metrics: Sequence[str]) -> list[str]:
    return [_written(metric, getattr(row, metric)) for metric in metrics for row in rows]


def _written(metric: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.1f}" if metric == "false_alarms_per_hour" else f"{value:.3f}"


def _rules(rules: ClassPostprocessing) -> list[str]:
    seconds = (rules.min_on_s, rules.min_off_s)
    thresholds = (f"{rules.enter:g}", f"{rules.exit:g}")
    return [f"{rules.median_s:.2f}", *thresholds, *(f"{value:.2f}" for value in seconds)]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plain(figures: Metrics) -> dict[str, Any]:
    """Return figures rounded; None where there is none."""

    def rounded(one: ClassMetrics) -> dict[str, float | None]:
        return {
            key: None if math.isnan(value) else round(value, 4)
            for key, value in asdict(one).items()
        }

    classes = {label: rounded(one) for label, one in figures.classes.items()}
    return {"overall": rounded(figures.overall), "classes": classes}
