"""Losses of forward-backward networks, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from train.losses.boundaries import boundaries, boundary_targets, framewise_max

KNOWN = torch.ones(1, 4, dtype=torch.bool)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_targets_are_whether_it_has_been_and_whether_it_comes() -> None:
    frames = torch.tensor([[[0.0], [1.0], [1.0], [0.0]]])
    forward, backward = boundary_targets(frames)
    assert forward[0, :, 0].tolist() == [0, 1, 1, 1]
    assert backward[0, :, 0].tolist() == [1, 1, 1, 0]
    assert torch.minimum(forward, backward).tolist() == frames.tolist()


def test_the_surer_network_is_held_to_the_tag() -> None:
    forward = torch.tensor([[[logit(0.1)], [logit(0.8)], [0.0], [0.0]]])
    backward = torch.tensor([[[logit(0.6)], [logit(0.2)], [0.0], [0.0]]])
    known = torch.tensor([[True, True, False, False]])
    loss = framewise_max(forward, backward, torch.ones(1, 1), known)
    assert loss.item() == pytest.approx(-(math.log(0.6) + math.log(0.8)) / 2)
    loss = framewise_max(forward, backward, torch.zeros(1, 1), known)
    assert loss.item() == pytest.approx(-(math.log(0.4) + math.log(0.2)) / 2)


def test_each_network_is_held_to_its_boundaries() -> None:
    frames = torch.tensor([[[0.0], [1.0], [0.0], [0.0]]])
    forward, backward = torch.randn(1, 4, 1), torch.randn(1, 4, 1)
    targets = torch.tensor([0.0, 1, 1, 1]), torch.tensor([1.0, 1, 0, 0])
    expected = sum(
        torch.nn.functional.binary_cross_entropy_with_logits(one[0, :, 0], target)
        for one, target in zip((forward, backward), targets, strict=True)
    )
    loss = boundaries(forward, backward, frames, KNOWN)
    torch.testing.assert_close(loss, expected / 2)  # type: ignore[operator]


def test_targets_between_are_left_out() -> None:
    """Of a confidence of 0.5 nothing is known from it on, until a sure event."""
    frames = torch.tensor([[[0.0], [0.5], [0.0], [1.0]]])
    forward = torch.tensor([[[0.3], [math.inf], [-math.inf], [0.7]]])
    backward = torch.full((1, 4, 1), 0.2)
    loss = boundaries(forward, backward, frames, KNOWN)
    of_forward = (math.log(1 + math.exp(0.3)) + math.log(1 + math.exp(-0.7))) / 2
    of_backward = math.log(1 + math.exp(-0.2))  # an event still comes, at every frame
    assert loss.item() == pytest.approx((of_forward + of_backward) / 2, rel=1e-5)


def test_without_known_frames_there_is_no_loss() -> None:
    logits = torch.zeros(1, 4, 2, requires_grad=True)
    none = torch.zeros(1, 4, dtype=torch.bool)
    loss = boundaries(logits, logits, torch.ones(1, 4, 2), none)
    loss = loss + framewise_max(logits, logits, torch.ones(1, 2), none)
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()
