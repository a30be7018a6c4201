"""Joint training: which half moves in which stage, in student and teacher, from which weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from typer.testing import CliRunner

from streamsed.errors import ConfigError
from tests.train.stage_run import StageRun, targets
from tests.train.test_conv_tasnet import small
from tests.train.tiny_joint import joint_model
from tests.train.tiny_models import tiny_model
from tests.train.tone_set import write_tone_set
from train.augment.mixup import MixupConfig
from train.checkpoint import load_model, load_separator, save_model
from train.cli import app
from train.data.batches import Batch
from train.data.classes import CLASSES
from train.engine.machine import MachineConfig
from train.engine.networks import OptimiserConfig
from train.engine.schedules import Ramp
from train.models.jss import JSS
from train.models.registry import build
from train.recipe.schema import Recipe, load_recipe, parse_recipe
from train.stages.mean_teacher import MeanTeacherConfig
from train.stages.registry import AverageConfig
from train.stages.validation import score_clips

STAGES: dict[str, str | None] = {"S1": "separator", "S2": "sed", "JT": None}
FRAMES = 16


@pytest.fixture(scope="module")
def stage0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("joint") / "s0.pt"
    save_model(path, joint_model("crnn2021", "global"), step=0)
    return path


@pytest.fixture
def batch() -> Batch[Tensor]:
    rng = torch.Generator().manual_seed(5)
    known = torch.tensor([1, 1, 0, 0], dtype=torch.bool)
    return Batch(
        inputs=0.1 * torch.randn(4, FRAMES * 1024, generator=rng),
        targets=targets(
            torch.rand(4, FRAMES, 3, generator=rng).round() * known[:, None, None],
            torch.rand(4, 3, generator=rng).round(),
            has_strong=known,
            has_weak=torch.tensor([1, 1, 1, 0], dtype=torch.bool),
        ),
        frames=torch.tensor([16, 16, 9, 16]),
        rows={"strong": slice(0, 2), "weak": slice(2, 3), "unlabelled": slice(3, 4)},
        names=tuple("abcd"),
        step=0,
    )


def recipe(stage0: Path, freeze: str | None) -> Recipe:
    return Recipe(
        name="x",
        model=load_model(stage0).model.config,
        init_from=stage0,
        stage=MeanTeacherConfig(
            teacher=AverageConfig(0.5), consistency=Ramp(weight=0.5), freeze=freeze
        ),
        mixup=MixupConfig(probability=0.0),
        optimiser=OptimiserConfig(kind="adamw", learning_rate=0.01, weight_decay=0.1),
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_moves_its_half_and_leaves_the_other_to_the_bit(
    stage: str, stage0: Path, batch: Batch[Tensor]
) -> None:
    frozen = STAGES[stage]
    run = StageRun(recipe(stage0, frozen))
    student = run.networks["student"]
    before = copy.deepcopy(student.state_dict())
    for k in (1, 2):
        run.step(batch, k)
    moving = {"separator", "sed"} - {frozen}
    for network in run.networks.values():
        changed = {
            name.split(".")[0]
            for name, value in network.state_dict().items()
            if not torch.equal(value, before[name])
        }
        assert changed == moving
    running = [name for name in before if "running" in name]
    assert running
    assert all(torch.equal(student.state_dict()[n], before[n]) for n in running) == (
        frozen == "sed"
    )


def test_gradients_pass_a_frozen_detector_on_cuda_too(stage0: Path) -> None:
    """CuDNN refuses the backward pass of a recurrent layer in evaluation mode."""
    student = StageRun(recipe(stage0, "sed")).networks["student"]
    for mode in (True, False, True):
        student.train(mode)
        assert student.sed.rnn.training
        assert not student.sed.cnn.training
        assert not student.sed.dropout.training
        assert student.separator.training is mode
    student.sed.rnn.dropout = 0.5
    with pytest.raises(ValueError, match="dropout between its layers"):
        student.train()


def test_losses_are_of_the_highest_scores_of_all_sources(
    stage0: Path, batch: Batch[Tensor]
) -> None:
    run = StageRun(recipe(stage0, None))
    student, teacher = (run.networks[name].eval() for name in ("student", "teacher"))
    terms = run.terms(batch)
    padding = torch.arange(FRAMES)[None] >= batch.frames[:, None]
    one, other = (network.detect(batch.inputs, padding) for network in (student, teacher))
    strong, weak = (batch.targets[name].values for name in ("strong", "weak"))
    expected = {
        "strong": F.binary_cross_entropy(one.frames[:2].sigmoid(), strong[:2]),
        "weak": F.binary_cross_entropy(one.clip[2:3], weak[2:3]),
        "strong_consistency": 0.5 * (one.frames.sigmoid() - other.frames.sigmoid()).square().mean(),
        "weak_consistency": 0.5 * (one.clip - other.clip).square().mean(),
    }
    for name, value in terms.items():
        torch.testing.assert_close(value, expected[name], msg=name)


def test_clips_are_scored_through_the_separator(stage0: Path, batch: Batch[Tensor]) -> None:
    model = load_model(stage0).model
    found = score_clips(model, [batch], device=torch.device("cpu"))
    padding = torch.arange(FRAMES)[None] >= batch.frames[:, None]
    with torch.no_grad():
        expected = model.detect(batch.inputs, padding)
    assert expected.clip is not None
    assert found.frames["c"].shape == (9, 3)
    torch.testing.assert_close(torch.from_numpy(found.frames["a"]), expected.frames[0].sigmoid())
    torch.testing.assert_close(torch.from_numpy(found.tags["c"]), expected.clip[2])


def test_a_joint_model_wants_audio_and_two_trained_halves(stage0: Path) -> None:
    of = recipe(stage0, None)
    with pytest.raises(ValueError, match="mixup"):
        replace(of, mixup=MixupConfig())
    with pytest.raises(ValueError, match=r"machine\.cache"):
        replace(of, machine=MachineConfig(cache=Path("x")))
    with pytest.raises(ValueError, match="has no halves"):
        Recipe(name="x", stage=MeanTeacherConfig(freeze="sed"))
    with pytest.raises(ConfigError, match="streamsed-train join"):
        StageRun(replace(of, init_from=None))


@pytest.mark.parametrize("folder", ["", "streaming/"])
@pytest.mark.parametrize("name", ["joint", "stage1", "stage2"])
def test_recipes_of_the_stages(name: str, folder: str) -> None:
    loaded = load_recipe(Path(f"train/recipes/jss/{folder}{name}.yaml"))
    assert loaded.model.kind == "jss"
    assert loaded.stage.freeze == {"joint": None, "stage1": "separator", "stage2": "sed"}[name]


def test_the_command_begins_with_a_joint_model_of_any_size(tmp_path: Path) -> None:
    data = write_tone_set(tmp_path / "tones")
    detector = build(replace(tiny_model("causal").config, classes=CLASSES, clip_head=True))
    separator = small(norm="cumulative", blocks=1)
    save_model(tmp_path / "separator.pt", separator, step=0)
    save_model(tmp_path / "sed.pt", detector, step=0)
    joined = tmp_path / "s0.pt"
    files = [str(tmp_path / "separator.pt"), str(tmp_path / "sed.pt")]
    assert CliRunner().invoke(app, ["join", *files, "-o", str(joined)]).exit_code == 0
    recipe = tmp_path / "stage1.yaml"
    recipe.write_text(
        f"extends: {Path('train/recipes/jss/stage1.yaml').resolve()}\n"
        "data: {strong: 2, weak: 2, unlabelled: 2, duration_s: 2.048, weak_validation: 0.25,"
        " steps_per_epoch: 2}\nepochs: 1\nmachine: {device: cpu, workers: 0}\n"
    )
    command = ["fit", str(recipe), "--data", str(data), "-o", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*command, "--init-from", str(joined)])
    assert done.exit_code == 0, done.output
    assert "step 2 of 2, done" in done.output
    best = load_model(tmp_path / "run/best.pt").model
    assert isinstance(best, JSS)
    torch.testing.assert_close(best.separator.state_dict(), separator.state_dict(), rtol=0, atol=0)
    assert not torch.equal(best.sed.head.weight, detector.head.weight)  # type: ignore[union-attr, arg-type]
    wrong = CliRunner().invoke(app, [*command, "--init-from", files[1]])
    assert "streamsed-train join" in str(wrong.exception)


def test_joining_two_checkpoints(tmp_path: Path) -> None:
    separator, sed = small(norm="cumulative"), tiny_model("causal")
    save_model(tmp_path / "separator.pt", separator, step=3)
    save_model(tmp_path / "sed.pt", sed, step=7)
    torch.testing.assert_close(
        load_separator(tmp_path / "separator.pt").state_dict(), separator.state_dict()
    )
    command = ["join", str(tmp_path / "separator.pt"), str(tmp_path / "sed.pt")]
    output = tmp_path / "new" / "s0.pt"
    done = CliRunner().invoke(app, [*command, "-o", str(output), "--source-norm", "mixture"])
    assert done.exit_code == 0, done.output
    assert "4 sources" in done.output
    joined = load_model(output).model
    assert isinstance(joined, JSS)
    assert joined.config.source_norm == "mixture"
    torch.testing.assert_close(joined.sed.state_dict(), sed.state_dict())
    torch.testing.assert_close(joined.separator.state_dict(), separator.state_dict())
    swapped = CliRunner().invoke(app, ["join", *command[:0:-1], "-o", str(output)])
    assert isinstance(swapped.exception, ConfigError)
    assert "separator.pt" in str(swapped.exception) or "sed.pt" in str(swapped.exception)
    again = CliRunner().invoke(app, [*command[:2], str(output), "-o", str(tmp_path / "x.pt")])
    assert "joint model already" in str(again.exception)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"kind": "jss", "sed": {"kind": "crnn2021", "classes": ["a"], "x": 1}}, r"model\.sed\.x"),
        (
            {"kind": "jss", "sed": {"kind": "crnn2021", "classes": ["a"]}, "separator": {"x": 1}},
            r"model\.separator\.x",
        ),
        ({"kind": "none"}, "model: unknown kind 'none'; known: .*jss"),
    ],
)
def test_a_wrong_model_is_named_by_its_key(model: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_recipe({"name": "x", "model": model}, where="r.yaml")
