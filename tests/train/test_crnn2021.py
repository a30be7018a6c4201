"""The 2021 CRNN: the figures that the literature gives for it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.train.tiny_models import crnn2021_config
from train.models.clip_head import ClipHead
from train.models.crnn2021 import CRNN2021, GLU, CRNN2021Config


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def baseline() -> CRNN2021:
    torch.manual_seed(1)
    return CRNN2021(CRNN2021Config(tuple("abcdefghij"))).eval()


def test_it_has_the_parameters_of_the_baseline(baseline: CRNN2021) -> None:
    assert count(baseline.cnn) == 612_688
    assert count(baseline.rnn) == 494_592
    assert count(baseline.head) + count(baseline.clip_head) == 5_140
    assert count(baseline) == 1_112_420


@torch.no_grad()
def test_shapes_are_those_of_the_baseline(baseline: CRNN2021) -> None:
    audio = torch.randn(2, 160_000, generator=torch.Generator().manual_seed(2)) * 0.1
    features = baseline.front_end.features(baseline.mels(audio))
    assert features.shape == (2, 626, 128)
    strong, weak = baseline(features.transpose(1, 2))
    assert strong.shape == (2, 10, 156)
    assert weak.shape == (2, 10)
    clip = baseline.clip(features)
    torch.testing.assert_close(torch.sigmoid(clip.frames), strong.transpose(1, 2))


def test_normalisation_is_as_configured(baseline: CRNN2021) -> None:
    norms = [module for module in baseline.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [(norm.eps, norm.momentum) for norm in norms] == [(1e-3, 0.99)] * 7
    other = CRNN2021(crnn2021_config(norm_momentum=0.01))
    momenta = [m.momentum for m in other.modules() if isinstance(m, nn.BatchNorm2d)]
    assert momenta == [0.01] * 3


def test_glu_gates_with_the_sigmoid_of_its_input() -> None:
    glu = GLU(2)
    with torch.no_grad():
        glu.linear.weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]])[:, :, None, None])
        glu.linear.bias.zero_()
    x = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(glu(x), x.flip(1) * torch.sigmoid(x))


@pytest.mark.parametrize("samples", [16 * 1024, 16 * 1024 + 255, 16 * 1024 + 768, 17 * 1024 - 1])
@torch.no_grad()
def test_every_whole_frame_of_a_clip_is_scored(samples: int) -> None:
    model = CRNN2021(crnn2021_config()).eval()
    strong = model.clip(model.front_end.features(model.mels(torch.zeros(1, samples)))).frames
    assert strong.shape == (1, 16, 3)


def test_pooling_must_take_the_bands_to_one() -> None:
    with pytest.raises(ValueError, match="32 bands to 2"):
        crnn2021_config(pooling=((2, 4), (2, 4), (1, 1)))


# ---- attention pooling


def pooled(head: ClipHead, x: torch.Tensor, strong: torch.Tensor) -> torch.Tensor:
    """The formula, frame by frame and class by class."""
    logits = head.attention(x)
    batch, time, classes = strong.shape
    weak = torch.zeros(batch, classes)
    for b in range(batch):
        for c in range(classes):
            total = share = 0.0
            for t in range(time):
                weights = torch.exp(logits[b, t] - logits[b, t].max())
                a = float((weights[c] / weights.sum()).clamp(1e-7, 1.0))
                share += a
                total += a * float(torch.sigmoid(strong[b, t, c]))
            weak[b, c] = total / share
    return weak


@pytest.fixture
def pool() -> tuple[ClipHead, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    torch.manual_seed(4)
    x = torch.randn(2, 7, 6, generator=generator)
    return ClipHead(6, 3), x, torch.randn(2, 7, 3, generator=generator)


@torch.no_grad()
def test_pooling_is_the_formula(pool: tuple[ClipHead, torch.Tensor, torch.Tensor]) -> None:
    head, x, strong = pool
    torch.testing.assert_close(head(x, strong), pooled(head, x, strong))


@torch.no_grad()
def test_a_constant_on_all_attention_logits_changes_nothing(
    pool: tuple[ClipHead, torch.Tensor, torch.Tensor],
) -> None:
    """The softmax is over classes, so what a frame gains in all it loses again."""
    head, x, strong = pool
    before = head(x, strong)
    head.attention.bias += 3.0
    torch.testing.assert_close(head(x, strong), before)


@torch.no_grad()
def test_pooling_over_time_shares_one_among_frames() -> None:
    head = ClipHead(6, 3, axis="time")
    weights = head.weights(torch.randn(2, 7, 6))
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 3), rtol=0, atol=1e-5)


@torch.no_grad()
def test_excluded_padding_weighs_nothing(
    pool: tuple[ClipHead, torch.Tensor, torch.Tensor],
) -> None:
    head, x, strong = pool
    padding = torch.zeros(2, 7, dtype=torch.bool)
    padding[0, 5:] = True
    assert not head.weights(x, padding)[padding].any()
    torch.testing.assert_close(head(x, strong, padding)[:1], head(x[:1, :5], strong[:1, :5]))
    torch.testing.assert_close(head(x, strong, padding)[1], head(x, strong)[1])


@torch.no_grad()
def test_padding_as_in_the_baseline_gets_a_uniform_share(
    pool: tuple[ClipHead, torch.Tensor, torch.Tensor],
) -> None:
    _, x, _ = pool
    head = ClipHead(6, 3, padding="baseline")
    padding = torch.zeros(2, 7, dtype=torch.bool)
    padding[0, 5:] = True
    torch.testing.assert_close(head.weights(x, padding)[padding], torch.full((2, 3), 1 / 3))


@torch.no_grad()
def test_nothing_but_padding_is_a_clip_without_sounds(
    pool: tuple[ClipHead, torch.Tensor, torch.Tensor],
) -> None:
    head, x, strong = pool
    assert not head(x, strong, torch.ones(2, 7, dtype=torch.bool)).any()
