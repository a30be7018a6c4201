"""Two runs side by side, and what speaks against comparing them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from streamsed.errors import DataError
from streamsed.evaluate.comparison import compare
from streamsed.evaluate.console import print_comparison
from streamsed.evaluate.evaluation import Evaluation
from streamsed.evaluate.measure import evaluate
from streamsed.evaluate.report import write_report
from streamsed.evaluate.results import write_metrics
from tests.evaluate.drawn import noisy_data

TRUTH = noisy_data(1, recordings=6)


def run(threshold: float) -> Evaluation:
    return evaluate(replace(TRUTH, threshold=threshold), bootstrap=0)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other")
    write_metrics(run(0.2), folder / "metrics.json")
    return folder


def test_every_metric_stands_beside_that_of_the_other_run(other: Path) -> None:
    one = run(0.6)
    for path in (other, other / "metrics.json"):
        comparison = compare(one, path)
        content = json.loads((other / "metrics.json").read_text())["metrics"]
        assert [d.key for d in comparison.differences] == [m.key for m in one.metrics]
        for each in comparison.differences:
            assert each.other == pytest.approx(content[each.key]["value"], nan_ok=True)
            assert each.change == pytest.approx(each.value - each.other, nan_ok=True)
        assert comparison.doubts == ()
        assert any(each.change != 0 for each in comparison.differences)


def test_other_recordings_classes_truth_and_parameters_are_named(other: Path) -> None:
    assert TRUTH.scores is not None
    names = list(TRUTH.durations_s)[:4]
    fewer = replace(
        TRUTH,
        durations_s={name: TRUTH.durations_s[name] for name in names},
        truth=TRUTH.truth[TRUTH.truth["filename"].isin(names)],
        scores={name: TRUTH.scores[name] for name in names},
    )
    doubts = compare(evaluate(fewer, bootstrap=0), other).doubts
    assert any("not the same recordings: 4" in doubt for doubt in doubts)
    assert any("not the same ground truth" in doubt for doubt in doubts)
    content = json.loads((other / "metrics.json").read_text())
    content["metrics"]["event_f1"]["parameters"]["t_collar"] = 0.5
    content["classes"].append("Parrot")
    changed = other / "changed.json"
    changed.write_text(json.dumps(content))
    doubts = compare(run(0.6), changed).doubts
    assert any("t_collar 0.2 here, 0.5" in doubt for doubt in doubts)
    assert any("not the same classes: 3 here, 4" in doubt for doubt in doubts)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    with pytest.raises(DataError, match="cannot be read"):
        compare(run(0.6), tmp_path)
    file.write_text('{"schema": "streamsed.metrics/1", "metrics": {"event_f1": 3}}')
    with pytest.raises(DataError, match="of streamsed evaluate"):
        compare(run(0.6), tmp_path)


def test_console_and_report_show_both_runs(other: Path, tmp_path: Path) -> None:
    one = run(0.6)
    comparison = compare(one, other)
    metric = next(d for d in comparison.differences if d.key == "event_f1")
    values = [f"{100 * value:.1f} %" for value in (metric.value, metric.other)]
    file = io.StringIO()
    print_comparison(comparison, Console(file=file, width=120, highlight=False))
    line = next(x for x in file.getvalue().splitlines() if x.strip().startswith("Event-based F1"))
    assert [f"{a} {b}" for a, b in zip(line.split()[2::2], line.split()[3::2], strict=True)][
        :2
    ] == values
    html = write_report(one, TRUTH, tmp_path, comparison=comparison).read_text()
    assert "Compared with another run" in html
    assert all(value in html for value in values)
