"""This evaluation beside that of another run, read from its ``metrics.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsed.errors import DataError
from streamsed.evaluate.evaluation import Evaluation, Metric
from streamsed.evaluate.results import read_metrics

_SAME = 1e-6  # hours, of files that round
_NOT_COMPARED = ("interval", "threshold", "thresholds")  # of the run, not of the metric


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric in both runs; NaN where undefined or absent.

    Attributes:
        key: of the metric.
        title: for people.
        value: of this evaluation.
        other: of the other run.
        per_class: by label, value and other.
    """

    key: str
    title: str
    value: float
    other: float
    per_class: Mapping[str, tuple[float, float]]

    @property
    def change(self) -> float:
        """``value`` less ``other``."""
        return self.value - self.other


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two evaluations side by side.

    Attributes:
        other: file of the other run.
        differences: a row for each metric that both have.
        doubts: why they may not be comparable, a line each; empty if nothing is in doubt.
    """

    other: Path
    differences: tuple[Difference, ...]
    doubts: tuple[str, ...]


def compare(evaluation: Evaluation, path: Path) -> Comparison:
    """Compare with another run.

    Args:
        evaluation: of this run.
        path: ``metrics.json`` of the other, or the folder that holds it.

    Raises:
        DataError: it cannot be read, or has no metric that this evaluation has.
    """
    file, content = check_run(path)
    try:
        both = [
            (m, content["metrics"][m.key])
            for m in evaluation.metrics
            if m.key in content["metrics"]
        ]
        doubts = [*_other_data(evaluation, content), *_other_parameters(both)]
        differences = tuple(_difference(metric, other) for metric, other in both)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: is no metrics.json of streamsed evaluate: {error!r}") from error
    if not differences:
        raise DataError(f"{file}: has none of the metrics of this evaluation")
    lacking = [m.title for m in evaluation.metrics if m.key not in content["metrics"]]
    if lacking:
        doubts.append(f"the other run does not have {', '.join(lacking)}")
    return Comparison(file, differences, tuple(doubts))


def check_run(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the file of another run and its content.

    Args:
        path: ``metrics.json``, or the folder that holds it.

    Raises:
        DataError: it cannot be read.
    """
    file = path / "metrics.json" if path.is_dir() else path
    return file, read_metrics(file)


def _difference(metric: Metric, other: Mapping[str, Any]) -> Difference:
    return Difference(
        key=metric.key,
        title=metric.title,
        value=metric.value,
        other=_number(other["value"]),
        per_class={
            label: (value, _number(other["per_class"].get(label)))
            for label, value in metric.per_class.items()
        },
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _other_data(evaluation: Evaluation, other: Mapping[str, Any]) -> list[str]:
    doubts = []
    if other["recordings"] != evaluation.recordings or (
        abs(other["hours"] - evaluation.hours) > _SAME
    ):
        doubts.append(
            f"not the same recordings: {evaluation.recordings} of {evaluation.hours:.4g} h here, "
            f"{other['recordings']} of {other['hours']:.4g} h in the other run"
        )
    if set(other["classes"]) != set(evaluation.classes):
        doubts.append(
            f"not the same classes: {len(evaluation.classes)} here, {len(other['classes'])} in "
            "the other run"
        )
    true = {label: counts.truth for label, counts in evaluation.counts.items()}
    others = {label: counts["truth"] for label, counts in other["counts"].items()}
    changed = [label for label in true if label in others and true[label] != others[label]]
    if changed:
        label = changed[0]
        doubts.append(
            f"not the same ground truth: {true[label]} events of {label} here, {others[label]} "
            f"in the other run; {len(changed)} of {len(true)} classes differ"
        )
    return doubts


def _other_parameters(both: list[tuple[Metric, Mapping[str, Any]]]) -> list[str]:
    doubts = []
    for metric, other in both:
        names = {*metric.parameters, *other["parameters"]}.difference(_NOT_COMPARED)
        for name in sorted(names):
            here, there = metric.parameters.get(name), other["parameters"].get(name)
            if here != there:
                doubts.append(
                    f"{metric.title} not with the same parameters: {name} {here} here, {there} in "
                    "the other run"
                )
    return doubts
