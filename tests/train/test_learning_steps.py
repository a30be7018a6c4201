"""Steps: what the parts of a loss are made of, and what becomes of the two networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn import functional as F

from streamsed.errors import ConfigError
from train.augment import (
    AugmentConfig,
    ClippingConfig,
    FilterConfig,
    FrameShiftConfig,
    GainConfig,
    PitchConfig,
    ReverberationConfig,
)
from train.checkpoint import load_model, save_model
from train.data.batches import Batch
from train.learning.learner import Learner
from train.learning.mixup import MixupConfig
from train.learning.recipe import (
    DataConfig,
    LearningRecipe,
    OptimiserConfig,
    TeacherConfig,
    load_recipe,
)
from train.learning.steps import Moment, mean_teacher, prepare, streamed, supervised
from train.models.causal_crnn import CausalCRNNConfig, StageConfig

CLASSES = ("a", "b")
MODEL = CausalCRNNConfig(
    CLASSES,
    stem_channels=4,
    stages=(StageConfig(4, pool_time=2), StageConfig(4)),
    rnn_units=8,
    rnn_layers=1,
    dropout=0.0,
    latency_frames=2,
    clip_head=True,
)
RECIPE = LearningRecipe(
    name="x",
    model=MODEL,
    mixup=MixupConfig(probability=0.0),
    optimiser=OptimiserConfig(learning_rate=0.01, rise_epochs=0),
    teacher=TeacherConfig(decay=0.5),
)
FRAMES = 12


@pytest.fixture
def batch() -> Batch[Tensor]:
    rng = torch.Generator().manual_seed(5)
    known = torch.tensor([1, 1, 0, 0, 0, 0], dtype=torch.bool)
    return Batch(
        inputs=0.1 * torch.randn(6, FRAMES * MODEL.frame_samples, generator=rng),
        strong=torch.rand(6, FRAMES, 2, generator=rng).round() * known[:, None, None],
        weak=torch.tensor([[1, 1], [1, 0], [0, 1], [1, 0], [0, 0], [0, 0]]).float(),
        has_strong=known,
        has_weak=torch.tensor([1, 1, 1, 1, 0, 0], dtype=torch.bool),
        frames=torch.tensor([12, 12, 12, 7, 12, 12]),
        rows={"strong": slice(0, 2), "weak": slice(2, 4), "unlabelled": slice(4, 6)},
        names=tuple("abcdef"),
        step=0,
    )


def moment(consistency: float = 2.0, seed: int = 0) -> Moment:
    return Moment(consistency, np.random.default_rng(seed))


def learner(recipe: LearningRecipe = RECIPE) -> Learner:
    made = Learner(recipe, Fabric(accelerator="cpu", devices=1))
    if recipe.step == "mean_teacher" and made.teacher is not None:
        with torch.no_grad():
            made.teacher.head.bias += 1.0  # type: ignore[operator, union-attr]
    return made


def test_the_parts_of_the_mean_teachers_loss(batch: Batch[Tensor]) -> None:
    networks = learner()
    assert networks.teacher is not None
    terms = mean_teacher(batch, networks, moment(consistency=0.5))
    features = networks.student.front_end.features(networks.student.mels(batch.inputs))
    padding = torch.arange(FRAMES)[None] >= batch.frames[:, None]
    said = networks.student.clip(features, padding)
    taught = networks.teacher.clip(features, padding)
    assert said.weak is not None
    assert taught.weak is not None
    expected = {
        "strong": F.binary_cross_entropy(said.strong[:2].sigmoid(), batch.strong[:2]),
        "weak": F.binary_cross_entropy(said.weak[2:4], batch.weak[2:4]),
        "strong_consistency": 0.5
        * (said.strong.sigmoid() - taught.strong.sigmoid()).square().mean(),
        "weak_consistency": 0.5 * (said.weak - taught.weak).square().mean(),
    }
    assert terms.keys() == expected.keys()
    for name, value in terms.items():
        torch.testing.assert_close(value, expected[name], msg=name)
        assert value > 0


def test_supervised_is_the_same_without_the_teacher(batch: Batch[Tensor]) -> None:
    terms = supervised(batch, learner(), moment())
    both = mean_teacher(batch, learner(), moment())
    assert terms.keys() == {"strong", "weak"}
    for name, value in terms.items():
        torch.testing.assert_close(value, both[name])


def test_both_networks_run_in_training_mode_and_keep_statistics_of_their_own(
    batch: Batch[Tensor],
) -> None:
    networks = learner()
    assert networks.teacher is not None
    mean_teacher(batch, networks, moment())
    for network in (networks.student, networks.teacher):
        assert network.training
        assert int(network.stem_norm.num_batches_tracked) == 1  # type: ignore[arg-type, union-attr]


def test_a_step_moves_the_student_and_the_teacher_after_it(batch: Batch[Tensor]) -> None:
    networks = learner()
    assert networks.teacher is not None
    before = [p.detach().clone() for p in networks.teacher.parameters()]
    loss = torch.stack(list(mean_teacher(batch, networks, moment()).values())).sum()
    networks.move(loss, k=10, learning_rate=0.01)
    moved = 0
    for student, teacher, was in zip(
        networks.student.parameters(), networks.teacher.parameters(), before, strict=True
    ):
        torch.testing.assert_close(teacher.detach(), (student.detach() + was) / 2)
        moved += int((student.detach() - was).abs().max() > 0)
        assert teacher.grad is None
    assert moved > 0.8 * len(before)


def test_a_teacher_that_hears_nothing_follows_with_its_buffers(batch: Batch[Tensor]) -> None:
    networks = learner(replace(RECIPE, step="supervised"))
    assert networks.teacher is not None
    loss = torch.stack(list(supervised(batch, networks, moment()).values())).sum()
    networks.move(loss, k=10, learning_rate=0.01)
    student, teacher = networks.student.stem_norm, networks.teacher.stem_norm  # type: ignore[union-attr]
    torch.testing.assert_close(teacher.running_mean, student.running_mean / 2)


def test_streams_go_on_in_the_state_that_other_clips_left(batch: Batch[Tensor]) -> None:
    """With every state carried, two steps are one stream, up to who follows whom."""
    batch = replace(batch, has_strong=torch.ones(6, dtype=torch.bool))
    recipe = replace(RECIPE, step="streamed", data=DataConfig(weak=0, unlabelled=0), carry_state=1)
    networks = learner(recipe)
    networks.student.eval()
    features = networks.student.front_end.features(networks.student.mels(batch.inputs))
    heard = features[:, : FRAMES * 4]
    networks.stream(heard, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    found = networks.stream(heard, rng)
    rng = np.random.default_rng(2)
    rng.random(6)
    whose = rng.permutation(6).tolist()
    state = networks.student.initial_state(6)
    both = torch.cat([heard[whose], heard], dim=1)
    expected, _ = networks.student.score(both, state, state[0])
    torch.testing.assert_close(found, expected[:, FRAMES:])
    none = learner(replace(recipe, carry_state=0.0))
    none.student.eval()
    first, second = (none.stream(heard, np.random.default_rng(3)) for _ in range(2))
    torch.testing.assert_close(first, second)


def test_a_streamed_loss_compares_scores_with_the_frames_that_they_are_about(
    batch: Batch[Tensor],
) -> None:
    recipe = replace(RECIPE, step="streamed", data=DataConfig(weak=0, unlabelled=0))
    networks = learner(recipe)
    terms = streamed(batch, networks, moment())
    clip = networks.student.clip(
        networks.student.front_end.features(networks.student.mels(batch.inputs))
    )
    # The same as of whole clips, but for the last two frames, whose scores come too late.
    expected = F.binary_cross_entropy_with_logits(clip.strong[:2, :-2], batch.strong[:2, :-2])
    torch.testing.assert_close(terms["strong"], expected, rtol=2e-2, atol=0)


@pytest.mark.parametrize(
    "changes",
    [
        AugmentConfig(reverberation=ReverberationConfig(1.0, rooms=2)),
        AugmentConfig(pitch=PitchConfig(probability=1.0)),
        AugmentConfig(clipping=ClippingConfig(most_db=30.0, probability=1.0)),
        AugmentConfig(filter=FilterConfig()),
    ],
    ids=["reverberation", "pitch", "clipping", "filter"],
)
def test_changes_reach_the_network(batch: Batch[Tensor], changes: AugmentConfig) -> None:
    plain, _ = prepare(batch, learner(), moment())
    changed, _ = prepare(batch, learner(replace(RECIPE, augment=changes)), moment())
    assert (plain.inputs - changed.inputs).abs().mean() > 0.1  # decibels: nothing is scaled yet
    assert torch.equal(plain.strong, changed.strong)


def test_gains_and_shifts_reach_the_network(batch: Batch[Tensor]) -> None:
    gain = AugmentConfig(gain=GainConfig(-20.0, -20.0))
    plain, _ = prepare(batch, learner(), moment())
    quieter, _ = prepare(batch, learner(replace(RECIPE, augment=gain)), moment())
    difference = (plain.inputs - quieter.inputs)[:, : 7 * 4]
    torch.testing.assert_close(difference, torch.full_like(difference, 20.0), rtol=0, atol=0.01)
    shift = AugmentConfig(frame_shift=FrameShiftConfig(deviation_frames=3.0))
    torch.manual_seed(1)
    moved, padding = prepare(batch, learner(replace(RECIPE, augment=shift)), moment())
    assert not torch.equal(moved.strong, batch.strong)
    assert moved.strong.sum() == batch.strong.sum()
    assert not padding.any()


def test_a_run_may_begin_with_a_checkpoint(tmp_path: Path) -> None:
    before = learner()
    before.student.front_end.set_statistics(torch.full((64,), -30.0), torch.full((64,), 9.0))
    save_model(tmp_path / "begun.pt", before.student, step=5)
    after = learner(replace(RECIPE, seed=9, init_from=tmp_path / "begun.pt"))
    for mine, theirs in zip(
        after.student.state_dict().values(), before.student.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, theirs)
    wider = replace(RECIPE, model=replace(MODEL, rnn_units=12), init_from=tmp_path / "begun.pt")
    with pytest.raises(ConfigError, match="of another model") as caught:
        learner(wider)
    assert "\n" not in str(caught.value)


def test_the_shipped_model_may_be_tuned_further() -> None:
    shipped = Path("models/domestic/crnn.pt")
    recipe = replace(load_recipe(Path("train/recipes/domestic.yaml")), init_from=shipped)
    torch.testing.assert_close(
        learner(recipe).student.state_dict(), load_model(shipped).model.state_dict()
    )


def test_without_tags_there_is_no_loss_of_clips(batch: Batch[Tensor]) -> None:
    model = replace(MODEL, clip_head=False)
    recipe = replace(RECIPE, model=model, data=DataConfig(weak=0))
    assert mean_teacher(batch, learner(recipe), moment()).keys() == {
        "strong",
        "strong_consistency",
    }


def test_statistics_are_of_what_is_heard(batch: Batch[Tensor]) -> None:
    """Silence behind short clips and behind all clips, for the look-ahead, would spoil them."""
    networks = learner()
    networks.set_statistics([batch])
    padded = batch.inputs.clone()
    padded[3, 7 * MODEL.frame_samples :] = 0.0
    again = learner()
    again.set_statistics([batch.map(lambda t: padded if t.ndim == 2 and len(t[0]) > 99 else t)])
    torch.testing.assert_close(networks.student.front_end.mean, again.student.front_end.mean)
    features, _ = prepare(batch, networks, moment())
    heard = features.inputs[[0, 1, 2, 4, 5], : FRAMES * 4]
    assert heard.mean().abs() < 0.1
    assert heard.std().item() == pytest.approx(1.0, abs=0.1)


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_bf16_gives_nearly_the_same_parts(batch: Batch[Tensor]) -> None:
    half = Learner(RECIPE, Fabric(accelerator="cpu", devices=1, precision="bf16-mixed"))
    with torch.no_grad():
        half.teacher.head.bias += 1.0  # type: ignore[operator, union-attr]
    computed_in: dict[str, torch.dtype] = {}
    for name, network in half.networks.items():
        network.head.register_forward_hook(  # type: ignore[union-attr]
            lambda *call, name=name: computed_in.update({name: call[2].dtype})
        )
    with one_thread():
        terms = mean_teacher(batch, half, moment())
        exact = mean_teacher(batch, learner(), moment())
    assert computed_in == {"student": torch.bfloat16, "teacher": torch.bfloat16}
    for name, value in terms.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[name], rtol=0.05, atol=1e-3, msg=name)
    half.move(torch.stack(list(terms.values())).sum(), k=1, learning_rate=0.01)
    assert all(torch.isfinite(p).all() for p in half.student.parameters())
