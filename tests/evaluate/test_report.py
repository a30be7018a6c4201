"""What the report says, and that it says it of anything that can be evaluated."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.evaluation import Evaluation
from streamsed.evaluate.measure import evaluate
from streamsed.evaluate.metrics.detections import operating_point
from streamsed.evaluate.metrics.thresholds import threshold_events
from streamsed.evaluate.report import write_report
from streamsed.evaluate.report.pictures import _judged
from streamsed.evaluate.tables import event_table
from tests.evaluate.report_data import draw_data, publish, write_audio

VOID = {"meta", "link", "br", "wbr", "img"}


class Page(HTMLParser):
    """Elements of a page, and what is written on it; fails where elements do not nest."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self._open

    @property
    def text(self) -> str:
        """Everything that is written, with single spaces."""
        return " ".join("".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.addresses += [
            v or "" for k, v in attrs if k in {"src", "href", "xlink:href", "action", "srcset"}
        ]
        self.ids += [v or "" for k, v in attrs if k == "id"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in {"td", "th", "li", "p", "h1", "h2", "h3", "span", "caption"}:
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self.words.append(data)


def measured(data: EvaluationData, *, bootstrap: int = 0) -> Evaluation:
    return evaluate(data, bootstrap=bootstrap)


def without_scores(data: EvaluationData) -> EvaluationData:
    point = operating_point(data)
    assert point is not None
    return replace(data, scores=None, events=point.events)


def only_points(data: EvaluationData) -> EvaluationData:
    assert data.scores is not None
    scores, classes = data.scores, data.classes
    points = {t: threshold_events(scores, t, classes=classes) for t in (0.2, 0.5, 0.8)}
    return replace(data, scores=None, operating_points=points)


@pytest.fixture(scope="module")
def drawn() -> tuple[EvaluationData, Evaluation]:
    """Data and its evaluation, which takes longer than the tests; nobody changes them."""
    data = replace(draw_data(), notes=("two events merged", "1 file without audio"))
    return data, measured(data, bootstrap=50)


def report(data: EvaluationData, folder: Path) -> Page:
    """Report of what three operating points give, with the scores for the pictures: quick."""
    return Page(write_report(measured(only_points(data)), data, folder))


def test_the_file_is_where_it_was_asked_for(
    drawn: tuple[EvaluationData, Evaluation], tmp_path: Path
) -> None:
    data, evaluation = drawn
    path = write_report(evaluation, data, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "report.html"
    assert path.read_text(encoding="utf-8").lstrip().startswith("<!DOCTYPE html>")


def test_nothing_is_fetched(tmp_path: Path) -> None:
    data = draw_data()
    page = report(replace(data, audio=write_audio(tmp_path, data)), tmp_path)
    assert page.elements["svg"] > 5
    assert page.elements["image"] > 0
    assert {address.split(":")[0][:1] for address in page.addresses} <= {"#", "d"}
    assert all(a.startswith(("#", "data:")) for a in page.addresses)


def test_ids_are_unique_and_every_reference_has_its_target(tmp_path: Path) -> None:
    data = draw_data()
    page = report(replace(data, audio=write_audio(tmp_path, data)), tmp_path)
    assert not [name for name, n in Counter(page.ids).items() if n > 1]
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= set(page.ids)


def test_every_figure_stands_with_its_interval_parameters_and_library(
    drawn: tuple[EvaluationData, Evaluation], tmp_path: Path
) -> None:
    data, evaluation = drawn
    text = Page(write_report(evaluation, data, tmp_path)).text
    assert any(metric.interval for metric in evaluation.metrics)
    for metric in evaluation.metrics:
        psds = "psds" in metric.key
        value = f"{metric.value:.4f}" if psds else f"{100 * metric.value:.1f} %"
        shown = f"{metric.title} {value}"
        if (interval := metric.interval) is not None:
            shown += " 95 % interval "
            if psds:
                shown += f"{interval.low:.3f} to {interval.high:.3f}"
            else:
                shown += f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %"
        assert shown in text
        assert metric.computed_by in text
        for name, parameter in metric.parameters.items():
            shown = f"{parameter:g}" if isinstance(parameter, float) else str(parameter)
            assert f"{'' if name == 'interval' else name + ' '}{shown}" in text


def test_errors_of_each_class_and_what_was_noted_are_said(
    drawn: tuple[EvaluationData, Evaluation], tmp_path: Path
) -> None:
    data, evaluation = drawn
    text = Page(write_report(evaluation, data, tmp_path)).text
    for label, of in evaluation.counts.items():
        cells = (of.truth, of.found, of.hits, of.missed, of.wrong, of.false_alarms)
        assert f"{label} {' '.join(map(str, cells))}" in text
    for note in evaluation.notes:
        assert note in text
    assert "two events merged" in text


def test_names_are_text_whatever_they_are(tmp_path: Path) -> None:
    label, file = "</style><b>$frac$ & \"x'", "<script>alert(1)</script>\x00\n€😀.wav"
    data = draw_data(classes=(label, "Cat"), recordings=(file, "b.wav"))
    data = replace(data, notes=("<img src=x onerror=alert(2)>",), evaluated="<i>it</i>")
    page = report(data, tmp_path)
    assert page.elements["script"] == 1
    assert not page.elements["img"]
    assert not page.elements["b"] - report(draw_data(), tmp_path / "plain").elements["b"]
    assert not page.elements["i"]
    assert label in page.text
    assert "<script>alert(1)</script> €😀.wav" in page.text
    assert "<img src=x onerror=alert(2)>" in page.text
    assert "<i>it</i>" in page.text


def test_the_same_evaluation_gives_the_same_bytes(
    drawn: tuple[EvaluationData, Evaluation], tmp_path: Path
) -> None:
    data, evaluation = drawn
    one, two = (write_report(evaluation, data, tmp_path / name) for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_settings_of_matplotlib_are_left_alone(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = mpl.rcParams.copy()
    report(draw_data(), tmp_path)
    assert {k: v for k, v in mpl.rcParams.items() if v != before[k]}.keys() <= {"backend"}


def nothing_found(data: EvaluationData) -> EvaluationData:
    return replace(data, scores=None, events=event_table([]))


def nothing_true(data: EvaluationData) -> EvaluationData:
    return replace(data, truth=event_table([]))


def only_truth(data: EvaluationData) -> EvaluationData:
    return replace(data, scores=None)


def no_class_has_truth_or_score(data: EvaluationData) -> EvaluationData:
    return nothing_true(nothing_found(data))


@pytest.mark.parametrize(
    "change",
    [
        nothing_found,
        nothing_true,
        without_scores,
        only_points,
        only_truth,
        no_class_has_truth_or_score,
    ],
)
def test_what_is_not_there_is_left_out(
    change: Callable[[EvaluationData], EvaluationData], tmp_path: Path
) -> None:
    data = change(draw_data())
    evaluation = measured(data)
    page = Page(write_report(evaluation, data, tmp_path))
    assert ("nan" in page.text.lower().split()) is False
    assert "PSD-ROC" in page.text or not evaluation.roc
    assert all(note in page.text for note in evaluation.notes)


def label(index: int) -> str:
    return f"Class_{index}_with_a_name_that_is_rather_long_{'x' * index}"


@pytest.mark.parametrize("classes", [1, 10])
def test_one_class_or_ten(classes: int, tmp_path: Path) -> None:
    data = draw_data(classes=[*map(label, range(classes))], recordings=("only.wav",))
    page = report(data, tmp_path)
    assert sum(identity.startswith("roc0-class") for identity in page.ids) == classes
    assert "are not shown" not in page.text


def test_fifty_classes(tmp_path: Path) -> None:
    labels = [*map(label, range(50))]
    data = draw_data(classes=labels, recordings=("only.wav",))
    evaluation = measured(without_scores(data))
    few = measured(only_points(draw_data(recordings=("only.wav",))))  # fifty take seconds
    evaluation = replace(
        evaluation,
        roc=tuple(
            replace(c, per_class=dict(zip(labels, cycle(c.per_class.values()), strict=False)))
            for c in few.roc
        ),
        f1_over_threshold=tuple(
            replace(c, per_class=dict(zip(labels, cycle(c.per_class.values()), strict=False)))
            for c in few.f1_over_threshold
        ),
    )
    path = write_report(evaluation, data, tmp_path)
    page = Page(path)
    assert sum(identity.startswith("roc0-class") for identity in page.ids) == 50
    assert "classes with fewer errors are not shown" in page.text
    assert path.stat().st_size < 5e6


def test_metrics_that_are_all_undefined(
    drawn: tuple[EvaluationData, Evaluation], tmp_path: Path
) -> None:
    data, evaluation = drawn
    undefined = replace(
        evaluation,
        metrics=tuple(
            replace(m, value=math.nan, per_class=dict.fromkeys(m.per_class, math.nan))
            for m in evaluation.metrics
        ),
        roc=tuple(replace(c, effective_tpr=c.effective_tpr * np.nan) for c in evaluation.roc),
    )
    text = Page(write_report(undefined, data, tmp_path)).text
    for metric in evaluation.metrics:
        assert f"{metric.title} – " in text  # noqa: RUF001
    assert "nan" not in text.lower().split()


def test_pictures_show_the_errors_that_are_counted() -> None:
    data = draw_data(events_each=4, duration_s=40.0)
    evaluation = measured(without_scores(data))
    judged = _judged(data, tuple(data.durations_s))
    assert sum(e.errors for e in evaluation.by_recording) > 0
    for errors in evaluation.by_recording:
        own = judged[errors.recording]
        assert len(own.errors_s()) == errors.errors
        assert own.truth["matched"].sum() == own.detections["matched"].sum() == errors.hits


def test_a_recording_without_its_audio_says_so(tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no audio")
    data = replace(draw_data(), audio={"a.wav": broken, "b.wav": tmp_path / "gone.wav"})
    page = report(data, tmp_path)
    assert page.text.count("No spectrogram and no sound: the audio cannot be read") == 2
    assert page.text.count("No spectrogram and no sound: the audio was not found.") == 1
    assert not page.elements["image"]


def test_long_recordings_are_shown_in_part(tmp_path: Path) -> None:
    data = draw_data(recordings=("long.wav",), duration_s=120.0, events_each=4)
    page = report(replace(data, audio=write_audio(tmp_path, data)), tmp_path)
    assert 1 < page.text.count("of 120.0 are shown") <= 8
    assert "All of its" not in page.text


def test_latency_is_said_where_it_is_known(tmp_path: Path) -> None:
    data = without_scores(draw_data())
    assert data.events is not None
    published = replace(data, decided=publish(data.events, delay_s=0.75))
    evaluation = measured(published)
    text = Page(write_report(evaluation, published, tmp_path)).text
    onsets = np.concatenate([of.onset_s for of in evaluation.latency.values()])
    words = " ".join(f"{np.percentile(onsets, p):.2f} s" for p in (50, 90, 99))
    assert f"All classes {len(onsets)} {words}" in text
    silent = write_report(measured(data), data, tmp_path)
    assert "Latency" not in Page(silent).text.split("Notes")[0]
