"""``streamsed evaluate`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from streamsed.cli import extras
from streamsed.cli.main import invoke
from streamsed.evaluate.results import SCHEMA
from tests.cli.command import execute
from tests.evaluate.folders import CLASSES, random_scores, write, write_events, write_scores


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return write_events(tmp_path / "truth.tsv", "a.wav 1 3 Cat", "a.wav 2 4 Cat", "b.wav 2 4 Dog")


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    for number, name in enumerate("ab"):
        write_scores(tmp_path / "scores" / f"{name}.tsv", random_scores(number))
    return tmp_path / "scores"


@pytest.fixture
def few_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """PSDS over fifty takes seconds, whatever the data."""
    monkeypatch.setattr("streamsed.evaluate.metrics.over_thresholds.THRESHOLDS", (0.25, 0.5, 0.75))


def perfect(folder: Path) -> Path:
    """Scores that say what ``truth`` says."""
    for name, (begin, end, column) in {"a": (10, 40, 0), "b": (20, 40, 1)}.items():
        array = np.full((100, 2), 0.004)
        array[begin:end, column] = 0.996
        write_scores(folder / f"{name}.tsv", array)
    return folder


def error_line(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    assert invoke(["evaluate", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line.removeprefix("streamsed: ")


def test_scores_are_measured_and_printed(truth: Path, tmp_path: Path) -> None:
    folder = perfect(tmp_path / "perfect")
    done = execute("evaluate", "--ground-truth", truth, "--scores", folder, "--bootstrap", "20")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("2 recordings, 20.0 s of audio, 2 classes\n")
    for words in ("PSDS1", "1.0000", "Event-based F1", "100.0 %", "psds_eval", "sed_eval"):
        assert words in done.stdout
    assert "threshold 0.5" in done.stdout
    assert "95 % interval" in done.stdout
    assert f"note: {truth}: merged 1 label" in done.stdout
    assert f"the first Cat in {truth}, line 3" in done.stdout


@pytest.mark.usefixtures("few_thresholds")
def test_json_is_all_that_is_printed(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(perfect(tmp_path / "perfect"))
    arguments = ["--ground-truth", str(truth), "--scores", folder, "--json", "--bootstrap", "0"]
    assert invoke(["evaluate", *arguments]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["schema"] == SCHEMA
    assert document["metrics"]["event_f1"]["value"] == 1.0
    assert document["metrics"]["psds1"]["interval"] is None
    assert f"note: {truth}: merged 1 label" in err


@pytest.mark.usefixtures("few_thresholds")
def test_the_threshold_is_the_operating_point(
    truth: Path, scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = []
    for threshold in ("0.2", "0.9"):
        arguments = ["--scores", str(scores), "--threshold", threshold, "--json"]
        arguments += ["--ground-truth", str(truth), "--bootstrap", "0"]
        assert invoke(["evaluate", *arguments]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["metrics"]["event_f1"]["parameters"]["threshold"] == float(threshold)
        counts.append(document["counts"]["Cat"]["found"])
    assert counts[0] > counts[1] > 0


def test_events_give_no_psds_and_that_is_said(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    durations = write(tmp_path / "durations.tsv", "filename\tduration", "a\t10", "b\t10")
    events = write_events(tmp_path / "events.tsv", "a.wav 1 4 Cat")
    arguments = ("--ground-truth", truth, "--durations", durations, "--events", events)
    assert invoke(["evaluate", *map(str, arguments), "--bootstrap", "0"]) == 0
    out = capsys.readouterr().out
    assert "PSDS1" not in out
    assert "note: no PSDS" in out
    assert "Event-based F1" in out


@pytest.mark.usefixtures("few_thresholds")
def test_events_and_scores_together(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = write_events(tmp_path / "events.tsv", "a 1 4 Cat")
    folder = perfect(tmp_path / "perfect")
    arguments = ("--ground-truth", truth, "--scores", folder, "--events", events, "--json")
    assert invoke(["evaluate", *map(str, arguments), "--bootstrap", "0"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["metrics"]["psds1"]["value"] == pytest.approx(1.0)
    assert document["metrics"]["event_f1"]["per_class"] == {"Cat": 1.0, "Dog": 0.0}


def test_operating_points_and_classes(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    durations = write(tmp_path / "durations.tsv", "filename\tduration", "a\t10", "b\t10")
    for at in ("0.25", "0.75"):
        write_events(tmp_path / "points" / f"predictions_th_{at}.tsv", "a.wav 1 4 Cat")
    arguments = ("--ground-truth", truth, "--durations", durations, "--classes", "Cat", "--json")
    arguments = (*arguments, "--operating-points", tmp_path / "points", "--bootstrap", "0")
    assert invoke(["evaluate", *map(str, arguments)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["classes"] == ["Cat"]
    assert document["metrics"]["psds1"]["value"] == pytest.approx(1.0)
    assert document["metrics"]["event_f1"]["value"] == 1.0


def test_output_folder(truth: Path, tmp_path: Path) -> None:
    folder, output = perfect(tmp_path / "perfect"), tmp_path / "deep" / "out"
    arguments = ("--ground-truth", truth, "--scores", folder, "--bootstrap", "0", "-o", output)
    done = execute("evaluate", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((output / "metrics.json").read_text(encoding="utf-8"))["schema"] == SCHEMA
    assert "<html" in (output / "report.html").read_text(encoding="utf-8")
    assert f"report: {output / 'report.html'}" in done.stdout


def test_a_replay(bundle: Path, wav: Path, tmp_path: Path) -> None:
    folder, output = tmp_path / "replay", tmp_path / "out"
    replayed = execute("replay", wav, "-o", folder, "--bundle", bundle)
    assert replayed.returncode == 0, replayed.stderr
    truth = write_events(tmp_path / "truth.tsv", f"{wav.name} 0.3 0.7 low")
    done = execute("evaluate", "--ground-truth", truth, "--replay", folder, "-o", output)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    assert document["classes"] == ["low", "mid", "high"]
    assert document["metrics"]["event_f1"]["per_class"]["low"] == 1.0
    assert document["latency_s"]["low"]["onset"]["count"] == 1
    assert "Latency of messages" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "there is nothing to evaluate; give --scores, --operating-points, --events or"),
        (["--replay", "x", "--scores", "y"], "--replay has everything; --scores cannot be given"),
        (["--scores", "x", "--operating-points", "y"], "exclude each other"),
        (["--scores", "x"], "x: no such folder; a folder with a score file a recording"),
        (["--operating-points", "x"], "x: no such folder; a folder with an event file a threshold"),
        (["--events", "x"], "x: cannot be read: No such file or directory"),
        (["--replay", "x"], "durations.tsv: no such file; a folder that streamsed replay wrote"),
        (["--events", "truth.tsv"], "a.wav (truth.tsv, line 2): its duration is not known"),
        (["--events", "truth.tsv", "--classes", "Cat,"], "--classes 'Cat,': labels with commas"),
        (["--scores", "scores", "--classes", "Cta"], "there is no 'Cta'; did you mean 'Cat'?"),
        (["--scores", "scores", "--threshold", "2"], "--threshold"),
        (["--scores", "scores", "-o", "truth.tsv"], "truth.tsv: cannot be made: File exists"),
    ],
)
@pytest.mark.usefixtures("truth", "scores")
def test_mistakes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in error_line(capsys, "--ground-truth", "truth.tsv", *arguments)


def test_bad_scores_name_file_line_and_class(
    truth: Path, scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(scores / "b.tsv", "\t".join(("onset", "offset", *CLASSES)), "0\t1\t0.5\tnan")
    line = error_line(capsys, "--ground-truth", truth, "--scores", scores)
    assert line == f"{path}, line 2: the score of Dog is nan; from 0 to 1 would be right"


def test_a_missing_extra_is_one_line(
    truth: Path, scores: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = extras.find_spec
    monkeypatch.setattr(
        extras, "find_spec", lambda name: None if name == "psds_eval" else found(name)
    )
    line = error_line(capsys, "--ground-truth", truth, "--scores", scores)
    assert line == (
        "evaluation needs psds_eval, which is not installed: pip install 'streamsed[eval]'"
    )
