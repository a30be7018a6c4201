"""A causal student under a trained teacher: which of its outputs is compared with which score."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from streamsed.errors import ConfigError
from tests.train.stage_run import StageRun
from tests.train.tiny_models import example_model
from tests.train.tone_set import write_tone_set
from train.checkpoint import save_model
from train.data.classes import CLASSES
from train.data.sets.registry import DATA
from train.layering import laid_over, read_layers
from train.models.registry import MODELS, build
from train.recipe.schema import Recipe, parse_recipe

RECIPE = Path("train/recipes/joint/tiny-causal.yaml")
AHEAD = 4


def recipe(checkpoint: Path, **changes: Any) -> Recipe:
    content = laid_over(read_layers(RECIPE), {"stage": {"checkpoint": str(checkpoint)}})
    return parse_recipe(laid_over(content, changes), where="tiny-causal")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of frames twice as long as the student's, that sees the whole clip."""
    torch.manual_seed(3)
    config = MODELS.example("two_branch_teacher")(CLASSES)
    blocks = (replace(config.blocks[0], pool=(4, 4)), *config.blocks[1:])
    longer = replace(config, blocks=blocks, chunk_samples=8192, latency_frames=2)
    path = tmp_path_factory.mktemp("teacher") / "teacher.pt"
    save_model(path, build(longer).eval(), step=1)
    return path


@pytest.fixture(scope="module")
def batch(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    data = write_tone_set(tmp_path_factory.mktemp("tones"))
    return DATA.maker("desed")(data, recipe(teacher)).batches()[0].map(torch.from_numpy)


def test_an_output_is_compared_with_the_score_of_as_many_frames_earlier(
    teacher: Path, batch: Any
) -> None:
    """Against the outputs as a stream would give them, each look-ahead frames after its own."""
    run = StageRun(recipe(teacher))
    student, network = run.networks["student"], run.networks["teacher"]
    terms = run.terms(batch)
    with torch.no_grad():
        features = student.front_end.features(student.mels(batch.inputs))
        state = student.initial_state(len(features), "cpu")
        late, _ = student.score(features, state, state[0])
        theirs = network.front_end.features(network.mels(batch.inputs))
        scores = torch.sigmoid(network.clip(theirs).frames).repeat_interleave(2, dim=1)
        frames = scores.shape[1]
        losses = F.binary_cross_entropy_with_logits(
            late[:, AHEAD : AHEAD + frames], scores, reduction="none"
        )
        shifted = F.binary_cross_entropy_with_logits(late[:, :frames], scores, reduction="none")
    assert late.shape[1] == frames + AHEAD
    torch.testing.assert_close(terms["soft"], losses.mean())
    assert abs(shifted.mean() - losses.mean()) > 1e-4


def test_the_teacher_stays_and_the_student_follows_it(teacher: Path, batch: Any) -> None:
    alone = {"frame_targets": [], "clip_targets": []}
    run = StageRun(recipe(teacher, stage=alone))
    before = {key: value.clone() for key, value in run.networks["teacher"].state_dict().items()}
    first = run.step(batch, 1, 0.004)["soft"].item()
    for k in range(2, 9):
        last = run.step(batch, k, 0.004)["soft"].item()
    assert last < first
    torch.testing.assert_close(run.networks["teacher"].state_dict(), before, rtol=0, atol=0)
    assert run.networks.kept == ("student",)


def test_which_teacher_it_is_is_part_of_which_run_it_is(teacher: Path) -> None:
    assert recipe(teacher).stage.needs() == {"checkpoint": teacher}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"stage": {"checkpoint": None}}, "stage.checkpoint names the teacher"),
        ({"stage": {"targets": "random"}}, "stage.checkpoint names the teacher"),
        ({"stage": {"teacher": {"decay": 0.9}}}, "has no average"),
    ],
)
def test_a_stage_without_its_teacher_is_refused(
    teacher: Path, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        recipe(teacher, **changes)


def test_a_teacher_that_does_not_fit_is_one_line(teacher: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    save_model(other, example_model("mlfl"), step=1)
    with pytest.raises(ConfigError, match=r"other\.pt: has other classes"):
        StageRun(recipe(other))
    with pytest.raises(ConfigError, match="no such checkpoint"):
        StageRun(recipe(tmp_path / "none.pt"))
    longer = recipe(teacher, model={"stem_stride": [6, 2], "chunk_samples": 6144})
    with pytest.raises(ConfigError, match="frames of 2048 samples"):
        StageRun(longer)
    cached = recipe(teacher, model={"front_end": {"n_mels": 48}}, machine={"cache": str(tmp_path)})
    with pytest.raises(ConfigError, match="another front end"):
        StageRun(cached)
