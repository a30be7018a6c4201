"""Distillation of embeddings: against slow references, what counts, and that nothing collapses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from train.losses.distillation import (
    frame_distance,
    frame_distance_reference,
    frame_mse,
    norms,
    over_longer_frames,
    over_shorter_frames,
    target_frames,
    unit_length,
)


def points(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_its_reference(seed: int) -> None:
    student, teacher = points(3, 5, 4, seed=seed), points(3, 5, 4, seed=seed + 9)
    frames = points(3, 5, seed=seed + 20) > -0.5
    mask = points(3, 5, seed=seed + 30) > 0.0
    assert frame_distance(student, teacher, frames, mask).item() == pytest.approx(
        frame_distance_reference(student, teacher, frames, mask), rel=1e-4
    )


def test_the_papers_equations_by_hand() -> None:
    """Distances 5, 1, 0, 2 of four frames, events in the first two: (5 + 1) / 4, T not sum M."""
    student = torch.tensor([[[3.0, 4.0], [1.0, 0.0], [7.0, 7.0], [0.0, 2.0]]])
    teacher = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [7.0, 7.0], [0.0, 0.0]]])
    every = torch.ones(1, 4, dtype=torch.bool)
    events = torch.tensor([[True, True, False, False]])
    tfd = frame_distance(student, teacher, every, events)
    assert tfd.item() == pytest.approx(6.0 / 4.0, abs=1e-5)
    dfd_d = frame_distance(student, teacher, every, every)
    assert dfd_d.item() == pytest.approx(8.0 / 4.0, abs=1e-5)
    assert frame_mse(student, teacher, every).item() == pytest.approx(30.0 / 4.0)


def test_padding_shortens_a_clip_and_clips_that_take_no_part_change_nothing() -> None:
    student, teacher = points(2, 4, 3), points(2, 4, 3, seed=5)
    frames = torch.tensor([[True, True, True, False], [False] * 4])
    spoilt = student.clone()
    spoilt[1] = spoilt[0, 3] = torch.inf
    one = frame_distance(student[:1, :3], teacher[:1, :3], frames[:1, :3], frames[:1, :3])
    torch.testing.assert_close(frame_distance(spoilt, teacher, frames, frames), one)
    torch.testing.assert_close(
        frame_mse(spoilt, teacher, frames),
        frame_mse(student[:1, :3], teacher[:1, :3], frames[:1, :3]),
    )


def test_target_frames_are_those_of_events_in_strongly_labelled_clips() -> None:
    values = torch.zeros(3, 4, 2)
    values[0, 1, 0] = values[0, 2, 1] = values[1, 0, 0] = values[2, 3, 1] = 1.0
    values[0, 0, 1] = 0.4
    known = torch.tensor([True, False, True])
    padding = torch.zeros(3, 4, dtype=torch.bool)
    padding[2, 3] = True
    found = target_frames(values, known, padding)
    assert found.nonzero().tolist() == [[0, 1], [0, 2]]


def test_longer_frames_are_means_over_what_counts() -> None:
    x = torch.arange(10.0).view(1, 10, 1)
    counts = torch.tensor([[1, 1, 0, 0, 0, 0, 0, 0, 1, 1]], dtype=torch.bool)
    means, known = over_longer_frames(x, counts, 4)
    assert known.tolist() == [[True, False, True]]
    assert means[0, :, 0].tolist() == [0.5, 0.0, 8.5]
    same, _ = over_longer_frames(x, torch.ones_like(counts), 1)
    torch.testing.assert_close(same, x)


def test_the_teachers_frames_are_repeated_or_drawn_between_their_middles() -> None:
    x = torch.tensor([[[0.0], [4.0]]])
    assert over_shorter_frames(x, 4).flatten().tolist() == [0.0] * 4 + [4.0] * 4
    drawn = over_shorter_frames(x, 4, align="linear").flatten().tolist()
    assert drawn == [0.0, 0.0, 0.5, 1.5, 2.5, 3.5, 4.0, 4.0]


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e15])
@pytest.mark.parametrize("count", [0, 1, 6])
@pytest.mark.parametrize("same", [False, True])
def test_gradients_are_finite(scale: float, count: int, same: bool) -> None:
    """Of equal embeddings, as well as of none, one, and very long ones."""
    student = (scale * points(2, 3, 4)).requires_grad_()
    teacher = (scale * points(2, 3, 4, seed=1 if same else 5)).requires_grad_()
    counts = torch.zeros(6, dtype=torch.bool)
    counts[:count] = True
    pair, frames = (unit_length(student), unit_length(teacher)), counts.view(2, 3)
    value = frame_distance(*pair, frames, frames) + frame_mse(*pair, frames)
    value.backward()  # type: ignore[no-untyped-call]
    for x in (student, teacher):
        assert x.grad is not None
        assert x.grad.isfinite().all()
    assert value.isfinite()


def test_lengths_are_one_but_those_of_nothing() -> None:
    x = torch.stack([points(4), 1e20 * points(4), 1e-20 * points(4), torch.zeros(4)])
    lengths = unit_length(x).square().sum(dim=-1).sqrt()
    torch.testing.assert_close(lengths, torch.tensor([1.0, 1.0, 1.0, 0.0]), rtol=0, atol=1e-4)


def left(scale: Any, *, teacher_learns: bool) -> tuple[float, float]:
    """Return norm and spread of the teacher's projection after both learned from a loss alone.

    Embeddings are what a ReLU leaves, all of one sign, so that all frames can be projected to
    nearly one direction; the student's are of the same scene through noise.
    """
    torch.manual_seed(7)
    student, teacher = (nn.Linear(16, 8, bias=False) for _ in range(2))
    scene = points(1, 64, 16).abs()
    optimiser = torch.optim.Adam([*student.parameters(), *teacher.parameters()], lr=0.02)
    every = torch.ones(1, 64, dtype=torch.bool)
    for k in range(300):
        mine = student(scene + points(1, 64, 16, seed=k).abs())
        theirs = teacher(scene)
        theirs = theirs if teacher_learns else theirs.detach()
        optimiser.zero_grad()
        loss = frame_distance(scale(mine), scale(theirs), every, every)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    found = norms(scale(teacher(scene))[0])
    return found.norm, found.spread


def test_a_teacher_without_gradients_does_not_collapse_where_others_do() -> None:
    """As they are, projections shrink; of length 1, they become all alike; kept, neither."""
    norm, _ = left(lambda x: x, teacher_learns=True)
    assert norm < 0.05
    norm, spread = left(unit_length, teacher_learns=True)
    assert norm == pytest.approx(8.0**-0.5, rel=1e-3)
    kept_norm, kept_spread = left(unit_length, teacher_learns=False)
    assert kept_norm == pytest.approx(8.0**-0.5, rel=1e-3)
    assert spread < 0.5 * kept_spread


def test_norms_show_embeddings_that_are_all_alike() -> None:
    same = torch.ones(5, 3) * torch.tensor([1.0, 2.0, 2.0])
    assert norms(same).norm == pytest.approx(3.0**0.5)
    assert norms(same).spread == 0.0
    assert norms(points(500, 3)).spread == pytest.approx(1.0, abs=0.1)
