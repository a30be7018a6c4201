"""Adaptive focal loss: against values by hand, its limits, and gradients that stay finite."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from train.losses.focal import adaptive_focal, focal


@pytest.mark.parametrize(
    ("p", "target", "gamma", "expected"),
    [
        (0.8, 1.0, 2.0, 0.080332),  # (1 - 0.64) * 0.223144
        (0.3, 0.0, 3.0, 0.234335),  # (1 - 0.343) * 0.356675
        (0.1, 1.0, 1.0, 2.072327),  # 0.9 * 2.302585
        (0.5, 1.0, 2.0, 0.519860),  # 0.75 * 0.693147
    ],
)
def test_values_by_hand(p: float, target: float, gamma: float, expected: float) -> None:
    logits = torch.tensor([math.log(p / (1.0 - p))])
    loss = adaptive_focal(logits, torch.tensor([target]), gamma=gamma)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_soft_targets_weigh_both_terms() -> None:
    logits = torch.tensor([0.7, -1.3])
    both = [adaptive_focal(logits, torch.full((2,), y)) for y in (1.0, 0.0)]
    mixed = adaptive_focal(logits, torch.full((2,), 0.3))
    torch.testing.assert_close(mixed, 0.3 * both[0] + 0.7 * both[1])


def test_it_is_lins_loss_at_1_and_cross_entropy_far_above() -> None:
    logits, targets = 3.0 * torch.randn(40), torch.rand(40)
    one = adaptive_focal(logits, targets, gamma=1.0)
    torch.testing.assert_close(one, focal(logits, targets, gamma=1.0), rtol=1e-4, atol=1e-6)
    plain = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(
        adaptive_focal(logits, targets, gamma=1e7), plain, rtol=1e-4, atol=1e-6
    )
    between = adaptive_focal(logits, targets, gamma=3.0)
    lins = focal(logits, targets, gamma=3.0)
    assert (lins < between).all()
    assert (between < plain).all()


@pytest.mark.parametrize("logit", [-1e30, -1e4, -80.0, -1e-8, 0.0, 20.0, 80.0, 1e4, 1e30])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_and_gradients_are_finite(
    logit: float, target: float, gamma: float, dtype: torch.dtype
) -> None:
    logits = torch.full((3,), logit, dtype=dtype, requires_grad=True)
    loss = adaptive_focal(logits, torch.full((3,), target), gamma=gamma).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert loss >= 0.0
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_the_loss_of_what_is_almost_sure_is_not_rounded_away() -> None:
    """Of p_t = 1 - e it is nearly gamma e^2; in float32, 1 - p_t^gamma would be off by percents."""
    logits = torch.tensor([12.0])
    e = 1.0 / (1.0 + math.exp(12.0))
    loss = adaptive_focal(logits, torch.ones(1), gamma=2.0)
    assert loss.item() == pytest.approx(2.0 * e**2, rel=1e-4)


@pytest.mark.parametrize(("gamma", "shape"), [(0.0, 3), (-1.0, 3), (2.0, 4)])
def test_wrong_arguments_are_refused(gamma: float, shape: int) -> None:
    with pytest.raises(ValueError, match=r"gamma|shapes"):
        adaptive_focal(torch.zeros(3), torch.zeros(shape), gamma=gamma)
