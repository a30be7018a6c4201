"""Conv-TasNet: its size, its two forms, and a stream in chunks against the whole clip."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.models.conv_tasnet import ConvTasNet, ConvTasNetConfig
from train.models.layer_norm import CumulativeNorm, forgetful_count, forgetful_sums

FORMS = ("cumulative", "channel")


def small_config(**changes: object) -> ConvTasNetConfig:
    values: dict[str, object] = {
        "filters": 16,
        "bottleneck": 8,
        "hidden": 12,
        "skip": 8,
        "blocks": 3,
        "norm": "cumulative",
        "memory_s": 0.05,
    }
    return ConvTasNetConfig(**{**values, **changes})  # type: ignore[arg-type]


def small(**changes: object) -> ConvTasNet:
    """A network whose masks differ, so that its sources do."""
    torch.manual_seed(2)
    network = ConvTasNet(small_config(**changes)).eval()
    with torch.no_grad():
        network.widen.weight.mul_(8.0)
    return network


def audio(*shape: int, seed: int = 1) -> Tensor:
    """Noise whose level changes."""
    generator = torch.Generator().manual_seed(seed)
    level = torch.rand(*shape[:-1], shape[-1] // 64 + 1, generator=generator)
    level = level.square().repeat_interleave(64, -1)[..., : shape[-1]]
    return torch.randn(*shape, generator=generator) * level


def test_the_paper_s_size() -> None:
    network = ConvTasNet(ConvTasNetConfig())
    unread = 512 * 128 + 128  # asteroid's last residual convolution
    assert sum(p.numel() for p in network.parameters()) + unread == 1_153_161


@pytest.mark.parametrize("norm", ["global", *FORMS])
@pytest.mark.parametrize("length", [640, 643, 100])
@torch.no_grad()
def test_every_sample_of_a_clip_comes_back(norm: str, length: int) -> None:
    """With masks of one and a decoder that undoes the encoder, all sources are the mixture."""
    network = small(norm=norm, sources=2, filters=16, kernel_samples=16, mask="relu")
    basis = torch.linalg.qr(torch.randn(16, 16))[0]
    network.encoder.weight.copy_(basis[:, None])
    network.decoder.weight.copy_(basis.T / 2.0)  # every sample lies in two frames
    network.widen.weight.zero_()
    network.widen.bias.fill_(1.0)  # type: ignore[union-attr]
    mixture = audio(3, length)
    expected = mixture[:, None].expand(3, 2, -1)
    torch.testing.assert_close(network(mixture), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm", FORMS)
@pytest.mark.parametrize("consistent", [False, True])
@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=8))
@torch.no_grad()
def test_any_cut_into_chunks_gives_the_sources_of_the_whole(
    norm: str, consistent: bool, cuts: list[int]
) -> None:
    """Over several time constants of the norm, and one or a hundred frames at a time."""
    network = small(norm=norm, consistent=consistent)
    stride, delay = network.config.stride_samples, network.config.delay_samples
    mixture = audio(2, sum(cuts) * stride)
    whole = network(mixture)
    state, parts = network.initial_state(2), []
    for chunk in mixture.split([cut * stride for cut in cuts], dim=1):
        sources, state = network.stream(chunk, state)
        parts.append(sources)
    streamed = torch.cat(parts, dim=2)[:, :, delay:]
    torch.testing.assert_close(streamed, whole[:, :, :-delay], rtol=0, atol=1e-4)


@pytest.mark.parametrize("norm", FORMS)
@torch.no_grad()
def test_a_causal_form_hears_no_further_ahead_than_its_delay(norm: str) -> None:
    network = small(norm=norm)
    delay = network.config.delay_samples
    mixture = audio(1, 800)
    changed = mixture.clone()
    changed[:, 400:] += 1.0
    before, after = network(mixture), network(changed)
    assert torch.equal(before[:, :, : 400 - delay], after[:, :, : 400 - delay])
    assert not torch.equal(before[:, :, 400:], after[:, :, 400:])


@torch.no_grad()
def test_the_paper_s_form_hears_the_whole_clip() -> None:
    network = small(norm="global")
    mixture = audio(1, 800)
    changed = mixture.clone()
    changed[:, 700:] += 1.0
    assert (network(mixture) - network(changed))[:, :, :100].abs().max() > 1e-3


@torch.no_grad()
def test_shapes_of_the_state() -> None:
    for norm in FORMS:
        network = small(norm=norm)
        _, state = network.stream(audio(3, 64), network.initial_state(3))
        shapes = [tuple(tensor.shape) for tensor in state]
        assert shapes == [(3, *shape) for shape in network.state_shapes().values()]


@torch.no_grad()
def test_consistent_sources_sum_to_the_mixture() -> None:
    for norm in ("global", "cumulative"):
        mixture = audio(2, 500)
        found = small(norm=norm, consistent=True)(mixture).sum(1)
        torch.testing.assert_close(found, mixture, rtol=0, atol=1e-5)


@torch.no_grad()
def test_silence_separates_into_silence() -> None:
    for norm in ("global", *FORMS):
        assert not small(norm=norm)(torch.zeros(1, 400)).any()


def test_every_weight_learns() -> None:
    for norm in ("global", *FORMS):
        network = small(norm=norm)
        network(audio(2, 400)).square().sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


def test_the_norm_is_of_all_frames_so_far_while_it_remembers_them() -> None:
    norm = CumulativeNorm(5, memory_frames=10**7)
    x = audio(2, 5, 40) + 3.0
    found, _ = norm(x, None)
    for k in (0, 1, 17, 39):
        past = x[:, :, : k + 1]
        spread = past.std(dim=(1, 2), correction=0)[:, None]
        expected = (x[:, :, k] - past.mean(dim=(1, 2))[:, None]) / spread
        torch.testing.assert_close(found[:, :, k], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("frames", [70, 300])
def test_sums_forget_at_the_stated_rate(frames: int) -> None:
    values = audio(2, 3, frames)
    start = audio(2, 3, seed=5)
    found = forgetful_sums(values, start, memory_frames=8)
    count = forgetful_count(frames, start[:, :1], memory_frames=8)
    ones = forgetful_sums(torch.ones(len(values), 1, frames), start[:, :1], memory_frames=8)
    torch.testing.assert_close(count, ones[:, 0], rtol=1e-5, atol=1e-5)
    total = start.clone()
    for k in range(frames):
        total = (1 - 1 / 8) * total + values[:, :, k]
        torch.testing.assert_close(found[:, :, k], total, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_hour_forty_is_as_exact_as_second_forty() -> None:
    """After forty hours of 250 frames a second, against double precision."""
    memory, chunk = 2_000, 16_000
    norm = CumulativeNorm(2, memory_frames=memory)
    generator = torch.Generator().manual_seed(3)
    block = torch.randn(1, 2, chunk, generator=generator) + 0.3
    state = None
    for _ in range(40 * 3600 * 250 // chunk):
        _, state = norm(block, state)
    last = 0.1 * torch.randn(1, 2, chunk, generator=generator)
    found, state = norm(last, state)
    # What is older than a hundred time constants weighs e^-100.
    frames = torch.cat([block.repeat(1, 1, 12), last], dim=2).double()
    values = torch.stack([frames.mean(1), frames.square().mean(1), torch.ones_like(frames[:, 0])])
    nothing = torch.zeros(1, 3).double()
    sums = forgetful_sums(values.transpose(0, 1), nothing, memory_frames=memory)
    mean, square = sums[:, 0] / sums[:, 2], sums[:, 1] / sums[:, 2]
    expected = (frames - mean[:, None]) / (square - mean.square()).sqrt()[:, None]
    difference = (found - expected[:, :, -chunk:]).abs().max()
    assert difference < 1e-4
    assert state is not None
    assert state[0, 2].item() == pytest.approx(memory, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_samples": 12}, "kernel_samples 12"),
        ({"stride_samples": 16}, "kernel_samples 16"),
        ({"kernel_frames": 2}, "kernel_frames 2"),
        ({"sources": 0}, "1 or more"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_config(**changes)
