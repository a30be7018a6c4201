"""``metrics.json``: an evaluation for machines, schema ``streamsed.metrics/1``.

::

    schema              "streamsed.metrics/1"
    classes             labels, in the order of the matrices
    recordings, hours   how much was evaluated
    metrics.<key>       value, per_class.<label>, interval {low, high, level} or null,
                        title, computed_by, parameters
    counts.<label>      truth, found, hits, missed, wrong, false_alarms, false_alarms_per_hour
    averages.<criterion>      title; micro, macro, per_class.<label>: each {precision, recall, f1,
                        error_rate}
    latency_s.<label>   onset, offset: each {count, p50, p90, p99}, seconds of audio
    roc.<key>           max_efpr, efpr [], effective_tpr [], per_class.<label> []
    f1_over_threshold.<key>   thresholds [], macro [], per_class.<label> []
    confusion           labels (with "nothing" last), counts [[]]: rows truth, columns detections;
                        or null
    by_recording        [{recording, truth, hits, missed, wrong}], most errors first
    notes               lines for people

Keys of metrics: ``psds1 psds2 psds1_exact psds2_exact event_f1 intersection_f1 segment_f1
tagging_f1 f1mo f1mo_exact``, as far as the data allow. What is undefined, such as the F1 of a
class without truth, is null. Keys are sorted and figures rounded to nine decimals: of the same
data comes the same file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import DataError
from streamsed.evaluate.evaluation import (
    Averages,
    ClassCounts,
    ClassLatency,
    Confusion,
    Evaluation,
    Metric,
    RecordingErrors,
    RocCurve,
    ThresholdCurve,
)

SCHEMA = "streamsed.metrics/1"
_DECIMALS = 9


def metrics_text(evaluation: Evaluation) -> str:
    """Return the text of ``metrics.json``."""
    text = json.dumps(
        _plain(document(evaluation)), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False
    )
    return text + "\n"


def write_metrics(evaluation: Evaluation, path: Path) -> None:
    """Write ``metrics.json``, in the folder of which nothing else is touched."""
    path.write_text(metrics_text(evaluation), encoding="utf-8")


def read_metrics(path: Path) -> dict[str, Any]:
    """Return what :func:`write_metrics` wrote, with None where something is undefined.

    Raises:
        DataError: the file cannot be read, is no JSON or of another schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path}: is no JSON: {error}") from None
    found = content.get("schema") if isinstance(content, dict) else None
    if found != SCHEMA:
        raise DataError(f"{path}: schema is {found!r}; {SCHEMA!r} would be right")
    return dict(content)


def document(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation as nested mappings and sequences; figures are not yet rounded."""
    return {
        "schema": SCHEMA,
        "classes": evaluation.classes,
        "recordings": evaluation.recordings,
        "hours": evaluation.hours,
        "metrics": {metric.key: _metric(metric) for metric in evaluation.metrics},
        "counts": {label: _counts(counts) for label, counts in evaluation.counts.items()},
        "latency_s": {label: _latency(latency) for label, latency in evaluation.latency.items()},
        "roc": {curve.key: _roc(curve) for curve in evaluation.roc},
        "f1_over_threshold": {curve.key: _curve(curve) for curve in evaluation.f1_over_threshold},
        "averages": {key: _averages(each) for key, each in evaluation.averages.items()},
        "confusion": None if evaluation.confusion is None else _confusion(evaluation.confusion),
        "by_recording": [_errors(errors) for errors in evaluation.by_recording],
        "notes": evaluation.notes,
    }


def _metric(metric: Metric) -> dict[str, Any]:
    interval = metric.interval
    return {
        "title": metric.title,
        "computed_by": metric.computed_by,
        "parameters": metric.parameters,
        "value": metric.value,
        "per_class": metric.per_class,
        "interval": None
        if interval is None
        else {"low": interval.low, "high": interval.high, "level": interval.level},
    }


def _averages(averages: Averages) -> dict[str, Any]:
    return {
        "title": averages.title,
        "micro": asdict(averages.micro),
        "macro": asdict(averages.macro),
        "per_class": {label: asdict(rates) for label, rates in averages.per_class.items()},
    }


def _counts(counts: ClassCounts) -> dict[str, Any]:
    return {
        "truth": counts.truth,
        "found": counts.found,
        "hits": counts.hits,
        "missed": counts.missed,
        "wrong": counts.wrong,
        "false_alarms": counts.false_alarms,
        "false_alarms_per_hour": counts.false_alarms_per_hour,
    }


def _latency(latency: ClassLatency) -> dict[str, Any]:
    return {"onset": _percentiles(latency.onset_s), "offset": _percentiles(latency.offset_s)}


def _percentiles(values: NDArray[np.float64]) -> dict[str, Any]:
    quantiles = np.quantile(values, [0.5, 0.9, 0.99]) if len(values) else np.full(3, np.nan)
    p50, p90, p99 = quantiles.tolist()
    return {"count": len(values), "p50": p50, "p90": p90, "p99": p99}


def _roc(curve: RocCurve) -> dict[str, Any]:
    return {
        "title": curve.title,
        "max_efpr": curve.max_efpr,
        "efpr": curve.efpr,
        "effective_tpr": curve.effective_tpr,
        "per_class": curve.per_class,
    }


def _curve(curve: ThresholdCurve) -> dict[str, Any]:
    return {
        "title": curve.title,
        "thresholds": curve.thresholds,
        "macro": curve.macro,
        "per_class": curve.per_class,
    }


def _confusion(confusion: Confusion) -> dict[str, Any]:
    return {"labels": [*confusion.labels, "nothing"], "counts": confusion.counts}


def _errors(errors: RecordingErrors) -> dict[str, Any]:
    return {
        "recording": errors.recording,
        "truth": errors.truth,
        "hits": errors.hits,
        "missed": errors.truth - errors.hits,
        "wrong": errors.wrong,
    }


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON has it: lists, rounded numbers, null for what is no number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(float(value), _DECIMALS) if math.isfinite(value) else None
    return value
