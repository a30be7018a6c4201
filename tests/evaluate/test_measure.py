"""Everything together: what is measured of which data, and what is written of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from psds_eval.psds import WORLD

from streamsed.errors import DataError
from streamsed.evaluate.criteria import exact_psds as exact
from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.evaluation import Evaluation, Metric
from streamsed.evaluate.measure import evaluate
from streamsed.evaluate.metrics import over_thresholds
from streamsed.evaluate.metrics.thresholds import THRESHOLDS, threshold_events
from streamsed.evaluate.results import read_metrics, write_metrics
from streamsed.evaluate.tables import event_table
from tests.evaluate.drawn import noisy_data, perfect_data

F1S = ["event_f1", "intersection_f1", "segment_f1", "tagging_f1"]
ALL = ["psds1", "psds2", "psds1_exact", "psds2_exact", *F1S, "f1mo", "f1mo_exact"]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Of data that has everything; nobody changes it."""
    data = noisy_data(2)
    assert data.scores is not None
    found = threshold_events(data.scores, 0.5, classes=data.classes)
    decided = found.assign(onset_decided=found["onset"] + 0.4, offset_decided=found["offset"] + 0.6)
    return evaluate(replace(data, events=found, decided=decided), bootstrap=50)


@pytest.fixture
def _few_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries take a second for fifty."""
    monkeypatch.setattr(over_thresholds, "THRESHOLDS", THRESHOLDS[::10])


def by_key(evaluation: Evaluation) -> dict[str, Metric]:
    return {metric.key: metric for metric in evaluation.metrics}


def test_scores_and_events_give_everything(evaluation: Evaluation) -> None:
    assert [metric.key for metric in evaluation.metrics] == ALL
    assert [curve.key for curve in evaluation.roc] == ["psds1", "psds2"]
    assert [c.key for c in evaluation.f1_over_threshold] == ["event_f1", "intersection_f1"]
    assert evaluation.confusion is not None
    assert len(evaluation.by_recording) == evaluation.recordings == 12
    assert evaluation.hours == pytest.approx(120 / 3600)
    assert sum(len(latency.onset_s) for latency in evaluation.latency.values()) > 0
    assert evaluation.notes == ()


@pytest.mark.usefixtures("_few_thresholds")
def test_says_what_it_is_at() -> None:
    steps: list[str] = []
    evaluate(perfect_data(), bootstrap=5, show=steps.append)
    assert [step.split()[0] for step in steps] == ["measuring"] * 3 + ["resampling"]


def test_headlines_have_intervals_and_say_how(evaluation: Evaluation) -> None:
    for metric in evaluation.metrics:
        assert (metric.interval is not None) == (metric.key in {"psds1", "psds2", *F1S})
        assert ("interval" in metric.parameters) == (metric.interval is not None)
        if metric.interval is not None:
            assert metric.interval.low <= metric.interval.high
            assert "50 resamples" in str(metric.parameters["interval"])


def test_each_metric_says_what_it_was_computed_with(evaluation: Evaluation) -> None:
    metrics = by_key(evaluation)
    for key, library in {"psds1": "psds_eval 0.5", "psds1_exact": "sed_scores_eval 0"}.items():
        assert f"values of {library}" in metrics[key].computed_by
    for key in ("event_f1", "segment_f1", "tagging_f1"):
        assert metrics[key].computed_by.startswith("sed_eval 0")
    one, two = metrics["psds1"].parameters, metrics["psds2"].parameters
    assert (one["dtc_threshold"], one["gtc_threshold"], one["alpha_ct"]) == (0.7, 0.7, 0.0)
    assert "cttc_threshold" not in one
    assert (two["dtc_threshold"], two["cttc_threshold"], two["alpha_ct"]) == (0.1, 0.3, 0.5)
    assert one["max_efpr"] == two["max_efpr"] == 100
    assert "oracle" in str(metrics["f1mo"].parameters["threshold"])


def test_a_curve_over_thresholds_goes_through_the_operating_point(
    evaluation: Evaluation,
) -> None:
    data = noisy_data(2)
    assert data.scores is not None
    at = threshold_events(data.scores, THRESHOLDS[20], classes=data.classes)
    metrics = by_key(evaluate(replace(data, events=at, scores=None), bootstrap=0))
    for curve in evaluation.f1_over_threshold:
        assert curve.thresholds[20] == THRESHOLDS[20]
        assert curve.macro[20] == pytest.approx(metrics[curve.key].value)
        for label, values in curve.per_class.items():
            assert values[20] == pytest.approx(metrics[curve.key].per_class[label])


@pytest.mark.usefixtures("_few_thresholds")
def test_perfect_scores_are_perfect_in_every_way() -> None:
    for metric in evaluate(perfect_data(), bootstrap=20).metrics:
        assert metric.value == pytest.approx(1.0)
        assert metric.per_class == pytest.approx({"Cat": 1.0, "Dog": 1.0})
        if metric.interval is not None:
            assert (metric.interval.low, metric.interval.high) == pytest.approx((1.0, 1.0))


def test_events_alone_give_f1_and_counts() -> None:
    data = perfect_data()
    found = evaluate(replace(data, scores=None, events=data.truth), bootstrap=0)
    assert [metric.key for metric in found.metrics] == F1S
    assert found.roc == found.f1_over_threshold == ()
    assert found.latency == {}
    assert any("no PSDS" in note for note in found.notes)
    assert any("no latency" in note for note in found.notes)


@pytest.mark.usefixtures("_few_thresholds")
def test_operating_points_give_psds_as_the_scores_do() -> None:
    data = noisy_data(4)
    assert data.scores is not None
    points = {t: threshold_events(data.scores, t, classes=data.classes) for t in THRESHOLDS[::10]}
    scores = by_key(evaluate(data, bootstrap=0))
    given = evaluate(replace(data, scores=None, operating_points=points), bootstrap=0)
    assert [metric.key for metric in given.metrics] == ["psds1", "psds2", *F1S]
    for key in ("psds1", "psds2"):
        assert by_key(given)[key].value == scores[key].value
    assert by_key(given)["event_f1"].parameters["threshold"] == 0.41


def test_nothing_detected_in_any_form_is_no_crash() -> None:
    found = evaluate(replace(perfect_data(), scores=None))
    assert found.metrics == ()
    assert found.confusion is None
    assert found.counts == {}
    assert found.by_recording == ()


def test_empty_detections_are_worth_nothing() -> None:
    found = evaluate(replace(perfect_data(), scores=None, events=event_table([])))
    assert [metric.value for metric in found.metrics] == [0.0] * 4
    assert all(counts.false_alarms == 0 for counts in found.counts.values())


@pytest.mark.usefixtures("_few_thresholds")
def test_silent_scores_are_worth_nothing() -> None:
    data = perfect_data()
    assert data.scores is not None
    silent = {
        name: ScoreTable(table.edges_s, np.zeros_like(table.scores))
        for name, table in data.scores.items()
    }
    metrics = by_key(evaluate(replace(data, scores=silent), bootstrap=10))
    for key in ("psds1", "psds2", *F1S):
        assert metrics[key].value == 0.0
    assert metrics["psds1_exact"].value == 0.0


@pytest.mark.usefixtures("_few_thresholds")
def test_no_truth_at_all_is_undefined_and_false_alarms_are_counted() -> None:
    found = evaluate(replace(perfect_data(), truth=event_table([])), bootstrap=10)
    assert {metric.key for metric in found.metrics} == {*F1S, "f1mo", "f1mo_exact"}
    assert all(np.isnan(metric.value) for metric in found.metrics)
    assert all(metric.interval is None for metric in found.metrics)
    assert found.counts["Cat"].false_alarms == 2
    assert found.counts["Cat"].false_alarms_per_hour == pytest.approx(2 / (20 / 3600))


@pytest.mark.usefixtures("_few_thresholds")
def test_one_recording_has_no_intervals_and_a_note() -> None:
    data = perfect_data()
    assert data.scores is not None
    alone = replace(
        data,
        durations_s={"a": 10.0},
        truth=data.truth[data.truth["filename"] == "a"],
        scores={"a": data.scores["a"]},
    )
    found = evaluate(alone)
    assert all(metric.value == pytest.approx(1.0) for metric in found.metrics)
    assert all(metric.interval is None for metric in found.metrics)
    assert any("more than one recording" in note for note in found.notes)


@pytest.mark.usefixtures("_few_thresholds")
def test_a_recording_without_scores_is_one_where_nothing_was_detected() -> None:
    data = noisy_data(1)
    assert data.scores is not None
    scores = dict(data.scores)
    edges_s = scores.pop("r3").edges_s
    silent = {**scores, "r3": ScoreTable(edges_s, np.zeros((len(edges_s) - 1, 3), np.float32))}
    some = evaluate(replace(data, scores=scores), bootstrap=0)
    every = evaluate(replace(data, scores=silent), bootstrap=0)
    assert any("r3" in note for note in some.notes)
    for key, metric in by_key(every).items():
        assert by_key(some)[key].value == pytest.approx(metric.value)


def test_overlapping_detections_are_merged_and_said_so() -> None:
    data = replace(perfect_data(), scores=None)
    halves = pd.concat(
        [
            data.truth.assign(offset=data.truth["offset"] - 0.4),
            data.truth.assign(onset=data.truth["onset"] + 0.4),
        ]
    )
    found = evaluate(replace(data, events=halves), bootstrap=0)
    assert [metric.value for metric in found.metrics] == pytest.approx([1.0] * 4)
    assert any("merged" in note for note in found.notes)


@pytest.mark.usefixtures("_few_thresholds")
def test_the_order_of_recordings_does_not_matter() -> None:
    data = noisy_data(6)
    assert data.scores is not None
    names = list(data.durations_s)[::-1]
    turned = replace(
        data,
        durations_s={name: data.durations_s[name] for name in names},
        truth=data.truth[::-1],
        scores={name: data.scores[name] for name in names},
    )
    one, other = evaluate(data, bootstrap=0), evaluate(turned, bootstrap=0)
    for key, metric in by_key(one).items():
        assert by_key(other)[key].value == pytest.approx(metric.value)
    assert one.counts == other.counts


@pytest.mark.usefixtures("_few_thresholds")
def test_exact_psds_that_would_take_too_long_is_left_out_with_a_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exact, "WORK_LIMIT", 100)
    found = evaluate(noisy_data(1), bootstrap=0)
    assert "psds1" in by_key(found)
    assert "psds1_exact" not in by_key(found)
    assert any("no exact PSDS" in note for note in found.notes)


def test_metrics_file_is_json_that_comes_back(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_metrics(evaluation, path)
    content = read_metrics(path)
    assert content["schema"] == "streamsed.metrics/1"
    assert content["recordings"] == 12
    for metric in evaluation.metrics:
        written = content["metrics"][metric.key]
        assert written["value"] == pytest.approx(metric.value, abs=1e-8)
        assert written["parameters"] == metric.parameters
        assert (written["interval"] is None) == (metric.interval is None)
    assert len(content["roc"]["psds1"]["efpr"]) == len(evaluation.roc[0].efpr)
    assert content["confusion"]["labels"][-1] == "nothing"
    assert np.shape(content["confusion"]["counts"]) == (4, 4)
    onset = content["latency_s"]["Cat"]["onset"]
    values = evaluation.latency["Cat"].onset_s
    assert onset["count"] == len(values) > 0
    assert onset["p90"] == pytest.approx(np.percentile(values, 90), abs=1e-8)
    assert content["counts"]["Dog"]["missed"] == evaluation.counts["Dog"].missed
    assert [e["recording"] for e in content["by_recording"]] == [
        e.recording for e in evaluation.by_recording
    ]


@pytest.mark.usefixtures("_few_thresholds")
def test_metrics_file_of_the_same_material_is_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    for path in (first, second):
        write_metrics(evaluate(noisy_data(2), bootstrap=30, seed=5), path)
    assert first.read_bytes() == second.read_bytes()


def test_what_is_undefined_is_null(tmp_path: Path) -> None:
    data = replace(
        perfect_data(),
        truth=event_table([("a", 1.0, 3.0, "Cat")]),
        scores=None,
    )
    path = tmp_path / "metrics.json"
    write_metrics(evaluate(replace(data, events=data.truth)), path)
    text = path.read_text(encoding="utf-8")
    assert "NaN" not in text
    content = json.loads(text)
    assert content["metrics"]["event_f1"]["per_class"] == {"Cat": 1.0, "Dog": None}
    write_metrics(evaluate(replace(data, truth=event_table([]), events=data.truth)), path)
    assert read_metrics(path)["metrics"]["event_f1"]["value"] is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is no JSON"),
        ("[]", "would be right"),
        ('{"schema": "streamsed.metrics/9"}', "streamsed.metrics/9"),
    ],
)
def test_another_file_is_refused(content: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=problem) as caught:
        read_metrics(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_metrics(tmp_path / "nothing.json")


@pytest.mark.usefixtures("_few_thresholds")
def test_labels_that_are_unusual_are_only_labels() -> None:
    """The libraries have words of their own, and characters that they refuse."""
    labels = ("None", "nan", "Speech, child", "macro_average", "mean", "back\\slash", WORLD, " ")
    rows = [("a", float(k), k + 0.5, label) for k, label in enumerate(labels)]
    scores = np.zeros((20, len(labels)), np.float32)
    scores[np.arange(len(labels)) * 2, np.arange(len(labels))] = 1.0
    edges_s = np.arange(21) * 0.5
    silent = ScoreTable(edges_s, np.zeros_like(scores))
    data = EvaluationData(
        classes=labels,
        durations_s={"a": 10.0, "b": 10.0},
        truth=event_table(rows),
        events=event_table(rows),
        scores={"a": ScoreTable(edges_s, scores), "b": silent},
    )
    for metric in evaluate(data, bootstrap=0).metrics:
        assert metric.value == pytest.approx(1.0)
        assert metric.per_class == pytest.approx(dict.fromkeys(labels, 1.0))
