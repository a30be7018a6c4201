"""Metrics of the field, each through the field's own library. Needs the extra ``eval``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamsed.exports import lazy

if TYPE_CHECKING:
    from streamsed.evaluate.data import EvaluationData, ScoreTable
    from streamsed.evaluate.evaluation import Evaluation, Metric
    from streamsed.evaluate.measure import evaluate
    from streamsed.evaluate.reading.evaluation_data import read_evaluation_data, read_replay
    from streamsed.evaluate.report import write_report
    from streamsed.evaluate.results import read_metrics, write_metrics

__all__ = [
    "Evaluation",
    "EvaluationData",
    "Metric",
    "ScoreTable",
    "evaluate",
    "read_evaluation_data",
    "read_metrics",
    "read_replay",
    "write_metrics",
    "write_report",
]

__getattr__ = lazy(
    __name__,
    {
        "Evaluation": "streamsed.evaluate.evaluation",
        "EvaluationData": "streamsed.evaluate.data",
        "Metric": "streamsed.evaluate.evaluation",
        "ScoreTable": "streamsed.evaluate.data",
        "evaluate": "streamsed.evaluate.measure",
        "read_evaluation_data": "streamsed.evaluate.reading.evaluation_data",
        "read_metrics": "streamsed.evaluate.results",
        "read_replay": "streamsed.evaluate.reading.evaluation_data",
        "write_metrics": "streamsed.evaluate.results",
        "write_report": "streamsed.evaluate.report",
    },
)
