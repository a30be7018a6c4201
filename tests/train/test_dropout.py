"""Dropout by bytes, against what torch's own promises."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.models.dropout import Dropout

LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(1, 3),
    "with gaps": lambda x: x[:, ::2],
}


def ones(*shape: int) -> Tensor:
    torch.manual_seed(1)
    return torch.ones(shape)


@pytest.mark.parametrize("probability", [0.25, 0.5, 0.3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_drops_as_many_as_it_says_and_keeps_the_mean(layout: str, probability: float) -> None:
    x = LAYOUTS[layout](ones(4, 16, 50, 64)).requires_grad_()
    y = Dropout(probability)(x)
    assert y.shape == x.shape
    assert (y == 0).float().mean().item() == pytest.approx(probability, abs=0.01)
    assert y.mean().item() == pytest.approx(1.0, abs=0.02)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach(), rtol=0, atol=0)


def test_elements_are_dropped_apart_from_each_other() -> None:
    dropped = (Dropout(0.5)(ones(200_000)) == 0).float()
    for lag in (1, 2, 7, 8, 64):
        both = (dropped[lag:] * dropped[:-lag]).mean().item()
        assert both == pytest.approx(0.25, abs=0.01), f"{lag} apart"
    for place in range(8):  # of the bytes that one drawn number has
        assert dropped[place::8].mean().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtype_and_seed(dtype: torch.dtype) -> None:
    x = torch.randn(3, 1001).to(dtype)
    torch.manual_seed(5)
    first, second = Dropout(0.5)(x), Dropout(0.5)(x)
    torch.manual_seed(5)
    assert first.dtype == dtype
    assert torch.equal(Dropout(0.5)(x), first)
    assert not torch.equal(second, first)


def test_evaluation_and_the_ends_of_the_range_leave_nothing_to_chance() -> None:
    x = torch.randn(5, 7)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros(5, 7))
