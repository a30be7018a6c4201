"""Stages on clips: what the parts of a loss are made of, and what becomes of their networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from streamsed.errors import ConfigError
from tests.train.stage_run import StageRun, targets
from train.augment import (
    AugmentConfig,
    ClippingConfig,
    FilterConfig,
    FrameShiftConfig,
    GainConfig,
    PitchConfig,
    ReverberationConfig,
)
from train.augment.mixup import MixupConfig
from train.checkpoint import load_model, save_model
from train.data.batches import Batch
from train.data.sets.desed import DesedConfig, LabelsConfig
from train.data.sets.scenes import ScenesConfig
from train.data.targets import Target
from train.engine.networks import OptimiserConfig
from train.engine.schedules import Ramp
from train.models.causal_crnn import CausalCRNNConfig, StageConfig
from train.recipe.schema import Recipe, load_recipe
from train.stages.beginning import set_statistics
from train.stages.mean_teacher import MeanTeacherConfig
from train.stages.registry import AverageConfig
from train.stages.streamed import StreamedConfig
from train.stages.supervised import SupervisedConfig

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
RECIPE = Recipe(
    name="x",
    model=MODEL,
    mixup=MixupConfig(probability=0.0),
    optimiser=OptimiserConfig(learning_rate=0.01, rise_epochs=0),
    stage=MeanTeacherConfig(teacher=AverageConfig(0.5), consistency=Ramp(weight=0.5)),
)
FRAMES = 12


@pytest.fixture
def batch() -> Batch[Tensor]:
    rng = torch.Generator().manual_seed(5)
    known = torch.tensor([1, 1, 0, 0, 0, 0], dtype=torch.bool)
    return Batch(
        inputs=0.1 * torch.randn(6, FRAMES * MODEL.frame_samples, generator=rng),
        targets=targets(
            torch.rand(6, FRAMES, 2, generator=rng).round() * known[:, None, None],
            torch.tensor([[1, 1], [1, 0], [0, 1], [1, 0], [0, 0], [0, 0]]).float(),
            has_strong=known,
            has_weak=torch.tensor([1, 1, 1, 1, 0, 0], dtype=torch.bool),
        ),
        frames=torch.tensor([12, 12, 12, 7, 12, 12]),
        rows={"strong": slice(0, 2), "weak": slice(2, 4), "unlabelled": slice(4, 6)},
        names=tuple("abcdef"),
        step=0,
    )


SUPERVISED = replace(RECIPE, stage=SupervisedConfig(teacher=AverageConfig(0.5)))
STREAMED = replace(
    RECIPE, stage=StreamedConfig(carry_state=1.0), data=DesedConfig(weak=0, unlabelled=0)
)


def started(recipe: Recipe = RECIPE) -> StageRun:
    run = StageRun(recipe)
    if recipe.stage.kind == "mean_teacher":
        with torch.no_grad():
            run.networks["teacher"].head.bias += 1.0
    return run


def test_the_parts_of_the_mean_teachers_loss(batch: Batch[Tensor]) -> None:
    run = started()
    terms = run.terms(batch)
    student, teacher = run.networks["student"], run.networks["teacher"]
    features = student.front_end.features(student.mels(batch.inputs))
    padding = torch.arange(FRAMES)[None] >= batch.frames[:, None]
    one, other = (network.clip(features, padding) for network in (student, teacher))
    strong, weak = (batch.targets[name].values for name in ("strong", "weak"))
    expected = {
        "strong": F.binary_cross_entropy(one.frames[:2].sigmoid(), strong[:2]),
        "weak": F.binary_cross_entropy(one.clip[2:4], weak[2:4]),
        "strong_consistency": 0.5 * (one.frames.sigmoid() - other.frames.sigmoid()).square().mean(),
        "weak_consistency": 0.5 * (one.clip - other.clip).square().mean(),
    }
    assert terms.keys() == expected.keys()
    for name, value in terms.items():
        torch.testing.assert_close(value, expected[name], msg=name)
        assert value > 0


def test_consistency_rises_with_the_step(batch: Batch[Tensor]) -> None:
    early, late = (started().terms(batch, step=step) for step in (1, 10_000))
    assert early["strong_consistency"] < 0.01 * late["strong_consistency"]
    torch.testing.assert_close(early["strong"], late["strong"])


def test_supervised_is_the_same_without_the_teacher(batch: Batch[Tensor]) -> None:
    terms, both = started(SUPERVISED).terms(batch), started().terms(batch)
    assert terms.keys() == {"strong", "weak"}
    for name, value in terms.items():
        torch.testing.assert_close(value, both[name])


def test_clips_of_rows_with_events_count_where_that_is_chosen(batch: Batch[Tensor]) -> None:
    """The baseline leaves them out; tags of events are known all the same."""
    every = replace(SUPERVISED, stage=replace(SUPERVISED.stage, clip_labels="all"))  # type: ignore[type-var]
    run = started(every)
    terms = run.terms(batch)
    prepared, padding = run.prepare(batch)
    clip = run.networks["student"].clip(prepared.inputs, padding).clip
    expected = F.binary_cross_entropy(clip[:4], batch.targets["weak"].values[:4])
    torch.testing.assert_close(terms["weak"], expected)
    torch.testing.assert_close(terms["strong"], started(SUPERVISED).terms(batch)["strong"])


def test_further_targets_have_terms_of_their_own(batch: Batch[Tensor]) -> None:
    """Pseudo labels of weak rows stand beside their tags; what is not known counts for nothing."""
    options = replace(SUPERVISED.stage, frame_targets=("strong", "pseudo"))  # type: ignore[type-var]
    labels = {"pseudo": LabelsConfig(Path("pseudo.tsv"))}
    recipe = replace(SUPERVISED, stage=options, data=DesedConfig(labels=labels))
    values = torch.rand(6, FRAMES, 2, generator=torch.Generator().manual_seed(1)).round()
    known = torch.tensor([0, 0, 1, 1, 0, 0], dtype=torch.bool)
    frames = torch.ones(6, FRAMES, dtype=torch.bool)
    frames[3, 5:] = False
    pseudo = Target(values, known, frames, source="pseudo.tsv")
    run = started(recipe)
    both = replace(batch, targets={**batch.targets, "pseudo": pseudo})
    terms = run.terms(both)
    assert terms.keys() == {"strong", "pseudo", "weak"}
    prepared, padding = run.prepare(both)
    logits = run.networks["student"].clip(prepared.inputs, padding).frames
    rows = [
        F.binary_cross_entropy_with_logits(logits[2], values[2]),
        F.binary_cross_entropy_with_logits(logits[3, :5], values[3, :5]),
    ]
    torch.testing.assert_close(terms["pseudo"], torch.stack(rows).mean())
    for name, value in started(SUPERVISED).terms(batch).items():
        torch.testing.assert_close(terms[name], value)


def test_both_networks_run_in_training_mode_and_keep_statistics_of_their_own(
    batch: Batch[Tensor],
) -> None:
    run = started()
    run.terms(batch)
    for network in run.networks.values():
        assert network.training
        assert int(network.stem_norm.num_batches_tracked) == 1


def test_a_step_moves_the_student_and_the_teacher_after_it(batch: Batch[Tensor]) -> None:
    run = started()
    student, teacher = run.networks["student"], run.networks["teacher"]
    before = [p.detach().clone() for p in teacher.parameters()]
    run.step(batch, 10)
    moved = 0
    for mine, average, was in zip(student.parameters(), teacher.parameters(), before, strict=True):
        torch.testing.assert_close(average.detach(), (mine.detach() + was) / 2)
        moved += int((mine.detach() - was).abs().max() > 0)
        assert average.grad is None
    assert moved > 0.8 * len(before)


def test_a_teacher_that_is_not_run_follows_with_its_buffers(batch: Batch[Tensor]) -> None:
    run = started(SUPERVISED)
    run.step(batch, 10)
    student, teacher = (run.networks[name].stem_norm for name in ("student", "teacher"))
    torch.testing.assert_close(teacher.running_mean, student.running_mean / 2)


def test_streams_go_on_in_the_state_that_other_clips_left(batch: Batch[Tensor]) -> None:
    """With every state carried, two steps are one stream, up to who follows whom."""
    run = started(STREAMED)
    student = run.networks["student"].eval()
    features = student.front_end.features(student.mels(batch.inputs))[:, : FRAMES * 4]
    run.stage.stream(run.networks, features, np.random.default_rng(1))
    found = run.stage.stream(run.networks, features, np.random.default_rng(2))
    rng = np.random.default_rng(2)
    rng.random(6)
    whose = rng.permutation(6).tolist()
    state = student.initial_state(6)
    both = torch.cat([features[whose], features], dim=1)
    expected, _ = student.score(both, state, state[0])
    torch.testing.assert_close(found, expected[:, FRAMES:])
    none = started(replace(STREAMED, stage=StreamedConfig(carry_state=0.0)))
    none.networks["student"].eval()
    first, second = (
        none.stage.stream(none.networks, features, np.random.default_rng(3)) for _ in range(2)
    )
    torch.testing.assert_close(first, second)


def test_a_streamed_loss_compares_scores_with_the_frames_that_they_are_about(
    batch: Batch[Tensor],
) -> None:
    run = started(STREAMED)
    terms = run.terms(batch)
    student = run.networks["student"]
    clip = student.clip(student.front_end.features(student.mels(batch.inputs)))
    # The same as of whole clips, but for the last two frames, whose scores come too late.
    strong = batch.targets["strong"].values
    expected = F.binary_cross_entropy_with_logits(clip.frames[:2, :-2], strong[:2, :-2])
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
    plain, _ = started().prepare(batch)
    changed, _ = started(replace(RECIPE, augment=changes)).prepare(batch)
    assert (plain.inputs - changed.inputs).abs().mean() > 0.1  # decibels: nothing is scaled yet
    assert torch.equal(plain.targets["strong"].values, changed.targets["strong"].values)


def test_gains_and_shifts_reach_the_network(batch: Batch[Tensor]) -> None:
    gain = AugmentConfig(gain=GainConfig(-20.0, -20.0))
    plain, _ = started().prepare(batch)
    quieter, _ = started(replace(RECIPE, augment=gain)).prepare(batch)
    difference = (plain.inputs - quieter.inputs)[:, : 7 * 4]
    torch.testing.assert_close(difference, torch.full_like(difference, 20.0), rtol=0, atol=0.01)
    shift = AugmentConfig(frame_shift=FrameShiftConfig(deviation_frames=3.0))
    torch.manual_seed(1)
    moved, padding = started(replace(RECIPE, augment=shift)).prepare(batch)
    assert not torch.equal(moved.targets["strong"].values, batch.targets["strong"].values)
    assert moved.targets["strong"].values.sum() == batch.targets["strong"].values.sum()
    assert not padding.any()


def test_labels_are_moved_with_the_clip_whatever_their_frames(batch: Batch[Tensor]) -> None:
    shift = AugmentConfig(frame_shift=FrameShiftConfig(deviation_frames=3.0))
    strong = batch.targets["strong"]
    coarse = strong.values.unflatten(1, (4, 3)).mean(dim=2)
    frames = torch.arange(FRAMES)[None].expand(6, -1) < 6
    further = {"again": replace(strong, frames=frames), "coarse": replace(strong, values=coarse)}
    both = replace(batch, targets={**batch.targets, **further})
    torch.manual_seed(1)
    moved, _ = started(replace(RECIPE, augment=shift)).prepare(both)
    found = moved.targets["strong"].values
    assert torch.equal(moved.targets["again"].values, found)
    mask = moved.targets["again"].frames
    assert not torch.equal(mask, frames)
    assert mask.sum(dim=1).tolist() == [6] * 6
    total = moved.targets["coarse"].values.sum(dim=1)
    torch.testing.assert_close(total, coarse.sum(dim=1))
    torch.testing.assert_close(moved.targets["weak"].values, batch.targets["weak"].values)


def test_a_run_may_begin_with_a_checkpoint(tmp_path: Path) -> None:
    before = started().networks["student"]
    before.front_end.set_statistics(torch.full((64,), -30.0), torch.full((64,), 9.0))
    save_model(tmp_path / "begun.pt", before, step=5)
    after = started(replace(RECIPE, seed=9, init_from=tmp_path / "begun.pt")).networks["student"]
    for mine, theirs in zip(after.state_dict().values(), before.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs)
    wider = replace(RECIPE, model=replace(MODEL, rnn_units=12), init_from=tmp_path / "begun.pt")
    with pytest.raises(ConfigError, match="of another model") as caught:
        started(wider)
    assert "\n" not in str(caught.value)


def test_the_shipped_model_may_be_tuned_further() -> None:
    shipped = Path("models/domestic/crnn.pt")
    recipe = replace(load_recipe(Path("train/recipes/domestic.yaml")), init_from=shipped)
    assert isinstance(recipe.data, ScenesConfig)
    torch.testing.assert_close(
        started(recipe).networks["student"].state_dict(), load_model(shipped).model.state_dict()
    )


def test_without_tags_there_is_no_loss_of_clips(batch: Batch[Tensor]) -> None:
    model = replace(MODEL, clip_head=False)
    recipe = replace(RECIPE, model=model, data=DesedConfig(weak=0))
    assert started(recipe).terms(batch).keys() == {"strong", "strong_consistency"}


def test_statistics_are_of_what_sounds(batch: Batch[Tensor]) -> None:
    """Silence behind short clips and behind all clips, for the look-ahead, would spoil them."""
    run, again = started(), started()
    set_statistics(list(run.networks.values()), [batch])
    padded = batch.inputs.clone()
    padded[3, 7 * MODEL.frame_samples :] = 0.0
    set_statistics(list(again.networks.values()), [replace(batch, inputs=padded)])
    one, other = (r.networks["student"].front_end.mean for r in (run, again))
    torch.testing.assert_close(one, other)
    features, _ = run.prepare(batch)
    whole = features.inputs[[0, 1, 2, 4, 5], : FRAMES * 4]
    assert whole.mean().abs() < 0.1
    assert whole.std().item() == pytest.approx(1.0, abs=0.1)


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_bf16_gives_nearly_the_same_parts(batch: Batch[Tensor]) -> None:
    half = StageRun(RECIPE, precision="bf16-mixed")
    with torch.no_grad():
        half.networks["teacher"].head.bias += 1.0
    computed_in: dict[str, torch.dtype] = {}
    for name, network in half.networks.items():
        network.head.register_forward_hook(
            lambda *call, name=name: computed_in.update({name: call[2].dtype})
        )
    with one_thread():
        terms = half.terms(batch)
        exact = started().terms(batch)
    assert computed_in == {"student": torch.bfloat16, "teacher": torch.bfloat16}
    for name, value in terms.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[name], rtol=0.05, atol=1e-3, msg=name)
    half.step(batch, 1)
    assert all(torch.isfinite(p).all() for p in half.networks["student"].parameters())
