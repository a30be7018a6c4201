"""Whole runs of the tiny recipes: they learn, and what they leave behind works."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from streamsed.bundle import load
from streamsed.evaluate.criteria.error_counts import macro
from streamsed.evaluate.criteria.intersection import intersection_counts
from tests.train.tiny_bank import write_bank
from tests.train.tone_set import CLIP_S, write_tone_set
from train.assemble import assemble
from train.checkpoint import load_model
from train.data.desed import part_files
from train.engine.fitting import fit_recipe
from train.engine.training_log import read_history
from train.ensemble import read_ensemble
from train.held_out import HeldOut
from train.recipe.schema import Recipe, load_recipe

RECIPES = Path("train/recipes")
TINY = sorted(path.stem.removeprefix("tiny-") for path in RECIPES.glob("tiny-*.yaml"))


@dataclass(frozen=True)
class Finished:
    """A run that is done, and where its recipe's data are."""

    folder: Path
    recipe: Recipe
    source: Path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "desed": write_tone_set(tmp_path_factory.mktemp("tones")),
        "scenes": write_bank(tmp_path_factory.mktemp("bank")),
    }


@pytest.fixture(scope="module", params=TINY)
def finished(
    request: pytest.FixtureRequest, sources: dict[str, Path], tmp_path_factory: Any
) -> Finished:
    folder: Path = tmp_path_factory.mktemp(request.param)
    recipe = load_recipe(RECIPES / f"tiny-{request.param}.yaml")
    source = sources[recipe.data.kind]
    trainer, done = fit_recipe(recipe, data=source, folder=folder)
    assert done
    assert trainer.progress.step == trainer.steps
    return Finished(folder, recipe, source)


@pytest.fixture(scope="module")
def run(finished: Finished) -> Path:
    return finished.folder


def test_losses_fall(run: Path) -> None:
    losses = [r["losses"] for r in read_history(run) if r["kind"] == "losses"]
    for name in {"loss", "strong", "weak"} & losses[0].keys():
        assert losses[-1][name] < 0.5 * losses[0][name], name
    parts = {name: value for name, value in losses[-1].items() if name != "loss"}
    assert losses[-1]["loss"] == pytest.approx(sum(parts.values()), rel=1e-4)


def test_the_bundle_of_a_run_detects_more_than_chance_in_held_out_clips(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_curve = finished.recipe.model.kind == "windowed_crnn"  # once, for each point is an export
    monkeypatch.setattr("train.latency.LOOK_AHEADS_S", (0.25,) if has_curve else ())
    held_out, bundle = HeldOut(finished.recipe, finished.source), tmp_path / "bundle"
    assemble(read_ensemble([finished.folder / "best.pt"]), held_out, bundle)
    audio, table = part_files(held_out.root, finished.recipe.postprocessing.report)
    command = [sys.executable, "-m", "streamsed", "replay", str(audio), "-q", "-j", "1"]
    command += ["--bundle", str(bundle), "--provider", "cpu", "-o", str(tmp_path / "replay")]
    subprocess.run(command, check=True, timeout=120)
    found = pd.read_csv(tmp_path / "replay/events.tsv", sep="\t")
    truth = pd.read_csv(table, sep="\t").dropna()
    durations_s = {path.name: CLIP_S for path in sorted(audio.glob("*.wav"))}
    names = list(durations_s)
    # Chance: the same detections, each clip's in another clip.
    elsewhere = dict(zip(names, names[5:] + names[:5], strict=True))
    shuffled = found.assign(filename=found["filename"].map(elsewhere))
    counts = intersection_counts(
        [found, shuffled],
        truth,
        durations_s=durations_s,
        classes=finished.recipe.model.classes,
    )
    reached, chance = (float(macro(count.f1())) for count in counts)
    assert reached > 0.4
    assert reached > chance + 0.2
    manifest = load(bundle).manifest
    overall = manifest.provenance.scores["overall"]
    assert overall["intersection_f1"] == pytest.approx(reached, abs=0.002)
    card = (bundle / "card.md").read_text(encoding="utf-8")
    assert json.loads((finished.folder / "run.json").read_text())["id"] in card
    for label in manifest.classes:
        assert card.count(f"| {label} |") == 2, "figures and thresholds of each class"
    assert ("## Accuracy against look-ahead" in card) is has_curve
    assert (bundle / "latency.png").exists() is has_curve


def test_a_run_says_what_it_is(run: Path) -> None:
    described = json.loads((run / "run.json").read_text())
    assert described["id"].startswith("tiny-")
    assert described["recipe"]["optimiser"]["learning_rate"] == 0.004
    assert Path(described["from"]).is_dir()
    assert described["identity"]["recipe"]["epochs"] == described["recipe"]["epochs"]
    assert "machine" not in described["identity"]["recipe"]
    assert sum(described["clips"].values()) >= 32
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_every_loss_and_figure_is_in_tensorboard(run: Path) -> None:
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    losses = next(r["losses"] for r in read_history(run) if r["kind"] == "losses")
    assert {f"loss/{name}" for name in losses} <= tags
    assert "validation/intersection_f1/student" in tags
    assert "rate/learning_rate" in tags


def test_the_best_of_each_network_is_kept(run: Path) -> None:
    validations = [r for r in read_history(run) if r["kind"] == "validation"]
    for network in validations[0]["figures"]:
        figures = [(r["figures"][network]["objective"], -r["step"]) for r in validations]
        assert load_model(run / f"{network}.best.pt").step == -max(figures)[1]
        assert load_model(run / f"{network}.last.pt").step == validations[-1]["step"]
    recipe = json.loads((run / "run.json").read_text())["recipe"]
    selected = recipe["validation"]["selection"] or "student"
    assert load_model(run / "best.pt").step == load_model(run / f"{selected}.best.pt").step
