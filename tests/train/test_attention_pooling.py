"""Attention pooling on embeddings, against the formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from train.models.attention_pooling import AttentionPooling, disentangled_shares

CLASSES = 3
UNITS = 8


def pooling(*, shares: tuple[float, ...] | None = None, bias: bool = False) -> AttentionPooling:
    torch.manual_seed(5)
    module = AttentionPooling(UNITS, CLASSES, shares=shares, bias=bias)
    with torch.no_grad():
        module.kernels.normal_(std=3.0)
        if module.bias is not None:
            module.bias.normal_()
    return module


def reference(module: AttentionPooling, x: Tensor, widths: list[int]) -> tuple[Tensor, Tensor]:
    """Return frame and clip logits of one clip ``(T, D)``, class by class and frame by frame."""
    frames, clips = torch.zeros(len(x), CLASSES), torch.zeros(CLASSES)
    for c, width in enumerate(widths):
        kernel, seen = module.kernels[c, :width], x[:, :width]
        for t in range(len(x)):
            frames[t, c] = (kernel * seen[t]).sum()
            if module.bias is not None:
                frames[t, c] += module.bias[c]
        shares = [math.exp(score / width) for score in frames[:, c].tolist()]
        pooled = sum(share * row for share, row in zip(shares, seen, strict=True)) / sum(shares)
        clips[c] = (module.classifier.weight[c, :width] * pooled).sum() + module.classifier.bias[c]
    return frames, clips


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shares", [None, (1.0, 0.5, 0.3)])
@torch.no_grad()
def test_the_formulas(shares: tuple[float, ...] | None, bias: bool) -> None:
    """The divisor is the width that a class sees, and not its root."""
    module, x = pooling(shares=shares, bias=bias), torch.randn(2, 7, UNITS)
    widths = [UNITS] * 3 if shares is None else [8, 4, 2]
    output = module(x)
    for row, clip in enumerate(x):
        frames, clips = reference(module, clip, widths)
        torch.testing.assert_close(output.surface[row], frames, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(output.tags[row], clips, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_at_first_all_frames_count_the_same() -> None:
    module, x = AttentionPooling(UNITS, CLASSES), torch.randn(2, 7, UNITS)
    output = module(x)
    assert not output.surface.any()
    torch.testing.assert_close(output.tags, module.classifier(x.mean(1)))


@torch.no_grad()
def test_padding_takes_no_part() -> None:
    module, x = pooling(), torch.randn(2, 7, UNITS)
    padding = torch.zeros(2, 7, dtype=torch.bool)
    padding[:, 4:] = True
    torch.testing.assert_close(module(x, padding).tags, module(x[:, :4]).tags)


def test_features_that_a_class_does_not_see_change_nothing_of_it() -> None:
    module, x = pooling(shares=(1.0, 0.5, 0.3)), torch.randn(1, 5, UNITS, requires_grad=True)
    output = module(x)
    (output.surface[..., 2].sum() + output.tags[..., 2].sum()).backward()
    assert x.grad is not None
    assert x.grad[..., :2].any()
    assert not x.grad[..., 2:].any()


def test_shares_of_features_follow_the_clips_of_single_classes() -> None:
    tags = [("a",), ("a",), ("b",), ("a", "b"), (), ("c", "b")]
    assert disentangled_shares(tags, ("a", "b", "c")) == pytest.approx((1.0, 0.52, 0.04))
    together = disentangled_shares(tags, ("a", "b", "c"), most_together=2)
    assert together == pytest.approx((1.0, 0.04 + 0.96 * 2 / 2.5, 0.04 + 0.96 * 0.5 / 2.5))
    assert disentangled_shares(tags, ("a", "b", "c"), least=1.0) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="no clip"):
        disentangled_shares([("a", "b")], ("a", "b"))
    with pytest.raises(ValueError, match="least"):
        disentangled_shares(tags, ("a",), least=0.0)


@pytest.mark.parametrize("shares", [(1.0, 0.5), (1.0, 0.0, 0.5), (1.0, 1.1, 0.5)])
def test_wrong_shares_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="shares"):
        AttentionPooling(UNITS, CLASSES, shares=shares)


def test_tags_alone_bring_the_surface_to_where_a_class_is() -> None:
    """What the decision surface is for: frames from labels of clips."""
    torch.manual_seed(1)
    units, classes, frames, clips = 48, 3, 80, 10
    patterns = torch.randn(classes, units)

    def draw() -> tuple[Tensor, Tensor, Tensor]:
        tags = (torch.rand(clips, classes) < 0.4).float()
        onsets = torch.randint(0, frames - 20, (clips, 1, classes))
        since = torch.arange(frames)[:, None] - onsets
        active = ((since >= 0) & (since < 20)) * tags[:, None]
        return torch.relu(active @ patterns + 0.5 * torch.randn(clips, frames, units)), tags, active

    pooling = AttentionPooling(units, classes)
    optimiser = torch.optim.Adam(pooling.parameters(), 3e-3)
    for _ in range(150):
        embeddings, tags, _ = draw()
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(pooling(embeddings).tags, tags).backward()
        optimiser.step()
    embeddings, _, active = draw()
    found = torch.sigmoid(pooling(embeddings).surface).detach()
    assert found[active > 0].mean() > 0.9
    assert found[active == 0].mean() < 0.6
