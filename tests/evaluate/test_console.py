"""How an evaluation is printed."""

from __future__ import annotations

import io
import math

import numpy as np
from rich.console import Console

from streamsed.evaluate.console import print_evaluation
from streamsed.evaluate.evaluation import (
    ClassCounts,
    ClassLatency,
    Evaluation,
    Interval,
    Metric,
)

CLASSES = ("Electric_shaver_toothbrush", "[red]Dog")


def metric(key: str, value: float, **parameters: float) -> Metric:
    return Metric(
        key=key,
        title=f"The {key}",
        computed_by="some_library 1.2",
        parameters={**parameters, "interval": "percentiles of 10 resamples"},
        value=value,
        per_class={CLASSES[0]: value},
        interval=Interval(low=value / 2, high=value, level=0.95),
    )


def evaluation(*metrics: Metric) -> Evaluation:
    return Evaluation(
        classes=CLASSES,
        recordings=1,
        hours=0.5,
        metrics=metrics,
        counts={label: ClassCounts(10, 11, 4, 3, 6.0) for label in CLASSES},
        latency={CLASSES[0]: ClassLatency(np.arange(101) / 100, np.empty(0))},
        roc=(),
        f1_over_threshold=(),
        confusion=None,
        by_recording=(),
        notes=("truth.tsv: merged [2] labels",),
    )


def printed(what: Evaluation, *, width: int = 120) -> str:
    file = io.StringIO()
    print_evaluation(what, Console(file=file, width=width, highlight=False))
    return file.getvalue()


def row(text: str, begin: str, *, nth: int = 0) -> list[str]:
    return [line for line in text.splitlines() if line.strip().startswith(begin)][nth].split()


def test_figures_with_their_parameters_library_and_interval() -> None:
    text = printed(evaluation(metric("psds1", 0.33451, dtc=0.7), metric("event_f1", 0.398)))
    assert text.startswith("1 recording, 30.0 min of audio, 2 classes\n")
    assert "The psds1     0.3345  0.167 to 0.335  some_library 1.2: dtc 0.7" in text
    assert "The event_f1  39.8 %  19.9 to 39.8 %  some_library 1.2" in text
    assert "95 % interval" in text
    assert text.count("percentiles of 10 resamples") == 1


def test_class_by_class() -> None:
    text = printed(evaluation(metric("psds1", 0.5), metric("event_f1", 0.25)))
    assert row(text, CLASSES[0]) == [CLASSES[0], "0.5000", "25.0", "%"]
    assert row(text, CLASSES[1]) == [CLASSES[1], "-", "-"]  # no truth; and no markup
    assert row(text, CLASSES[0], nth=1)[1:] == ["10", "11", "4", "6", "7", "3", "6.00"]
    assert row(text, "all") == ["all", "20", "22", "8", "12", "14", "6", "12.00"]
    assert row(text, CLASSES[0], nth=2)[1:] == ["101", "0.50", "0.90", "0.99", "0", "-", "-", "-"]


def test_notes_come_last() -> None:
    assert printed(evaluation()).rstrip().endswith("note: truth.tsv: merged [2] labels")


def test_a_figure_that_is_not_defined() -> None:
    text = printed(evaluation(metric("event_f1", math.nan)))
    assert row(text, "The event_f1")[2:4] == ["-", "-"]


def test_a_narrow_terminal_shows_every_figure() -> None:
    keys = ("psds1", "psds1_exact", "psds2", "psds2_exact", "event_f1", "intersection_f1")
    keys = (*keys, "segment_f1", "tagging_f1", "f1mo", "f1mo_exact")
    metrics = [metric(key, 0.01 * (11 + number)) for number, key in enumerate(keys)]
    text = printed(evaluation(*metrics), width=80)
    assert max(map(len, text.splitlines())) <= 80
    for number, key in enumerate(keys):
        value = 0.01 * (11 + number)
        assert text.count(f"{value:.4f}" if "psds" in key else f" {100 * value:.1f} %") >= 2
