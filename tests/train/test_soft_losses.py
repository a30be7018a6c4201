"""Losses of soft labels, against values by hand."""

from __future__ import annotations

import math

import pytest
import torch

from train.losses.soft import quality_focal, soft_focal, squared


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_each_form_is_its_equation(gamma: float) -> None:
    for p in (0.1, 0.5, 0.93):
        for y in (0.0, 0.3, 0.5, 1.0):
            logit, label = torch.tensor(math.log(p / (1 - p))), torch.tensor(y)
            entropy = -y * math.log(p) - (1 - y) * math.log(1 - p)
            two = -y * (1 - p) ** gamma * math.log(p) - (1 - y) * p**gamma * math.log(1 - p)
            right = p if y >= 0.5 else 1 - p
            wanted = {
                "quality_focal": abs(y - p) ** gamma * entropy,
                "two_sided_focal": two,
                "hard_focal": -((1 - right) ** gamma) * math.log(right),
            }
            for form, value in wanted.items():
                found = soft_focal(logit, label, form=form, gamma=gamma)  # type: ignore[arg-type]
                assert found.item() == pytest.approx(value, rel=1e-4, abs=1e-9), form


@pytest.mark.parametrize(("label", "elsewhere"), [(0.2, 0.37), (0.7, 0.58), (0.9, 0.69)])
def test_the_quality_focal_loss_alone_is_least_at_the_label(label: float, elsewhere: float) -> None:
    p = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
    losses = {
        form: soft_focal(torch.logit(p), torch.full_like(p, label), form=form)
        for form in ("quality_focal", "two_sided_focal")
    }
    least = {form: float(p[values.argmin()]) for form, values in losses.items()}
    assert least["quality_focal"] == pytest.approx(label, abs=0.006)
    assert least["two_sided_focal"] == pytest.approx(elsewhere, abs=0.011)


def test_known_values() -> None:
    """A score of 1/2 for a label of 1/4: (1/4)^2 log 2; no loss at the label itself."""
    at_half = quality_focal(torch.zeros(1), torch.tensor([0.25]))
    assert at_half.item() == pytest.approx(math.log(2.0) / 16.0)
    label = torch.tensor([0.25])
    assert quality_focal(torch.logit(label), label).item() == pytest.approx(0.0, abs=1e-12)
    assert squared(torch.tensor([0.5]), torch.tensor([0.25])).item() == 0.0625


def test_gradients_are_finite_at_any_score_and_label() -> None:
    logits = torch.tensor([-80.0, 80.0, 0.0, -80.0], requires_grad=True)
    targets = torch.tensor([1.0, 0.0, 0.5, 0.0])
    for form in ("quality_focal", "two_sided_focal", "hard_focal"):
        for gamma in (0.5, 1.0, 2.0):
            loss = soft_focal(logits, targets, form=form, gamma=gamma).sum()
            (gradient,) = torch.autograd.grad(loss, logits)
            assert gradient.isfinite().all()


def test_other_shapes_and_exponents_are_refused() -> None:
    with pytest.raises(ValueError, match="must be equal"):
        quality_focal(torch.zeros(2), torch.zeros(3))
    with pytest.raises(ValueError, match="must be equal"):
        squared(torch.zeros(2), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="0 or more"):
        quality_focal(torch.zeros(2), torch.zeros(2), gamma=-1.0)
    with pytest.raises(ValueError, match="has none"):
        soft_focal(torch.zeros(2), torch.zeros(2), alpha=0.5)
