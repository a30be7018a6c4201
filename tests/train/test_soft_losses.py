"""Losses of soft labels, against values by hand."""

from __future__ import annotations

import math

import pytest
import torch

from train.losses.soft import quality_focal, squared


def reference(p: float, y: float, *, beta: float, two: bool, hard: bool) -> float:
    """Equation 3 of Li et al. (2020), one element, from the probability."""
    y = float(y >= 0.5) if hard else y
    entropy = -y * math.log(p) - ((1 - y) * math.log(1 - p) if two else 0.0)
    return abs(y - p) ** beta * entropy


@pytest.mark.parametrize("two", [True, False])
@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_quality_focal_is_its_equation(two: bool, hard: bool, beta: float) -> None:
    for p in (0.1, 0.5, 0.93):
        for y in (0.0, 0.3, 0.5, 1.0):
            found = quality_focal(
                torch.tensor(math.log(p / (1 - p))),
                torch.tensor(y),
                beta=beta,
                sides="two" if two else "one",
                labels="hard" if hard else "soft",
            )
            wanted = reference(p, y, beta=beta, two=two, hard=hard)
            assert found.item() == pytest.approx(wanted, rel=1e-4, abs=1e-9)


def test_known_values() -> None:
    """A score of 1/2 for a label of 1/4: (1/4)^2 log 2; no loss at the label itself."""
    at_half = quality_focal(torch.zeros(1), torch.tensor([0.25]))
    assert at_half.item() == pytest.approx(math.log(2.0) / 16.0)
    label = torch.tensor([0.25])
    assert quality_focal(torch.logit(label), label).item() == pytest.approx(0.0, abs=1e-12)
    assert squared(torch.tensor([0.5]), torch.tensor([0.25])).item() == 0.0625


def test_one_side_leaves_absent_classes_alone() -> None:
    logits = torch.tensor([4.0, -4.0], requires_grad=True)
    quality_focal(logits, torch.zeros(2), sides="one").sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [0.0, 0.0]


def test_gradients_are_finite_at_any_score_and_label() -> None:
    logits = torch.tensor([-80.0, 80.0, 0.0, -80.0], requires_grad=True)
    targets = torch.tensor([1.0, 0.0, 0.5, 0.0])
    for beta in (0.5, 1.0, 2.0):
        (gradient,) = torch.autograd.grad(quality_focal(logits, targets, beta=beta).sum(), logits)
        assert gradient.isfinite().all()


def test_other_shapes_and_exponents_are_refused() -> None:
    with pytest.raises(ValueError, match="must be equal"):
        quality_focal(torch.zeros(2), torch.zeros(3))
    with pytest.raises(ValueError, match="must be equal"):
        squared(torch.zeros(2), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="0 or more"):
        quality_focal(torch.zeros(2), torch.zeros(2), beta=-1.0)
