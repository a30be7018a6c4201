"""The mean teacher: what moves, what does not."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from train.engine.networks import follow
from train.engine.schedules import teacher_decay


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def parameters(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), steps=st.integers(1, 2000), scale=st.floats(0.01, 100.0))
def test_a_student_that_stands_still_is_its_own_teacher(
    seed: int, steps: int, scale: float
) -> None:
    student = network(seed)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(scale)
    teacher = copy.deepcopy(student)
    for k in range(1, min(steps, 50) + 1):
        follow(teacher, student, decay=teacher_decay(k * steps))
    torch.testing.assert_close(parameters(teacher), parameters(student), rtol=1e-6, atol=1e-6)


def test_early_on_the_teacher_is_the_mean_of_all_students() -> None:
    student = network()
    teacher = copy.deepcopy(student)
    seen = [parameters(student)]
    for k in range(1, 6):
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.add_(torch.randn_like(parameter))
        seen.append(parameters(student))
        follow(teacher, student, decay=teacher_decay(k))
    torch.testing.assert_close(parameters(teacher), torch.stack(seen).mean(0))


def test_buffers_are_the_teachers_own() -> None:
    student = network()
    teacher = copy.deepcopy(student)
    before = [buffer.clone() for buffer in teacher.buffers()]
    student.train()(torch.randn(8, 3))  # moves the student's running statistics
    follow(teacher, student, decay=0.5)
    for mine, then in zip(teacher.buffers(), before, strict=True):
        torch.testing.assert_close(mine, then, rtol=0, atol=0)
    teacher.train()(torch.randn(8, 3) + 5.0)
    assert int(teacher[1].num_batches_tracked) == 1  # type: ignore[arg-type]


def test_buffers_of_a_teacher_without_passes_follow_if_asked() -> None:
    student = network()
    teacher = copy.deepcopy(student)
    student[1].running_mean += 2.0  # type: ignore[operator]
    student[1].num_batches_tracked += 7  # type: ignore[operator]
    follow(teacher, student, decay=0.75, with_buffers=True)
    torch.testing.assert_close(teacher[1].running_mean, torch.full((4,), 0.5))
    assert int(teacher[1].num_batches_tracked) == 7  # type: ignore[arg-type]


def test_other_architectures_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        follow(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), decay=0.5)
