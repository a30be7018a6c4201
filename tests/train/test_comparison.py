"""Comparisons: which runs they are, what they reach, and going on where they were stopped."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from typer.testing import CliRunner

from streamsed.errors import ConfigError
from tests.train.tiny_bank import write_bank
from tests.train.tone_set import CLIP_S, write_tone_set
from train.checkpoint import load_model
from train.cli import app
from train.comparison.plan import load_comparison
from train.comparison.results import FIGURES, page, part_counts
from train.comparison.scoring import figures, reached
from train.data.bank import Bank
from train.data.clips import ClipSet
from train.data.desed import read_desed
from train.models.registry import AnyModelConfig

COMPARISONS = Path("train/comparisons")
TINY = COMPARISONS / "tiny.yaml"


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tone_set(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def held_out(tones: Path) -> ClipSet:
    return read_desed(tones, "validation")


def compare(tones: Path, folder: Path, *, jobs: int) -> list[str]:
    """Return the command that compares below ``folder``."""
    return [
        *(sys.executable, "-m", "train", "compare", str(TINY), "--data", str(tones)),
        *("--runs", str(folder / "runs"), "-o", str(folder / "page.md"), "--jobs", str(jobs)),
    ]


def wait_until_gone(group: int) -> None:
    """Wait until a group of processes has ended."""
    until = time.monotonic() + 60
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(group, 0)
            time.sleep(0.02)
        pytest.fail(f"processes of group {group} are still there")


@pytest.fixture(scope="module")
def compared(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs and the page of the tiny comparison, killed once on the way."""
    folder = tmp_path_factory.mktemp("compared")
    with subprocess.Popen(
        compare(tones, folder, jobs=1), stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as first:
        assert first.stderr is not None
        assert any("done, 1 of 3" in line for line in first.stderr)
        first.kill()
    wait_until_gone(first.pid)  # the processes that train, too, or the folder would be in use
    assert not (folder / "page.md").exists()
    kept = (folder / "runs/supervised-1" / FIGURES).stat().st_mtime_ns
    subprocess.run(compare(tones, folder, jobs=2), check=True, timeout=240)
    assert (folder / "runs/supervised-1" / FIGURES).stat().st_mtime_ns == kept
    return folder


def test_every_run_is_measured_as_often_as_its_row_asks(compared: Path) -> None:
    ways = {}
    for run in load_comparison(TINY).runs():
        content = json.loads((compared / "runs" / run.name / FIGURES).read_text())
        ways[run.name] = [(m["network"], m["look_ahead_frames"]) for m in content["measured"]]
    both = [(n, frames) for n in ("student", "teacher") for frames in (None, 0, 8)]
    student = [("student", None)]
    assert ways == {"supervised-1": student, "supervised-2": student, "windowed-1": both}


def test_the_page_holds_what_the_runs_reached(compared: Path) -> None:
    text = (compared / "page.md").read_text()
    values = [
        json.loads((compared / "runs" / f"supervised-{seed}" / FIGURES).read_text())["measured"][0]
        for seed in (1, 2)
    ]
    psds1 = [value["reached"]["psds1"] for value in values]
    (row,) = [line for line in text.splitlines() if line.startswith("| labels alone")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == f"{values[0]['parameters']:,}"
    assert cells[2:4] == ["whole", "student"]
    assert cells[4] == f"{fmean(psds1):.3f} ± {stdev(psds1):.3f}"
    assert cells[-1] == "2"
    assert sum(line.startswith("| bidirectional") for line in text.splitlines()) == 6
    assert "16 validation" in text
    assert "Not trained yet" not in text


def test_a_page_names_the_runs_that_it_lacks(compared: Path, tones: Path) -> None:
    comparison = load_comparison(TINY)
    with pytest.raises(ConfigError, match="no run is done"):
        page(comparison, {}, counts=part_counts(tones))


def test_a_stream_with_the_longest_look_ahead_is_scored_by_the_streams_own_scores(
    compared: Path, held_out: ClipSet
) -> None:
    model = load_model(compared / "runs/windowed-1/student.best.pt").model
    streamed = reached(model, held_out, duration_s=CLIP_S, look_ahead_frames=8)
    content = json.loads((compared / "runs/windowed-1" / FIGURES).read_text())
    (kept,) = [
        m["reached"]
        for m in content["measured"]
        if (m["network"], m["look_ahead_frames"]) == ("student", 8)
    ]
    assert kept == pytest.approx(
        {
            "psds1": streamed.psds1,
            "psds2": streamed.psds2,
            "event_f1": streamed.event_f1,
            "intersection_f1": streamed.intersection_f1,
        }
    )


def test_true_labels_as_scores_reach_all_there_is(held_out: ClipSet) -> None:
    frame_s, frames = 0.001, round(CLIP_S / 0.001)
    scores = {}
    for clip in held_out.clips:
        row = np.zeros((frames, len(held_out.classes)), np.float32)
        for event in clip.events or ():
            column = held_out.classes.index(event.label)
            row[round(event.onset_s / frame_s) : round(event.offset_s / frame_s), column] = 1.0
        scores[clip.name] = row
    perfect = figures(scores, held_out, frame_s=frame_s)
    assert perfect.event_f1 == 1.0
    assert perfect.psds1 == pytest.approx(1.0)
    nothing = {name: np.zeros_like(row) for name, row in scores.items()}
    assert figures(nothing, held_out, frame_s=frame_s).psds1 == 0.0


@pytest.mark.parametrize("path", sorted(COMPARISONS.glob("*.yaml")), ids=lambda path: path.stem)
def test_rows_differ_in_nothing_that_is_common(path: Path) -> None:
    comparison = load_comparison(path)
    runs = list(comparison.runs())
    assert len({run.name for run in runs}) == len(runs)
    steps: dict[AnyModelConfig, set[int]] = {}
    for run in runs:
        steps.setdefault(run.recipe.model, set()).add(run.recipe.epochs)
    assert {len(epochs) for epochs in steps.values()} == {1}, "with and without a teacher"
    assert len({run.recipe.data.strong for run in runs}) == 1


def test_a_comparison_mixes_the_data_that_it_states(tmp_path: Path) -> None:
    (tmp_path / "scenes.yaml").write_text("{simulated_rooms: 1, room_places: 1, duration_s: 1.5}")
    (tmp_path / "r.yaml").write_text("name: r\n")
    file = tmp_path / "comparison.yaml"
    file.write_text(
        "{title: T, about: A, rows: {a: {title: A, recipe: r.yaml}},"
        " data_set: {scenes: scenes.yaml, clips: {strong: 2, weak: 1}}}"
    )
    bank = Bank.open(write_bank(tmp_path / "bank"))
    made: list[int] = []

    def mix(comparison: Path, name: str) -> None:
        load_comparison(comparison).mix(
            tmp_path / name, bank=bank, cache=tmp_path, jobs=1, progress=made.append
        )

    mix(file, "data")
    assert sum(made) == 3
    assert len(read_desed(tmp_path / "data", "strong")) == 2
    with pytest.raises(ConfigError, match="data_set is missing; give --data"):
        mix(TINY, "none")


@pytest.mark.parametrize("given", [[], ["--data", "a", "--bank", "b"]])
def test_data_or_a_bank_is_asked_for(given: list[str]) -> None:
    result = CliRunner().invoke(app, ["compare", str(TINY), *given])
    assert isinstance(result.exception, ConfigError)
    assert "give --data, a data set, or --bank" in str(result.exception)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("rows: {}", "rows is empty"),
        ("rows: {a: {title: A, recipe: missing.yaml}}", "missing.yaml: cannot be read"),
        ("rows: {a: {title: A, recipe: r.yaml, seeds: [1, 1]}}", "rows.a: .*all different"),
        ("rows: {a: {title: A, recipe: r.yaml, sead: 1}}", "rows.a.sead: Unexpected"),
        ("rows: {a: {title: A, recipe: r.yaml, changes: {epoch: 1}}}", "rows.a: epoch: Unexpec"),
        ("rows: {a: {title: A, recipe: r.yaml, changes: {model: {preset: x}}}}", "preset: 'x'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, said: str, complaint: str) -> None:
    (tmp_path / "r.yaml").write_text("name: r\n")
    file = tmp_path / "comparison.yaml"
    file.write_text(f"title: T\nabout: A\n{said}\n")
    with pytest.raises(ConfigError, match=complaint) as raised:
        load_comparison(file)
    assert str(raised.value).count("\n") == 0
