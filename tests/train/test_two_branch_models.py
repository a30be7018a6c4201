"""The joint framework's two networks: what each computes, whole and step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.train.test_models import audio, run_step
from tests.train.tiny_models import CLASSES, example_model
from train.models.clip_head import AttentionAxis, ClipHead
from train.models.registry import MODELS, build
from train.models.two_branch_student import (
    PUBLISHED_PLANES,
    TwoBranchStudent,
    TwoBranchStudentConfig,
)
from train.models.two_branch_teacher import BlockConfig, TwoBranchTeacher, TwoBranchTeacherConfig
from train.models.two_branches import (
    BranchesConfig,
    DetectionBranch,
    FramePooling,
    TaggingBranch,
)


def student() -> TwoBranchStudent:
    model = example_model("two_branch_student")
    assert isinstance(model, TwoBranchStudent)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.tagging.named_parameters():
            if not name.startswith("rnn"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("tags", [False, True])
def test_steps_give_the_scores_of_the_whole(tags: bool) -> None:
    model, clips = student(), audio(30)
    with torch.no_grad():
        whole = model.scores(clips)
    assert whole.std() > 0.01
    torch.testing.assert_close(run_step(model, clips, tags=tags), whole, rtol=0, atol=1e-5)


@torch.no_grad()
def test_running_tags_are_those_of_the_window_that_ends_now() -> None:
    """At first the window is as short as the stream; after it, it slides."""
    model, clips = student(), audio(40)
    config = model.config
    running = model.running_tags(clips)
    assert running.std() > 0.01
    step = model.step(tags=True)
    state, stepped = step.initial_state(len(clips)), []
    for chunk in clips.split(config.chunk_samples, dim=1):
        _, tag, *after = step(chunk, *state)
        state = tuple(after)
        stepped.append(tag)
    torch.testing.assert_close(
        running[:, : len(stepped)], torch.stack(stepped, dim=1), rtol=0, atol=1e-5
    )
    halos = model.encoder.first(2, "cpu")
    x, _ = model.encoder(model.front_end(model.front_end.pad(clips)), halos)
    for k in (1, 4, 9):
        end = (k + 1) * config.frames_per_chunk
        first = max(config.shift_frames, end - config.window_frames)
        expected = torch.sigmoid(model.tagging(x[:, first:end]))
        torch.testing.assert_close(running[:, k], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_tags_of_a_padded_clip_are_those_of_what_it_holds() -> None:
    for model in (student(), example_model("two_branch_teacher")):
        x = torch.randn(2, 12, model.tagging.linear.in_features - 12)
        padding = torch.zeros(2, 12, dtype=torch.bool)
        padding[:, 8:] = True
        tags = model.tagging(x, padding)
        torch.testing.assert_close(tags, model.tagging(x[:, :8]), rtol=0, atol=1e-5)


@torch.no_grad()
def test_each_class_has_a_head_of_its_own() -> None:
    torch.manual_seed(2)
    config = BranchesConfig(detection_units=6, head_units=4)
    branch, x = DetectionBranch(5, 3, config), torch.randn(2, 7, 5)
    logits, shared = branch(x), torch.relu(branch.linear(x))
    for column in range(3):
        own = slice(4 * column, 4 * column + 4)
        hidden = torch.relu(shared @ branch.hidden.weight[own].T + branch.hidden.bias[own])
        expected = hidden @ branch.weights[column] + branch.bias[column]
        torch.testing.assert_close(logits[..., column], expected)


@torch.no_grad()
def test_the_published_teacher_compresses_time_and_the_student_keeps_it() -> None:
    config = TwoBranchTeacherConfig(CLASSES)
    teacher = TwoBranchTeacher(config).eval()
    convolutions = [layer for layer in teacher.cnn if isinstance(layer, torch.nn.Conv2d)]
    assert len(convolutions) == 10, "five blocks of two"
    assert config.frame_samples == 16384
    features = torch.randn(1, 640 + 16, 64)
    output = teacher.clip(features)
    assert output.extra["embeddings"].shape == (1, 10, 512)
    assert output.extra["distilled"].shape == (1, 10, 128)
    assert output.frames.shape == (1, 10, 3)
    assert teacher.tagging.linear.in_features == 512 + 2 * 64, "embeddings beside two BGRUs'"
    assert teacher.tagging.rnn is not None
    assert len(teacher.tagging.rnn.layers) == 2
    assert teacher.tagging.rnn.layers[1].bidirectional
    student_config = TwoBranchStudentConfig(CLASSES)
    published = TwoBranchStudent(student_config).eval()
    assert len(PUBLISHED_PLANES) == 3
    assert student_config.frame_samples == student_config.front_end.hop_samples
    output = published.clip(torch.randn(1, 60 + student_config.shift_frames, 64))
    assert output.extra["embeddings"].shape == (1, 60, 160)
    assert output.extra["distilled"].shape == (1, 60, 128)
    assert output.frames.shape == (1, 60, 3)


@torch.no_grad()
def test_a_student_sees_the_frame_that_it_scores_and_as_much_around_it() -> None:
    """The published student's convolutions are centred: 5 frames to either side."""
    model = TwoBranchStudent(TwoBranchStudentConfig(CLASSES)).eval()
    features = torch.randn(1, 40, 64)
    plain = model.clip(features).extra["embeddings"]
    features[0, 20] += 3.0
    moved = (model.clip(features).extra["embeddings"] - plain).abs().amax(dim=2)[0] > 1e-6
    assert moved.nonzero().flatten().tolist() == list(range(15, 26))


@torch.no_grad()
@pytest.mark.parametrize("axis", ["classes", "time"])
def test_pooling_of_frames_is_the_baselines_in_logarithms(axis: AttentionAxis) -> None:
    torch.manual_seed(4)
    pooling, head = FramePooling(6, 3, axis), ClipHead(6, 3, axis=axis)
    head.attention.load_state_dict(pooling.attention.state_dict())
    x, padding = torch.randn(2, 9, 6), torch.zeros(2, 9, dtype=torch.bool)
    padding[1, 5:] = True
    expected = head(x, pooling.frames(x), padding)
    torch.testing.assert_close(torch.sigmoid(pooling(x, padding)), expected, rtol=0, atol=1e-5)
    sure = pooling(1e4 * x, padding)
    assert sure.isfinite().all()
    assert sure.abs().max() > 50.0, "where a probability would be rounded to 0 or 1"


def test_a_backbone_without_bgrus_tags_from_embeddings_alone() -> None:
    config = BranchesConfig(rnn_layers=0, tagging_units=7)
    branch = TaggingBranch(5, 3, config)
    assert branch.linear.in_features == 5
    assert branch(torch.randn(2, 9, 5)).shape == (2, 3)
    assert TaggingBranch(5, 3, replace(config, pooling="embeddings"))(
        torch.randn(2, 9, 5)
    ).shape == (2, 3)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="head_units 0"):
        BranchesConfig(head_units=0)
    with pytest.raises(ValueError, match="to none"):
        TwoBranchTeacherConfig(CLASSES, blocks=(BlockConfig(8, (64, 128)),))
    with pytest.raises(ValueError, match="latency_frames 10"):
        TwoBranchTeacherConfig(CLASSES, latency_frames=10)
    with pytest.raises(ValueError, match="window_frames 4"):
        replace(MODELS.example("two_branch_student")(CLASSES), window_frames=4)
    assert isinstance(build(MODELS.example("two_branch_student")(CLASSES)), TwoBranchStudent)
