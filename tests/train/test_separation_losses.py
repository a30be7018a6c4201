"""Losses of separation: constructed answers, brute force, and inputs with nothing in them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from train.losses import pit
from train.losses.mixit import assignments, mixit_loss
from train.losses.pit import best_permutation, in_order, pit_loss
from train.losses.separation_reference import mixit_reference, pit_reference
from train.losses.snr import (
    ACTIVE_DB,
    SILENT_DB,
    energy,
    si_snr,
    si_snr_improvement,
    thresholded_snr,
)
from train.models.conv_tasnet import mixture_consistent


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scene(batch: int = 3, sources: int = 4, silent: int = 1) -> tuple[Tensor, Tensor]:
    """Sources, the last ``silent`` of them zeros, and their mixture."""
    made = noise(batch, sources, 400) * torch.logspace(-1, 0, sources)[:, None]
    made[:, sources - silent :] = 0.0
    return made, made.sum(1)


def test_the_threshold_is_where_the_loss_ends() -> None:
    source = noise(500)
    for noise_db in (0.0, 10.0, 20.0):
        error = source * 10.0 ** (-noise_db / 20.0)
        found = thresholded_snr(energy(error), energy(source), 30.0)
        expected = 10.0 * math.log10(10.0 ** (-noise_db / 10.0) + 1e-3)
        assert found.item() == pytest.approx(expected, abs=1e-3)
    perfect = thresholded_snr(torch.tensor(0.0), energy(source), 30.0)
    assert perfect.item() == pytest.approx(-30.0, abs=1e-3)


def test_si_snr_is_deaf_to_scale_and_offset_and_knows_the_angle() -> None:
    source, other = torch.zeros(2, 1000)
    source[::2], source[1::2] = 1.0, -1.0
    other[::4], other[1::4], other[2::4], other[3::4] = 1.0, 1.0, -1.0, -1.0
    estimate = 7.0 * (source + 0.1 * other) + 3.0
    assert si_snr(estimate, source).item() == pytest.approx(20.0, abs=1e-3)


def test_improvement_is_over_the_mixture_and_of_sources_that_sound() -> None:
    sources, mixture = scene(batch=1, sources=3, silent=1)
    none = si_snr_improvement(mixture[:, None].expand(1, 3, -1), sources, mixture)
    assert none.item() == pytest.approx(0.0, abs=1e-4)
    half = mixture[:, None] * 0.1 + sources
    better = [si_snr(half[0, m], sources[0, m]) - si_snr(mixture[0], sources[0, m]) for m in (0, 1)]
    found = si_snr_improvement(half, sources, mixture)
    assert found.item() == pytest.approx(torch.stack(better).mean().item(), abs=1e-3)
    alone = torch.zeros_like(sources)
    alone[:, 0] = sources[:, 0]
    assert torch.isnan(si_snr_improvement(alone, alone, alone[:, 0])).all()


def test_consistent_estimates_sum_to_the_mixture() -> None:
    estimates, mixture = noise(2, 4, 50), noise(2, 50, seed=1)
    made = mixture_consistent(estimates, mixture)
    torch.testing.assert_close(made.sum(1), mixture)
    spread = (made - estimates).std(dim=1)
    torch.testing.assert_close(spread, torch.zeros_like(spread), atol=1e-6, rtol=0)
    torch.testing.assert_close(mixture_consistent(made, mixture), made)


@pytest.mark.parametrize("sources", [1, 2, 3, 4, 5])
def test_permuted_sources_lose_the_same(sources: int) -> None:
    true, mixture = scene(sources=sources, silent=1 if sources > 1 else 0)
    estimates = true + 0.1 * noise(*true.shape, seed=1)
    loss, _ = pit_loss(estimates, true, mixture)
    order = torch.randperm(sources, generator=torch.Generator().manual_seed(2))
    permuted, found = pit_loss(estimates, true[:, order], mixture)
    torch.testing.assert_close(permuted, loss)
    assert torch.equal(found, order.expand(len(true), -1))
    torch.testing.assert_close(in_order(estimates, found), estimates[:, order])


@pytest.mark.parametrize("silent", [0, 1, 3])
def test_pit_is_the_best_of_all_permutations(silent: int) -> None:
    true, mixture = scene(silent=silent)
    estimates = 0.5 * noise(*true.shape, seed=3) + 0.5 * true[:, [2, 0, 3, 1]]
    loss, _ = pit_loss(estimates, true, mixture)
    expected = [pit_reference(*row) for row in zip(estimates, true, mixture, strict=True)]
    torch.testing.assert_close(loss, torch.stack(expected), rtol=0, atol=1e-3)


def test_the_hungarian_method_finds_what_trying_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = noise(20, 4, 4)
    tried = best_permutation(costs)
    monkeypatch.setattr(pit, "MOST_TRIED", 1)
    assert torch.equal(best_permutation(costs), tried)


def test_perfect_separation_reaches_the_thresholds() -> None:
    true, mixture = scene(silent=2)
    loss, _ = pit_loss(true.flip(1), true, mixture)
    expected = -(2 * ACTIVE_DB + 2 * SILENT_DB) / 4
    torch.testing.assert_close(loss, torch.full_like(loss, expected), rtol=0, atol=1e-3)


def test_a_silent_source_pulls_its_estimate_down() -> None:
    """The plain negative SNR of a silent source is a constant, whose gradient is zero."""
    true, mixture = scene(batch=1, sources=2, silent=1)
    estimates = torch.stack([true[0, 0], 0.3 * mixture[0]])[None].requires_grad_()
    loss, _ = pit_loss(estimates, true, mixture)
    loss.sum().backward()
    assert estimates.grad is not None
    pull = (estimates.grad[0, 1] * estimates[0, 1]).sum()
    assert pull.item() > 1.0  # downhill is towards silence


@pytest.mark.parametrize("sources", [1, 2, 4])
def test_mixit_is_the_best_of_all_assignments(sources: int) -> None:
    estimates, mixtures = noise(6, sources, 300), noise(6, 2, 300, seed=1)
    mixtures += torch.stack([estimates[:, 0], estimates[:, -1]], dim=1)
    loss, best = mixit_loss(estimates, mixtures)
    expected = [mixit_reference(*row) for row in zip(estimates, mixtures, strict=True)]
    torch.testing.assert_close(loss, torch.stack(expected), rtol=0, atol=1e-3)
    assert torch.equal(best.sum(1), torch.ones(6, sources))


def test_each_estimate_goes_to_one_mixture() -> None:
    tried = assignments(4)
    assert tried.shape == (16, 2, 4)
    assert torch.equal(tried.sum(1), torch.ones(16, 4))
    assert len({tuple(row.flatten().tolist()) for row in tried}) == 16


def test_swapped_mixtures_lose_the_same() -> None:
    estimates, mixtures = noise(5, 4, 300), noise(5, 2, 300, seed=1)
    loss, best = mixit_loss(estimates, mixtures)
    swapped, other = mixit_loss(estimates, mixtures.flip(1))
    torch.testing.assert_close(swapped, loss)
    assert torch.equal(other, best.flip(1))


def test_sources_that_sum_to_the_mixtures_reach_the_threshold() -> None:
    estimates = noise(2, 4, 300)
    mixtures = torch.stack([estimates[:, [1, 2]].sum(1), estimates[:, [0, 3]].sum(1)], dim=1)
    loss, best = mixit_loss(estimates, mixtures)
    torch.testing.assert_close(loss, torch.full((2,), -ACTIVE_DB), rtol=0, atol=1e-3)
    assert best[0].tolist() == [[0, 1, 1, 0], [1, 0, 0, 1]]


def test_one_mixture_may_get_nothing() -> None:
    estimates = noise(1, 3, 300)
    mixtures = torch.stack([estimates.sum(1), torch.zeros(1, 300)], dim=1)
    _, best = mixit_loss(estimates, mixtures)
    assert best[0].tolist() == [[1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("level", [0.0, 1e-12, 1.0, 1e4])
@pytest.mark.parametrize("perfect", [False, True])
def test_losses_and_gradients_are_finite(level: float, perfect: bool) -> None:
    true, mixture = scene(silent=4 if level == 0.0 else 2)
    true, mixture = true * level, mixture * level
    start = true.clone() if perfect else noise(*true.shape, seed=4) * level
    mixtures = torch.stack([true[:, 0], true[:, 1:].sum(1)], dim=1)
    losses: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda e: pit_loss(e, true, mixture)[0],
        lambda e: mixit_loss(e, mixtures)[0],
    )
    for loss in losses:
        estimates = start.clone().requires_grad_()
        value = loss(estimates)
        value.sum().backward()
        assert value.isfinite().all()
        assert estimates.grad is not None
        assert estimates.grad.isfinite().all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    true, mixture = scene()
    with pytest.raises(ValueError, match=r"must both be \(B, M, N\)"):
        pit_loss(true[:, :3], true, mixture)
    with pytest.raises(ValueError, match="mixture"):
        pit_loss(true, true, mixture[:, :-1])
    with pytest.raises(ValueError, match=r"mixtures \(3, 4, 400\); must be \(B, 2, N\)"):
        mixit_loss(true, true)
    with pytest.raises(ValueError, match="estimates"):
        mixit_loss(true[:2], true[:, :2])
