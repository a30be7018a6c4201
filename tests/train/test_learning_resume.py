"""Runs that are stopped, killed, or shared by two processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.tiny_bank import write_bank
from tests.train.tone_set import write_tone_set
from train.engine.fitting import fit_recipe
from train.engine.training_log import read_history
from train.layering import read_layers
from train.recipe.schema import Recipe, load_recipe
from train.stages.streamed import StreamedConfig

STEPS = 40


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tone_set(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short mean teacher with dropout, mixup and masks: everything that chance is asked for."""
    content = read_layers(Path("train/recipes/tiny-streaming-causal.yaml"))
    content["model"]["dropout"] = 0.3
    content["augment"] = {
        "filter": {"narrowest_bands": 4},
        "frame_shift": {},
        "band_masks": {"count": 1, "widest": 4},
    }
    content["data"]["steps_per_epoch"] = 8
    content["epochs"] = STEPS // 8
    content["machine"] |= {"log_every": 3, "save_every": 5}
    path = tmp_path_factory.mktemp("recipe") / "short.yaml"
    path.write_text(json.dumps(content))  # JSON is YAML
    return path


@pytest.fixture(scope="module")
def recipe(recipe_file: Path) -> Recipe:
    return load_recipe(recipe_file)


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert fit_recipe(recipe, data=tones, folder=folder)[1]
    return folder


def same_tensors(one: Any, other: Any, where: str = "state") -> None:
    if isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, rtol=0, atol=0, msg=where)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same_tensors(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            same_tensors(mine, theirs, f"{where}.{index}")
    else:
        assert one == other, where


def same_run(one: Path, other: Path) -> None:
    assert read_history(one) == read_history(other)
    same_tensors(*(torch.load(run / "state.pt", weights_only=True) for run in (one, other)))
    for name in ("best.pt", "teacher.last.pt"):
        same_tensors(*(torch.load(run / name, weights_only=True) for run in (one, other)), name)


@contextmanager
def fitting(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run the command; it is killed if it still runs in the end."""
    command = [sys.executable, "-m", "train", "fit", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], folder: Path, *, records: int) -> None:
    """Wait until a run has written so many records of its history."""
    deadline = time.monotonic() + 120.0
    while len(read_history(folder)) < records:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the run writes nothing"
        time.sleep(0.005)


@pytest.mark.parametrize("records", [1, 4, 8])
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    recipe: Recipe,
    recipe_file: Path,
    tones: Path,
    whole: Path,
    tmp_path: Path,
    records: int,
) -> None:
    folder = tmp_path / "cut"
    with fitting(recipe_file, "--data", tones, "-o", folder) as process:
        wait_for(process, folder, records=records)
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = read_history(folder)[-1]["step"]
    assert last < STEPS, "it was done before it was killed"
    trainer, done = fit_recipe(recipe, data=tones, folder=folder)
    assert done
    assert trainer.progress.step == STEPS
    same_run(folder, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stops_at_the_first_signal_to_its_group_and_goes_on(
    recipe: Recipe,
    recipe_file: Path,
    tones: Path,
    whole: Path,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    folder = tmp_path / "cut"
    with fitting(recipe_file, "--data", tones, "-o", folder, "--workers", "1") as process:
        wait_for(process, folder, records=2)
        os.killpg(process.pid, number)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert "to be resumed" in output
    step = torch.load(folder / "state.pt", weights_only=True)["progress"]["step"]
    assert 0 < step < STEPS
    fit_recipe(recipe, data=tones, folder=folder)
    same_run(folder, whole)


def test_a_run_stops_in_time_and_goes_on(
    recipe: Recipe, tones: Path, whole: Path, tmp_path: Path
) -> None:
    trainer, done = fit_recipe(recipe, data=tones, folder=tmp_path, until=0.0)
    assert (done, trainer.progress.step) == (False, 1)
    assert fit_recipe(recipe, data=tones, folder=tmp_path)[1]
    same_run(tmp_path, whole)


def test_a_run_of_scenes_goes_on_in_the_state_that_clips_left(tmp_path: Path) -> None:
    bank = write_bank(tmp_path / "bank")
    recipe = load_recipe(Path("train/recipes/tiny-domestic.yaml"))
    data = replace(recipe.data, batch=3, steps_per_epoch=4, held_out_clips=2)
    assert isinstance(recipe.stage, StreamedConfig)
    recipe = replace(recipe, data=data, epochs=1, stage=replace(recipe.stage, carry_state=0.8))
    fit_recipe(recipe, data=bank, folder=tmp_path / "whole")
    for _ in range(2):  # each stops after a step
        assert not fit_recipe(recipe, data=bank, folder=tmp_path / "cut", until=0.0)[1]
    trainer, done = fit_recipe(recipe, data=bank, folder=tmp_path / "cut")
    assert (done, trainer.progress.step) == (True, 4)
    assert trainer.stage.carried is not None
    same_run(tmp_path / "cut", tmp_path / "whole")


def test_a_finished_run_is_left_as_it_is(recipe: Recipe, tones: Path, whole: Path) -> None:
    before = (whole / "state.pt").stat().st_mtime_ns
    trainer, done = fit_recipe(recipe, data=tones, folder=whole)
    assert (done, trainer.progress.step) == (True, STEPS)
    assert (whole / "state.pt").stat().st_mtime_ns == before


def test_workers_change_nothing(recipe: Recipe, tones: Path, whole: Path, tmp_path: Path) -> None:
    with_worker = replace(recipe, machine=replace(recipe.machine, workers=1))
    fit_recipe(with_worker, data=tones, folder=tmp_path)
    same_run(tmp_path, whole)


def test_features_computed_before_change_nothing(
    recipe: Recipe, tones: Path, whole: Path, tmp_path: Path
) -> None:
    cached = replace(recipe, machine=replace(recipe.machine, cache=tmp_path / "cache"))
    fit_recipe(cached, data=tones, folder=tmp_path / "run")
    one, other = (read_history(folder)[-2:] for folder in (whole, tmp_path / "run"))
    for mine, theirs in zip(one, other, strict=True):
        if mine["kind"] == "losses":
            assert theirs["losses"] == pytest.approx(mine["losses"], rel=2e-2)


def test_two_processes_share_the_batches(
    recipe_file: Path, whole: Path, tones: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "two"
    with fitting(
        recipe_file, "--data", tones, "-o", folder, "--devices", "2", "--device", "cpu"
    ) as process:
        output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    assert output.count("done") == 1
    losses = [r["losses"]["loss"] for r in read_history(folder) if r["kind"] == "losses"]
    assert len(losses) == STEPS // 3
    assert losses[-1] < 0.6 * losses[0]
    # The same clips, in other company: much the same losses as in one process.
    alone = [r["losses"]["loss"] for r in read_history(whole) if r["kind"] == "losses"]
    assert losses[0] == pytest.approx(alone[0], rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["train/recipes/mean-teacher.yaml"], "--data"),
        (["train/recipes/domestic.yaml"], "--bank"),
        (["train/recipes/domestic.yaml", "--bank", "nowhere"], "nowhere"),
        (["train/recipes/domestic.yaml", "--bank", "x", "--cache", "y"], "cannot be kept"),
        (["train/recipes/mean-teacher.yaml", "--data", "nowhere"], "nowhere"),
        (["nothing.yaml", "--data", "nowhere"], "nothing.yaml"),
    ],
)
def test_wrong_use_is_one_clear_line(arguments: list[str], problem: str) -> None:
    with fitting(*arguments) as process:
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert problem in output
    assert len(output.splitlines()) == 1
