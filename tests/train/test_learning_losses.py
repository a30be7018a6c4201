"""Losses: computed by hand, finite where they could fail, and deaf to what is not known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from train.losses.detection import strong_bce, strong_consistency, weak_bce, weak_consistency

YES = torch.tensor([True])


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_strong_bce_by_hand() -> None:
    logits = torch.tensor([[[logit(0.25), logit(0.5)]]])
    targets = torch.tensor([[[1.0, 0.0]]])
    expected = (math.log(4) + math.log(2)) / 2
    assert strong_bce(logits, targets, YES).item() == pytest.approx(expected)


def test_weak_bce_by_hand() -> None:
    probabilities, targets = torch.tensor([[0.25, 0.9]]), torch.tensor([[0.0, 0.5]])
    expected = (-math.log(0.75) - 0.5 * (math.log(0.9) + math.log(0.1))) / 2
    assert weak_bce(probabilities, targets, YES).item() == pytest.approx(expected)


def test_consistency_by_hand() -> None:
    student = torch.tensor([[[logit(0.2)], [logit(0.5)]]])
    teacher = torch.tensor([[[logit(0.5)], [logit(0.9)]]])
    assert strong_consistency(student, teacher).item() == pytest.approx((0.09 + 0.16) / 2)
    one, other = torch.tensor([[0.2, 1.0]]), torch.tensor([[0.4, 0.0]])
    assert weak_consistency(one, other).item() == pytest.approx((0.04 + 1.0) / 2)


def test_rows_that_are_not_known_count_for_nothing() -> None:
    logits = torch.tensor([[[0.3]], [[math.inf]], [[-1.2]]])
    targets = torch.tensor([[[1.0]], [[0.0]], [[0.0]]])
    known = torch.tensor([True, False, True])
    alone = strong_bce(logits[[0, 2]], targets[[0, 2]], known[[0, 2]])
    torch.testing.assert_close(strong_bce(logits, targets, known), alone)
    probabilities = torch.sigmoid(logits[:, 0])
    alone = weak_bce(probabilities[[0, 2]], targets[[0, 2], 0], known[[0, 2]])
    torch.testing.assert_close(weak_bce(probabilities, targets[:, 0], known), alone)


@pytest.mark.parametrize("loss", [strong_bce, weak_bce])
def test_without_known_rows_loss_and_gradient_are_zero(loss: object) -> None:
    shape = (2, 5, 3) if loss is strong_bce else (2, 3)
    values = torch.full(shape, 0.5, requires_grad=True)
    result = loss(values, torch.zeros(shape), torch.zeros(2, dtype=torch.bool))  # type: ignore[operator]
    assert result.item() == 0.0
    result.backward()
    assert values.grad is not None
    assert not values.grad.any()


@pytest.mark.parametrize("logits", [-1e4, -50.0, 0.0, 50.0, 1e4])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_gradients_are_finite_however_sure_the_network_is(logits: float, target: float) -> None:
    strong = torch.full((1, 4, 2), logits, requires_grad=True)
    # The clip's probability is 0 or 1 to the last bit where the frames' are.
    weak = torch.sigmoid(strong).mean(1)
    losses: list[Tensor] = [
        strong_bce(strong, torch.full_like(strong, target), YES),
        weak_bce(weak, torch.full_like(weak, target), YES),
        strong_consistency(strong, torch.full_like(strong, -logits)),
        weak_consistency(weak, torch.full_like(weak, target)),
    ]
    total = torch.stack(losses).sum()
    total.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(total)
    assert strong.grad is not None
    assert torch.isfinite(strong.grad).all()


def test_a_probability_above_one_by_rounding_is_no_error() -> None:
    assert torch.isfinite(weak_bce(torch.tensor([[1.0000001]]), torch.tensor([[1.0]]), YES))


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = (torch.zeros(1, 2, 3, requires_grad=True) for _ in range(2))
    strong_consistency(student, teacher + 1.0).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert teacher.grad is None


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: strong_bce(torch.zeros(1, 2, 3), torch.zeros(1, 3, 2), YES), r"\(B, T, C\)"),
        (lambda: strong_bce(torch.zeros(1, 2), torch.zeros(1, 2), YES), r"\(B, T, C\)"),
        (lambda: weak_bce(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), YES), r"\(B, C\)"),
        (lambda: weak_bce(torch.zeros(2, 3), torch.zeros(2, 3), YES), r"known is .* \(2,\)"),
        (lambda: weak_bce(torch.zeros(1, 3), torch.zeros(1, 3), torch.ones(1)), "must be bool"),
        (lambda: strong_consistency(torch.zeros(1, 2, 3), torch.zeros(1, 4, 3)), "shapes"),
        (lambda: weak_consistency(torch.zeros(1, 3), torch.zeros(3)), "shapes"),
    ],
)
def test_wrong_shapes_are_refused(call: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        call()  # type: ignore[operator]
