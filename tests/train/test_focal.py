"""Focal loss: against the formula, its limits, and gradients that stay finite."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from train.losses.focal import focal
from train.losses.known import mean_known, parts_of_mean


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.75])
def test_the_formula(gamma: float, alpha: float | None) -> None:
    logits = torch.tensor([-3.0, -0.4, 0.0, 1.2, 4.0], dtype=torch.float64)
    targets = torch.tensor([0.0, 1.0, 0.3, 1.0, 0.0], dtype=torch.float64)
    expected = []
    for z, y in zip(logits.tolist(), targets.tolist(), strict=True):
        p = 1 / (1 + math.exp(-z))
        of_positive, of_negative = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
        expected.append(
            -of_positive * y * (1 - p) ** gamma * math.log(p)
            - of_negative * (1 - y) * p**gamma * math.log(1 - p)
        )
    result = focal(logits, targets, gamma=gamma, alpha=alpha)
    torch.testing.assert_close(result.float(), torch.tensor(expected), rtol=1e-5, atol=1e-7)


def test_without_focus_it_is_cross_entropy() -> None:
    logits, targets = torch.randn(2, 7, 3), torch.rand(2, 7, 3)
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(focal(logits, targets, gamma=0.0), expected)


def test_easy_frames_count_less_and_hard_ones_as_much() -> None:
    logits, targets = torch.tensor([-4.0, 4.0]), torch.zeros(2)
    plain = focal(logits, targets, gamma=0.0)
    focused = focal(logits, targets, gamma=2.0)
    assert focused[0] / plain[0] < 1e-3
    assert focused[1] / plain[1] > 0.95


@pytest.mark.parametrize("logit", [-1e4, -80.0, 0.0, 80.0, 1e4])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_gradients_are_finite(logit: float, target: float) -> None:
    logits = torch.full((3,), logit, requires_grad=True)
    loss = focal(logits, torch.full((3,), target)).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("gamma", "alpha", "shape"), [(-1.0, None, 3), (2.0, 0.0, 3), (2.0, 1.5, 3), (2.0, None, 4)]
)
def test_wrong_arguments_are_refused(gamma: float, alpha: float | None, shape: int) -> None:
    with pytest.raises(ValueError, match=r"gamma|shapes"):
        focal(torch.zeros(3), torch.zeros(shape), gamma=gamma, alpha=alpha)


def test_the_mean_is_over_what_is_known() -> None:
    losses = torch.tensor([[[1.0, 3.0], [math.inf, 1.0]], [[5.0, 5.0], [7.0, 9.0]]])
    known = torch.tensor([[True, False], [False, True]])
    assert mean_known(losses, known).item() == pytest.approx((1 + 3 + 7 + 9) / 4)
    assert mean_known(losses, torch.zeros(2, dtype=torch.bool)).item() == 0.0
    with pytest.raises(ValueError, match="must be bool"):
        mean_known(losses, torch.ones(2))
    with pytest.raises(ValueError, match="lead"):
        mean_known(losses, torch.ones(3, dtype=torch.bool))


def test_losses_of_several_origins_add_up_to_one_mean() -> None:
    torch.manual_seed(0)
    losses, origin = torch.rand(6, 5, 3), torch.randint(0, 3, (6, 5))
    each = {name: (losses, origin == index) for index, name in enumerate(("true", "pseudo"))}
    parts = parts_of_mean(each)
    assert sum(parts.values()).item() == pytest.approx(losses[origin < 2].mean().item())
    alone = parts_of_mean({"true": each["true"]})
    assert alone["true"].item() == pytest.approx(mean_known(*each["true"]).item())
    none = torch.zeros(6, 5, dtype=torch.bool)
    assert parts_of_mean({"true": (losses, none), "pseudo": (losses, none)})["true"].item() == 0.0
