"""Whole runs of separators on tiny data: they learn, resume and say how much better it got."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from streamsed.errors import ConfigError, DataError
from tests.train.mixture_set import CLIP_S, write_mixtures
from tests.train.test_conv_tasnet import small_config
from tests.train.tone_set import write_tone_set
from tests.train.trees import RATE, write_wav
from train.checkpoint import load_separator
from train.cli import app
from train.data.fuss import Mixture
from train.data.mixtures import MixtureBatches, OrderedMixtures, Pairs, Sources
from train.data.sets.mixtures import MixturesConfig, PairsConfig
from train.engine.fitting import fit_recipe
from train.engine.machine import MachineConfig
from train.engine.networks import OptimiserConfig
from train.engine.training_log import read_history
from train.models.presets import SMALL_SEPARATOR
from train.recipe.schema import Recipe, ValidationConfig, load_recipe
from train.stages.registry import AverageConfig
from train.stages.separation import MixITConfig, PITConfig

RECIPES = sorted(
    path for path in Path("train/recipes/jss").rglob("*.yaml") if path.stem in {"fuss", "mixit"}
)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "pit": write_mixtures(tmp_path_factory.mktemp("mixtures")),
        "mixit": write_tone_set(tmp_path_factory.mktemp("tones")),
    }


STAGES = {"pit": PITConfig, "mixit": MixITConfig}
DATA = {"pit": MixturesConfig, "mixit": PairsConfig}


def tiny(stage: str, *, teacher: AverageConfig | None = None, steps: int = 20, **changes: object
) -> Recipe:  # fmt: skip
    values: dict[str, object] = {
        "name": f"tiny-{stage}",
        "stage": STAGES[stage](teacher=teacher),
        "model": small_config(
            filters=32,
            bottleneck=16,
            hidden=32,
            skip=16,
            memory_s=0.5,
            kernel_samples=32,
            stride_samples=16,
        ),
        "data": DATA[stage](batch=4, duration_s=CLIP_S, steps_per_epoch=steps),
        "optimiser": OptimiserConfig(learning_rate=5e-3, clip_norm=5.0, rise_epochs=0.0),
        "epochs": 3,
        "machine": MachineConfig(device="cpu", workers=0, threads=1, log_every=10),
    }
    return Recipe(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("step", ["pit", "mixit"])
def test_a_separator_learns(step: str, roots: dict[str, Path], tmp_path: Path) -> None:
    trainer, done = fit_recipe(
        tiny(step, teacher=AverageConfig(0.9)), data=roots[step], folder=tmp_path
    )
    assert done
    history = read_history(tmp_path)
    losses = [record["losses"][step] for record in history if record["kind"] == "losses"]
    assert losses[-1] < losses[0] - 3.0
    figures = [record["figures"]["student"] for record in history if record["kind"] == "validation"]
    assert figures[-1]["loss_db"] < figures[0]["loss_db"] - 1.0
    assert figures[-1]["objective"] == pytest.approx(-figures[-1]["loss_db"])
    if step == "pit":
        assert figures[-1]["si_snr_improvement_db"] > figures[0]["si_snr_improvement_db"]
        assert figures[-1]["si_snr_improvement_db"] > 3.0
    assert (tmp_path / "curves.png").exists()
    best = load_separator(tmp_path / "best.pt")
    assert best.config == trainer.recipe.model
    assert load_separator(tmp_path / "teacher.best.pt").config == best.config


def test_a_stopped_run_ends_as_one_that_was_not(roots: dict[str, Path], tmp_path: Path) -> None:
    recipe = tiny("pit", epochs=2, steps=4)
    whole, _ = fit_recipe(recipe, data=roots["pit"], folder=tmp_path / "whole")
    _, done = fit_recipe(recipe, data=roots["pit"], folder=tmp_path / "cut", until=0.0)
    assert not done
    resumed, done = fit_recipe(recipe, data=roots["pit"], folder=tmp_path / "cut")
    assert done
    torch.testing.assert_close(
        resumed.networks["student"].state_dict(),
        whole.networks["student"].state_dict(),
        rtol=0,
        atol=0,
    )


def test_a_run_may_begin_with_a_separator(roots: dict[str, Path], tmp_path: Path) -> None:
    recipe = tiny("pit", epochs=1, steps=1)
    first, _ = fit_recipe(recipe, data=roots["pit"], folder=tmp_path / "a")
    begun = tiny("mixit", epochs=1, steps=1, init_from=tmp_path / "a/student.last.pt", seed=3)
    again, _ = fit_recipe(begun, data=roots["mixit"], folder=tmp_path / "b")
    for mine, theirs in zip(
        again.networks["student"].parameters(), first.networks["student"].parameters(), strict=True
    ):
        assert (mine - theirs).abs().max() < 0.02  # one step of Adam
    wider = replace(begun, model=replace(recipe.model, hidden=40))
    with pytest.raises(ConfigError, match="another size"):
        fit_recipe(wider, data=roots["mixit"], folder=tmp_path / "c")


def test_mixtures_are_cut_and_padded_alike(tmp_path: Path) -> None:
    root = write_mixtures(tmp_path)
    mixture = Mixture("x", root / "train/example00001.wav", ())
    sources = tuple(sorted((root / "train/example00001_sources").iterdir()))
    long = Sources([replace(mixture, sources=sources)], 4000, RATE, 5)
    whole = long.parts([0], None)
    assert whole.shape == (5, 4000)
    assert not whole[3:].any()
    (batch,) = OrderedMixtures(long, batch=2)[0].mixture
    np.testing.assert_allclose(batch, whole.sum(0), atol=1e-6)
    short = replace(long, samples=20_000).parts([0], np.random.default_rng(1))
    assert short.shape == (5, 20_000)
    assert not short[:, round(CLIP_S * RATE) :].any()


def test_no_clip_is_mixed_with_itself(tmp_path: Path) -> None:
    for index in range(2):
        write_wav(tmp_path / f"{index}.wav", np.full(400, 0.1 * (index + 1), np.float32))
    pairs = Pairs([tmp_path / "0.wav", tmp_path / "1.wav"], 400, RATE)
    batches = MixtureBatches(pairs, batch=2, seed=1, steps_per_epoch=8)
    for step in range(8):
        batch = batches[step]
        np.testing.assert_allclose(
            np.sort(batch.parts[:, :, 0], axis=1), [[0.1, 0.2]] * 2, atol=1e-4
        )
        np.testing.assert_allclose(batch.mixture, 0.3, atol=1e-4)
    shared = [
        MixtureBatches(pairs, batch=2, seed=1, steps_per_epoch=8, rank=r, ranks=2) for r in (0, 1)
    ]
    both = np.concatenate([part[3].parts for part in shared])
    np.testing.assert_array_equal(both, batches[3].parts)


def test_gains_differ_by_clip_and_step(tmp_path: Path) -> None:
    for index in range(4):
        write_wav(tmp_path / f"{index}.wav", np.full(400, 0.1, np.float32))
    paths = [tmp_path / f"{index}.wav" for index in range(4)]
    batches = MixtureBatches(Pairs(paths, 400, RATE, gain_db=6.0), batch=2, seed=1)
    levels = 20 * np.log10(batches[0].parts[:, :, 0] / 0.1)
    assert np.abs(levels).max() <= 6.01
    assert levels.std() > 0.5


@pytest.mark.parametrize("path", RECIPES, ids=str)
def test_recipes_of_separation(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.stage.kind == ("pit" if path.stem == "fuss" else "mixit")
    if path.parent.name == "streaming":
        assert recipe.model == SMALL_SEPARATOR


def test_the_command_trains_a_separator(roots: dict[str, Path], tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        "name: x\nstage: {kind: pit}\nmodel: {kind: conv_tasnet, filters: 16, bottleneck: 8,"
        " hidden: 8, skip: 8, blocks: 1}\n"
        f"data: {{kind: mixtures, batch: 2, duration_s: {CLIP_S}, steps_per_epoch: 2}}\nepochs: 1\n"
        "machine: {device: cpu, workers: 0}\n"
    )
    command = ["fit", str(recipe), "-o", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*command, "--data", str(roots["pit"])])
    assert done.exit_code == 0, done.output
    assert "step 2 of 2, done" in done.output
    wrong = CliRunner().invoke(app, [*command, "--data", str(tmp_path)])
    assert isinstance(wrong.exception, DataError)
    recipe.write_text(
        "name: x\nstage: {kind: pit}\ndata: {kind: mixtures}\n"
        "model: {kind: conv_tasnet, sources: 3}\n"
    )
    few = CliRunner().invoke(app, [*command, "--data", str(roots["pit"])])
    assert "model.sources 3" in str(few.exception)
    recipe.write_text(
        "name: x\nstage: {kind: pit}\ndata: {kind: mixtures}\n"
        "model: {kind: conv_tasnet}\nmixup: {alpha: 0.3}\n"
    )
    unknown = CliRunner().invoke(app, [*command, "--data", str(roots["pit"])])
    assert "mixup" in str(unknown.exception)


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="there is none"):
        tiny("pit", validation=ValidationConfig(selection="teacher"))
    with pytest.raises(ValueError, match="mel bands"):
        tiny("pit", machine=MachineConfig(cache=Path("x")))
