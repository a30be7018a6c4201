"""The page: an evaluation worded, drawn, and put into the template."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from streamsed import __version__
from streamsed.evaluate.comparison import Comparison
from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.evaluation import Evaluation, Metric
from streamsed.evaluate.metrics.detections import operating_point
from streamsed.evaluate.report.class_tables import (
    average_rows,
    confusion_rows,
    error_rows,
    error_totals,
    metric_rows,
    most_confused,
)
from streamsed.evaluate.report.comparison_table import comparison_table
from streamsed.evaluate.report.curves import DASHES, roc_chart, threshold_charts
from streamsed.evaluate.report.latency import PERCENTILES, latency_charts, latency_rows
from streamsed.evaluate.report.pictures import worst_pictures
from streamsed.evaluate.report.theme import themed
from streamsed.evaluate.report.wording import (
    between,
    count,
    figure_of_merit,
    legible,
    length,
    seconds,
)

MOST_CLASSES = 40
"""Classes in the confusion matrix, and with a chart of thresholds, at most."""
LISTED = 100
"""Recordings in the list of the worst at most."""
_INTERVAL = "interval"
_WITHOUT_COLUMN = frozenset({"f1mo_exact"})
"""Metrics that are not shown by class: they hardly differ from another there."""


@dataclass(frozen=True, slots=True)
class Headline:
    """A metric in words.

    Attributes:
        key: of the metric.
        title: for people.
        value: worded.
        share: the value, 0 to 1; 0 where it is undefined.
        interval: worded; empty without one.
        low: lower end of the interval, 0 to 1.
        high: upper end.
        computed_by: library and version.
        parameters: name and value, worded.
    """

    key: str
    title: str
    value: str
    share: float
    interval: str
    low: float
    high: float
    computed_by: str
    parameters: tuple[tuple[str, str], ...]


def write_report(
    evaluation: Evaluation,
    data: EvaluationData,
    folder: Path,
    *,
    title: str = "Evaluation",
    worst: int = 8,
    provenance: Mapping[str, str] | None = None,
    comparison: Comparison | None = None,
    sounds: bool = True,
) -> Path:
    """Write ``report.html``: one file, which fetches nothing.

    Args:
        evaluation: the figures.
        data: what they are of; for the pictures.
        folder: where to; made if it is not there.
        title: of the page.
        worst: how many pictures of the recordings with most errors.
        provenance: what it was made with and when, for people: command, date, inputs, versions.
        comparison: with another run; None for none.
        sounds: whether to add the sound of each picture, where there is audio.

    Returns:
        The path of the report.

    Raises:
        OSError: it cannot be written.
    """
    thresholds = _thresholds(data)
    environment = Environment(
        loader=PackageLoader("streamsed.evaluate.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    areas = {metric.key: metric.value for metric in evaluation.metrics}
    by_class = [m for m in evaluation.metrics if m.per_class and m.key not in _WITHOUT_COLUMN]
    wrong = [errors for errors in evaluation.by_recording if errors.errors]
    with themed():
        html = environment.get_template("report.html").render(
            title=legible(title),
            evaluated=legible(data.evaluated),
            version=__version__,
            recordings=count(evaluation.recordings),
            length=length(evaluation.hours),
            classes=len(evaluation.classes),
            notes=[legible(note) for note in evaluation.notes],
            headlines=[headline(metric) for metric in evaluation.metrics],
            intervals=_intervals(evaluation.metrics),
            metrics=by_class,
            metric_rows=metric_rows(by_class, evaluation.classes),
            error_rows=error_rows(evaluation.counts),
            error_totals=error_totals(evaluation.counts),
            average_rows=average_rows(evaluation.averages),
            comparison=None if comparison is None else comparison_table(comparison),
            nothing_detected=bool(evaluation.counts)
            and not any(of.found for of in evaluation.counts.values()),
            provenance={legible(k): legible(v) for k, v in (provenance or {}).items()},
            rocs=[
                roc_chart(curve, value=areas.get(curve.key, math.nan), name=f"roc{index}")
                for index, curve in enumerate(evaluation.roc)
            ],
            curve_titles=[legible(curve.title) for curve in evaluation.f1_over_threshold],
            dashes=_dash_patterns(len(evaluation.f1_over_threshold)),
            threshold_charts=threshold_charts(
                evaluation.f1_over_threshold,
                operating=thresholds,
                labels=_most_true(evaluation),
            ),
            threshold_classes=len(_most_true(evaluation)),
            percentiles=PERCENTILES,
            latency_charts=latency_charts(evaluation.latency),
            latency_rows=latency_rows(evaluation.latency) if evaluation.latency else (),
            seconds=seconds,
            count=count,
            confusion=None
            if evaluation.confusion is None
            else confusion_rows(most_confused(evaluation.confusion, most=MOST_CLASSES)),
            most_classes=MOST_CLASSES,
            errors_known=bool(evaluation.by_recording),
            wrong=[(legible(e.recording), e) for e in wrong[:LISTED]],
            wrong_in_all=count(len(wrong)),
            pictures=tuple(
                worst_pictures(evaluation, data, worst=worst, thresholds=thresholds, sounds=sounds)
            ),
            thresholds_known=bool(thresholds),
            scores_known=data.scores is not None,
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


def _most_true(evaluation: Evaluation) -> Sequence[str]:
    """Return the classes with most true events that have a chart each, in their order."""
    true = {label: of.truth for label, of in evaluation.counts.items()}
    ranked = sorted(evaluation.classes, key=lambda label: -true.get(label, 0))
    chosen = frozenset(ranked[:MOST_CLASSES])
    return [label for label in evaluation.classes if label in chosen]


def breakable(label: str) -> Markup:
    """Return a label that may be broken after each underscore."""
    return escape(label).replace("_", Markup("_<wbr>"))


def headline(metric: Metric) -> Headline:
    """Word a metric."""
    interval = metric.interval
    known = interval is not None and math.isfinite(interval.low) and math.isfinite(interval.high)
    low, high = (interval.low, interval.high) if interval is not None and known else (0.0, 0.0)
    worded = ""
    if interval is not None and known:
        worded = f"{100 * interval.level:g} % interval {between(metric.key, low, high)}"
    return Headline(
        key=metric.key,
        title=legible(metric.title),
        value=figure_of_merit(metric.key, metric.value),
        share=metric.value if math.isfinite(metric.value) else 0.0,
        interval=worded,
        low=low,
        high=high,
        computed_by=legible(metric.computed_by),
        parameters=tuple(
            (name, f"{value:g}" if isinstance(value, float) else legible(str(value)))
            for name, value in metric.parameters.items()
            if name != _INTERVAL  # the same for all: printed below them
        ),
    )


def _intervals(metrics: Iterable[Metric]) -> str:
    """Return how the intervals were computed."""
    how = dict.fromkeys(str(m.parameters[_INTERVAL]) for m in metrics if _INTERVAL in m.parameters)
    return "; ".join(map(legible, how))


def _thresholds(data: EvaluationData) -> Mapping[str, float]:
    """Return the thresholds in use by class: at which errors are counted; empty if not known."""
    if data.class_thresholds:
        return data.class_thresholds
    point = operating_point(data)
    if point is None or point.threshold is None:
        return {}
    return dict.fromkeys(data.classes, point.threshold)


def _dash_patterns(lines: int) -> Sequence[str]:
    """Return the dashes of the lines as SVG writes them."""
    return [
        "" if isinstance(dash, str) else " ".join(f"{1.6 * part:g}" for part in dash[1])
        for dash, _ in zip(DASHES * lines, range(lines), strict=False)
    ]
