"""Metrics of the field, each through the field's own library. Needs the extra ``eval``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamsed.exports import lazy

if TYPE_CHECKING:
    from streamsed.evaluate.evaluation import Evaluation, Metric
    from streamsed.evaluate.material import Material, ScoreTable
    from streamsed.evaluate.measure import evaluate
    from streamsed.evaluate.reading import read_material, read_replay
    from streamsed.evaluate.report import write_report
    from streamsed.evaluate.results import read_metrics, write_metrics

__all__ = [
    "Evaluation",
    "Material",
    "Metric",
    "ScoreTable",
    "evaluate",
    "read_material",
    "read_metrics",
    "read_replay",
    "write_metrics",
    "write_report",
]

__getattr__ = lazy(
    __name__,
    {
        "Evaluation": "streamsed.evaluate.evaluation",
        "Material": "streamsed.evaluate.material",
        "Metric": "streamsed.evaluate.evaluation",
        "ScoreTable": "streamsed.evaluate.material",
        "evaluate": "streamsed.evaluate.measure",
        "read_material": "streamsed.evaluate.reading",
        "read_metrics": "streamsed.evaluate.results",
        "read_replay": "streamsed.evaluate.reading",
        "write_metrics": "streamsed.evaluate.results",
        "write_report": "streamsed.evaluate.report",
    },
)
