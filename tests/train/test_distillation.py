"""Distillation of embeddings: against slow references, what counts, and that nothing collapses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.losses.distillation import (
    distance_loss,
    distance_loss_reference,
    feature_mse,
    feature_mse_reference,
    norms,
    over_longer_frames,
    standardised,
    target_frames,
)


def points(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
def test_both_losses_equal_their_references(seed: int) -> None:
    student, teacher = points(3, 5, 4, seed=seed), points(3, 5, 4, seed=seed + 9)
    counts = points(3, 5, seed=seed + 20) > 0.0
    assert feature_mse(student, teacher, counts).item() == pytest.approx(
        feature_mse_reference(student, teacher, counts), rel=1e-4
    )
    wider = points(3, 5, 7, seed=seed + 30)
    assert distance_loss(student, wider, counts).item() == pytest.approx(
        distance_loss_reference(student, wider, counts), rel=1e-4
    )


def test_distances_by_hand() -> None:
    """3, 4, 5 of one network, 1, 1, 2 of another: relative 0.75, 1, 1.25 and 0.75, 0.75, 1.5."""
    mine = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]])
    theirs = torch.tensor([[[1.0], [0.0], [2.0]]])
    loss = distance_loss(mine, theirs, torch.ones(1, 3, dtype=torch.bool))
    assert loss.item() == pytest.approx((0.0 + 0.5 * 0.25**2 + 0.5 * 0.25**2) / 3, abs=1e-6)


def test_turning_and_scaling_change_no_distance() -> None:
    x = points(2, 4, 3)
    turn = torch.linalg.qr(points(3, 3, seed=4))[0]
    counts = torch.ones(2, 4, dtype=torch.bool)
    assert distance_loss(x, 7.0 * x @ turn, counts).item() == pytest.approx(0.0, abs=1e-9)


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


def test_what_does_not_count_changes_nothing_even_if_it_is_infinite() -> None:
    student, teacher = points(2, 6, 4), points(2, 6, 4, seed=3)
    counts = torch.zeros(2, 6, dtype=torch.bool)
    counts[0, :3] = True
    spoilt = student.clone()
    spoilt[1] = torch.inf
    means, known = over_longer_frames(spoilt, counts, 3)
    assert means.isfinite().all()
    theirs, _ = over_longer_frames(teacher, counts, 3)
    plain, _ = over_longer_frames(student, counts, 3)
    torch.testing.assert_close(feature_mse(means, theirs, known), feature_mse(plain, theirs, known))


@pytest.mark.parametrize("loss", [feature_mse, distance_loss])
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e15])
@pytest.mark.parametrize("count", [0, 1, 6])
def test_gradients_are_finite(loss: object, scale: float, count: int) -> None:
    """Of equal embeddings, as well as of none, one, and very long ones."""
    student = (scale * points(2, 3, 4)).requires_grad_()
    teacher = (scale * points(2, 3, 4, seed=5)).requires_grad_()
    counts = torch.zeros(6, dtype=torch.bool)
    counts[:count] = True
    value = loss(student, teacher, counts.view(2, 3))  # type: ignore[operator]
    value.backward()
    for x in (student, teacher):
        assert x.grad is not None
        assert x.grad.isfinite().all()
    assert value.isfinite()


def shrunk(loss: object) -> tuple[float, float]:
    """Return norms of both networks' embeddings after both learned from a loss alone."""
    torch.manual_seed(7)
    networks = [nn.Linear(6, 8, bias=False) for _ in range(2)]
    x = points(1, 64, 6)
    optimiser = torch.optim.Adam([p for n in networks for p in n.parameters()], lr=0.02)
    counts = torch.ones(1, 64, dtype=torch.bool)
    for _ in range(150):
        one, other = (
            network(x + 0.5 * points(1, 64, 6, seed=k)) for k, network in enumerate(networks)
        )
        optimiser.zero_grad()
        loss(one, other, counts).backward()  # type: ignore[operator]
        optimiser.step()
    first, second = (norms(network(x)[0]).norm for network in networks)
    return first, second


def test_standardised_embeddings_do_not_collapse_where_plain_ones_do() -> None:
    """Views differ by noise, so embeddings of length 0 are the best plain answer, and are found."""
    plain = shrunk(lambda one, other, _: F.mse_loss(one, other))
    assert max(plain) < 0.1
    assert min(shrunk(feature_mse)) > 0.3


def test_norms_show_embeddings_that_are_all_alike() -> None:
    same = torch.ones(5, 3) * torch.tensor([1.0, 2.0, 2.0])
    assert norms(same).norm == pytest.approx(3.0**0.5)
    assert norms(same).spread == 0.0
    assert norms(points(500, 3)).spread == pytest.approx(1.0, abs=0.1)
    torch.testing.assert_close(standardised(same).mean(-1), torch.zeros(5), rtol=0, atol=1e-6)
