"""``streamsed-train export``: what is fitted on what, what is remembered, what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamsed.bundle import load
from tests.train.test_ensemble import save
from tests.train.tiny_bank import write_bank
from tests.train.tiny_models import tiny_model
from tests.train.tone_set import write_tone_set
from tests.train.trees import write_table
from train import cli
from train.assemble import history
from train.data.desed import read_desed
from train.data.events import merge
from train.held_out import WINDOW_S, HeldOut
from train.models.registry import build
from train.postprocess.choices import WindowMethod
from train.postprocess.reference import knee
from train.recipe.schema import PostprocessingConfig, load_recipe

RECIPES = Path("train/recipes")


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    return write_tone_set(tmp_path / "tones")


def test_windows_come_from_training_events_alone(tones: Path) -> None:
    recipe = load_recipe(RECIPES / "mean-teacher.yaml")
    assert recipe.postprocessing.windows is WindowMethod.EVENT_SPECIFIC
    windows, without = HeldOut(recipe, tones).windows()
    assert windows is not None
    durations_s: dict[str, list[float]] = {}
    for clip in read_desed(tones, "strong").clips:
        for event in merge(clip.events or ()):
            durations_s.setdefault(event.label, []).append(event.offset_s - event.onset_s)
    for label, found in durations_s.items():
        count, gap = knee(found, from_share=0.5)
        counted = sorted(found)[:count] if len(found) >= 20 and gap >= 0.05 else found
        assert windows[label] == pytest.approx(np.mean(counted) / 3)
    assert set(without) == set(recipe.model.classes) - set(durations_s)
    assert {windows[label] for label in without} == {WINDOW_S}
    for part in ("synthetic21_validation/soundscapes", "validation"):
        table = tones / f"metadata/validation/{part}.tsv"
        write_table(table, "filename onset offset event_label", [("valid0.wav", 0.0, 3.0, "Dog")])
    assert HeldOut(recipe, tones).windows() == (windows, without)


def test_average_windows_are_of_all_events(tones: Path) -> None:
    recipe = load_recipe(RECIPES / "mean-teacher.yaml")
    average = PostprocessingConfig(windows=WindowMethod.AVERAGE)
    windows, _ = HeldOut(replace(recipe, postprocessing=average), tones).windows()
    assert windows is not None
    lengths = [
        event.offset_s - event.onset_s
        for clip in read_desed(tones, "strong").clips
        for event in merge(clip.events or ())
        if event.label == "Speech"
    ]
    assert windows["Speech"] == pytest.approx(np.mean(lengths) / 3)


def test_windows_of_scenes_come_from_scenes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.held_out.TRAINING_SCENES", 60)
    recipe = load_recipe(RECIPES / "tiny-domestic.yaml")
    wanted = replace(recipe.postprocessing, windows=WindowMethod.AVERAGE)
    source = write_bank(tmp_path / "bank")
    windows, _ = HeldOut(replace(recipe, postprocessing=wanted), source).windows()
    assert windows is not None
    # Every made-up clip of speech sounds for half a second; some follow each other closely.
    assert windows["Speech"] == pytest.approx(0.5 / 3, rel=0.3)


def test_a_bundle_that_is_replaced_goes_into_the_history(tmp_path: Path) -> None:
    (row,) = history(Path("models/domestic"))
    manifest = load(Path("models/domestic")).manifest
    assert row["version"] == manifest.version
    assert 0.1 < row["psds1"] < row["psds2"] < 1.0
    assert history(tmp_path) == []


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save(tmp_path / "elsewhere", tiny_model("causal"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "lies in no run's folder; give --recipe"),
        (["--recipe", "train/recipes/mean-teacher.yaml"], "other classes"),
        (["--weights", "1,x"], "--weights 1,x: must be numbers"),
        (["--weights", "1,1"], "2 for 1 checkpoints"),
        (["--latency", "0.05"], "0.192 s or more would be right"),
        (["nothing.pt"], "nothing.pt: no such checkpoint"),
    ],
)
def test_wrong_use_is_one_clear_line(
    checkpoint: Path,
    options: list[str],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    arguments = ["export", str(checkpoint), *options, "-o", str(tmp_path / "new")]
    assert problem in refused(arguments, monkeypatch, capfd)
    assert not (tmp_path / "new").exists()


def test_a_trained_look_ahead_has_no_curve(
    tmp_path: Path,
    tones: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    recipe = load_recipe(RECIPES / "tiny-streaming-causal.yaml")
    path = save(tmp_path / "run", build(recipe.model).eval())
    arguments = ["latency", str(path), "--recipe", str(RECIPES / "tiny-streaming-causal.yaml")]
    assert "give --data" in refused(arguments, monkeypatch, capfd)
    assert "trained in" in refused([*arguments, "--data", str(tones)], monkeypatch, capfd)


def refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> str:
    """Run a command that must fail with one line, and return that."""
    monkeypatch.setattr(sys, "argv", ["streamsed-train", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    problem = capfd.readouterr().err
    assert len(problem.splitlines()) == 1
    return problem
