"""The JSS paper's plan on tiny data: what is begun with what, and what is written of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.train.tone_set import write_tone_set
from train.checkpoint import load_model, load_separator
from train.cli import app
from train.engine.folder import read_run
from train.engine.training_log import read_history
from train.experiments.engine import DONE, Engine
from train.experiments.plan import load_plan
from train.models.jss import JSS
from train.models.ssep_sed import SSepSED
from train.places import find


@pytest.mark.timeout(900)
def test_the_command_runs_all_of_it_and_not_twice(tmp_path: Path) -> None:
    data, page = write_tone_set(tmp_path / "tones"), tmp_path / "tables.md"
    command = ["recipe", "jss", "--plan", "tiny-jss", "--data", str(data), "--device", "cpu"]
    command += ["--workers", "0", "--runs", str(tmp_path / "runs"), "-o", str(page)]
    none = CliRunner().invoke(app, [*command, "--minutes", "0"])
    assert none.exit_code == 0, none.output
    assert "0 of 11 systems, stopped" in none.output
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "11 of 11 systems, done" in done.output

    plan = load_plan(find("plans", "tiny-jss"))
    given = {"data": data, "mixtures": data}
    engine = Engine(plan, "tiny-jss", tmp_path / "runs/tiny-jss", given)
    folders, paths = engine.results().folders, engine.results().paths
    assert folders.keys() == plan.steps.keys()
    stage0 = load_model(paths["DESED-S0-teacher"]).model
    assert isinstance(stage0, JSS)
    detector = load_model(paths["sed/teacher"]).model
    torch.testing.assert_close(stage0.sed.state_dict(), detector.state_dict())
    separator = load_separator(paths["separator-DESED"])
    torch.testing.assert_close(stage0.separator.state_dict(), separator.state_dict())
    for stage, before in {
        "S1": "S0-teacher",
        "S2": "S1-teacher/teacher",
        "JT": "S0-teacher",
    }.items():
        run = read_run(folders[f"DESED-{stage}-teacher"])
        assert run is not None
        assert run.recipe.init_from == paths[f"DESED-{before}"]
        assert run.recipe.selection == "teacher"
    baseline = load_model(paths["SSep-SED/teacher"]).model
    assert isinstance(baseline, SSepSED)
    for kept, begun in ((baseline.separator, separator), (baseline.mixture_sed, detector)):
        torch.testing.assert_close(kept.state_dict(), begun.state_dict(), rtol=0, atol=0)
    assert not torch.equal(baseline.balance, torch.zeros(()))

    text = page.read_text()
    row = next(line for line in text.splitlines() if line.startswith("| DESED-S2 |"))
    assert row.startswith("| DESED-S2 | - / 0.328 |")
    assert "/ 0.572" in row
    row = next(line for line in text.splitlines() if line.startswith("| SSep-SED baseline |"))
    assert "- / 0.363" not in row
    found = read_history(folders["separator-DESED"])[-1]["figures"]["student"]
    reached = f"{found['loss_db']:.2f} | {found['si_snr_improvement_db']:.2f}"
    assert f"| FUSS | MixIT | 2 | {reached} |" in text

    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob(DONE)}
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob(DONE)} == written
    assert page.read_text() == text
