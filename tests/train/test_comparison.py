"""A whole plan through its command: killed on the way, gone on with, and written down."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from streamsed.errors import ConfigError
from tests.children import assert_gone
from tests.train.tone_set import CLIP_S, write_tone_set
from train.checkpoint import load_model
from train.cli import app
from train.data.clips import ClipSet
from train.data.desed import read_desed
from train.experiments.engine import DONE, Engine, State
from train.experiments.plan import load_plan
from train.experiments.score_steps import read_scored
from train.experiments.scoring import figures, score
from train.places import find


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tone_set(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def held_out(tones: Path) -> ClipSet:
    return read_desed(tones, "validation")


def compare(tones: Path, folder: Path, *, jobs: int) -> list[str]:
    """Return the command that compares below ``folder``."""
    return [
        *(sys.executable, "-m", "train", "compare", "tiny", "--data", str(tones)),
        *("--runs", str(folder), "-o", str(folder / "page.md"), "--jobs", str(jobs)),
    ]


def engine(tones: Path, folder: Path) -> Engine:
    return Engine(load_plan(find("plans", "tiny")), "tiny", folder / "tiny", {"data": tones})


@pytest.fixture(scope="module")
def compared(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs and the page of the tiny comparison, killed once on the way."""
    folder = tmp_path_factory.mktemp("compared")
    with subprocess.Popen(compare(tones, folder, jobs=2), stderr=subprocess.PIPE, text=True) as one:
        assert one.stderr is not None
        assert any("done (1 of 11 steps" in line for line in one.stderr)
        workers = psutil.Process(one.pid).children(recursive=True)
        assert workers
        one.kill()
    for worker in workers:  # they train: the folder would be in use
        assert_gone(worker)
    assert not (folder / "page.md").exists()
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob(DONE)}
    assert kept
    subprocess.run(compare(tones, folder, jobs=2), check=True, timeout=600)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    return folder


@pytest.mark.timeout(900)
def test_every_step_is_done_once(compared: Path, tones: Path) -> None:
    states = engine(tones, compared).status()
    assert {status.state for status in states.values()} == {State.DONE}
    shown = CliRunner().invoke(
        app, ["plan", "tiny", "--data", str(tones), "--runs", str(compared), "--status"]
    )
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("done") == len(states)


def test_the_page_holds_what_the_runs_reached(compared: Path, tones: Path) -> None:
    text = (compared / "page.md").read_text()
    folders = engine(tones, compared).results().folders
    found = [read_scored(folders[f"supervised-{seed}-scores"]) for seed in (1, 2)]
    psds1 = [scored.reached.psds1 for scored in found]
    (row,) = [line for line in text.splitlines() if line.startswith("| labels alone")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == f"{found[0].parameters:,}"
    assert cells[2:4] == ["whole", "student"]
    assert cells[4] == f"{fmean(psds1):.3f} ± {stdev(psds1):.3f}"
    assert cells[-1] == "2"
    assert sum(line.startswith("| bidirectional") for line in text.splitlines()) == 6
    assert "16 validation" in text
    assert "Not done yet" not in text


def test_a_stream_with_a_look_ahead_is_scored_by_the_streams_own_scores(
    compared: Path, tones: Path, held_out: ClipSet
) -> None:
    folders = engine(tones, compared).results().folders
    model = load_model(folders["windowed"] / "student.best.pt").model
    streamed = score(model, held_out, duration_s=CLIP_S, look_ahead_frames=8)
    again = figures(streamed, held_out, frame_s=0.064)
    assert read_scored(folders["windowed-student-8"]).reached == again


def test_a_plan_that_is_asked_to_stop_leaves_no_process(tones: Path, tmp_path: Path) -> None:
    command = compare(tones, tmp_path, jobs=2)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as asked:
        begun = tmp_path / "tiny"
        until = time.monotonic() + 250
        while not list(begun.glob("*/*/history.jsonl")):
            assert time.monotonic() < until
            assert asked.poll() is None
            time.sleep(0.05)
        workers = psutil.Process(asked.pid).children(recursive=True)
        os.kill(asked.pid, signal.SIGTERM)
        _, error = asked.communicate(timeout=120)
        assert asked.returncode == 130
    assert "stopped; the same command goes on" in error
    assert "Traceback" not in error
    for worker in workers:
        assert_gone(worker)


def test_a_plan_is_run_once_at_a_time(tones: Path, tmp_path: Path) -> None:
    running = engine(tones, tmp_path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(running._alone())
        with pytest.raises(ConfigError, match="another process runs this plan"):
            running.run(jobs=1, report=lambda *_: None)


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


@pytest.mark.parametrize("given", [[], ["--data", "a", "--bank", "b"]])
def test_data_or_a_bank_is_asked_for(given: list[str]) -> None:
    result = CliRunner().invoke(app, ["compare", "tiny", *given])
    assert isinstance(result.exception, ConfigError)
    assert "give --data, a data set, or --bank" in str(result.exception)
