"""The JSS paper's experiments on tiny data: what is begun with what, fused, and written down."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from streamsed.errors import ConfigError
from tests.train.tone_set import write_tone_set
from train.checkpoint import load_model, load_separator
from train.cli import app
from train.comparison.scoring import Reached
from train.engine.folder import read_run
from train.engine.journal import read_history
from train.engine.machine import MachineConfig
from train.models.jss import JSS
from train.separation.experiments import Experiments, Measured, Separated, fused
from train.separation.grid import load_grid
from train.separation.tables import TABLE_1, TABLE_2, page

GRID = Path("train/recipes/jss/grid.yaml")
TINY = {
    "title": "Tiny",
    "about": "Nothing can be concluded from so few steps.",
    "sed": "tiny-streaming-causal.yaml",
    "separators": {"DESED": "jss/mixit.yaml"},
    "stages": {"S1": "jss/stage1.yaml", "S2": "jss/stage2.yaml", "JT": "jss/joint.yaml"},
    "fusions": {"both": {"SED baseline": 1.0, "DESED-S2": 3.0}},
    "detection": {
        "epochs": 1,
        "data": {
            "strong": 2,
            "weak": 2,
            "unlabelled": 2,
            "duration_s": 3.072,
            "weak_validation": 0.25,
            "steps_per_epoch": 2,
        },
    },
    "separation": {
        "model": {
            "filters": 16,
            "kernel_samples": 64,
            "stride_samples": 32,
            "bottleneck": 8,
            "hidden": 8,
            "skip": 8,
            "blocks": 1,
        },
        "data": {"batch": 2, "duration_s": 1.0, "steps_per_epoch": 2},
        "epochs": 1,
    },
}


@pytest.mark.parametrize("path", [GRID, GRID.parent / "streaming" / GRID.name], ids=str)
def test_the_grid_is_the_paper_s(path: Path) -> None:
    grid = load_grid(path)
    assert list(grid.systems()) == list(TABLE_1)
    assert grid.fusions.keys() >= TABLE_2.keys() - {"SSep-SED baseline"}
    assert grid.stage("S1").stage.freeze == "separator"
    assert grid.stage("S2").stage.freeze == "sed"
    assert grid.separator("FUSS").stage.kind == "pit"
    assert grid.separator("DESED").stage.kind == "mixit"


def test_the_paper_s_own_is_of_its_sizes() -> None:
    grid = load_grid(GRID)
    assert grid.detector().model == grid.stage("JT").model.sed  # type: ignore[union-attr]


@pytest.mark.timeout(900)
def test_the_command_runs_all_of_it_and_not_twice(tmp_path: Path) -> None:
    data = write_tone_set(tmp_path / "tones")
    recipes = tmp_path / "recipes"
    shutil.copytree("train/recipes", recipes)
    (recipes / "tiny-grid.yaml").write_text(yaml.safe_dump(TINY))
    command = ["recipe", "jss", "--grid", "--plan", str(recipes / "tiny-grid.yaml")]
    command += ["--data", str(data), "--runs", str(tmp_path / "runs"), "--device", "cpu"]
    command += ["--workers", "0", "-o", str(tmp_path / "tables.md")]
    none = CliRunner().invoke(app, [*command, "--minutes", "0"])
    assert none.exit_code == 0, none.output
    assert "0 systems, to be resumed" in none.output
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "11 systems, done" in done.output  # five by two selections, and a fusion

    runs = tmp_path / "runs"
    for selection in ("student", "teacher"):
        stage0 = load_model(runs / f"desed-s0-{selection}.pt").model
        assert isinstance(stage0, JSS)
        torch.testing.assert_close(
            stage0.sed.state_dict(),
            load_model(runs / f"sed/{selection}.best.pt").model.state_dict(),
        )
        separator = load_separator(runs / "separator-desed/best.pt")
        torch.testing.assert_close(stage0.separator.state_dict(), separator.state_dict())
        begun = {
            "s1": f"desed-s0-{selection}.pt",
            "s2": f"desed-s1-{selection}/{selection}.best.pt",
            "jt": f"desed-s0-{selection}.pt",
        }
        for stage, before in begun.items():
            run = read_run(runs / f"desed-{stage}-{selection}")
            assert run is not None
            assert run.recipe.init_from == runs / before
            assert run.recipe.validation.selection == selection

    text = (tmp_path / "tables.md").read_text()
    first = next(line for line in text.splitlines() if line.startswith("| DESED-S2 |"))
    assert first.count(" / ") == 6
    assert "/ 0.572" in first
    said = read_history(runs / "separator-desed")[-1]["figures"]["student"]
    reached = f"{said['loss_db']:.2f} | {said['si_snr_improvement_db']:.2f}"
    assert f"| DESED | MixIT | 2 | {reached} |" in text
    assert next(line for line in text.splitlines() if line.startswith("| both |")).count("/ -") == 3
    files = [path for path in runs.rglob("*") if path.suffix in {".pt", ".npz"}]
    written = {path: path.stat().st_mtime_ns for path in files}
    grid, machine = load_grid(recipes / "tiny-grid.yaml"), MachineConfig(device="cpu", workers=0)
    again = Experiments(grid, data=data, mixtures=data, runs=runs, machine=machine)
    assert len(dict(again.checkpoints("teacher"))) == 5
    next(again.measure())
    assert {path: path.stat().st_mtime_ns for path in files} == written


def test_the_page_says_what_was_reached_and_what_was_not() -> None:
    grid = load_grid(GRID)
    reached = Reached(psds1=0.25, psds2=0.5, event_f1=0.4321, intersection_f1=0.6)
    measured = [Measured("FUSS-S1", "teacher", reached)]
    measured.append(Measured("DESED-S2 + DESED-JT", "teacher", reached))
    separated = [Separated("DESED", "mixit", 600, loss_db=-9.876, si_snr_improvement_db=1.234)]
    separated.append(Separated("FUSS", "pit", 5, loss_db=0.0, si_snr_improvement_db=None))
    text = page(grid, measured, separated, counts={"strong": 30, "validation": 7})
    assert "| DESED | MixIT | 600 | -9.88 | 1.23 |\n| FUSS | PIT | 5 | 0.00 | - |" in text
    line = (
        "| FUSS-S1 | - / 0.329 | - / 0.517 | - / 41.03 "
        "| 0.250 / 0.349 | 0.500 / 0.534 | 43.21 / 41.47 |"
    )
    assert line in text
    assert "| DESED-S2 + DESED-JT | 0.250 / 0.380 | 0.500 / 0.589 | 43.21 / 45.52 |" in text
    assert "| SSep-SED baseline | - / 0.363 | - / 0.532 | - / 44.34 |" in text
    assert "7 validation clips" in text


def test_a_fusion_is_the_weighted_mean_of_scores() -> None:
    one = {"a": np.full((3, 2), 0.2, np.float32), "b": np.zeros((5, 2), np.float32)}
    other = {name: values + 0.4 for name, values in one.items()}
    found = fused({"one": one, "other": other}, {"one": 1.0, "other": 3.0})
    np.testing.assert_allclose(found["a"], 0.5, rtol=1e-6)
    np.testing.assert_allclose(found["b"], 0.3, rtol=1e-6)
    shorter = {**other, "b": other["b"][:4]}
    with pytest.raises(ConfigError, match="shorter"):
        fused({"one": one, "shorter": shorter}, {"one": 1.0, "shorter": 1.0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusions": {"x": {"DESED-S9": 1.0}}}, "no system DESED-S9"),
        ({"fusions": {"x": {"DESED-S1": 0.0}}}, "must be positive"),
        ({"stages": {"S3": "jss/joint.yaml"}}, "stages.S3"),
        ({"sed": "nothing.yaml"}, "nothing.yaml"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_grid_is_refused_in_a_line(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    recipes = tmp_path / "recipes"
    shutil.copytree("train/recipes", recipes)
    (recipes / "wrong.yaml").write_text(yaml.safe_dump({**TINY, **changes}))
    with pytest.raises(ConfigError, match=message) as caught:
        load_grid(recipes / "wrong.yaml")
    assert "\n" not in str(caught.value)
