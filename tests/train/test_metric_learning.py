"""Inter-frame distance contrastive loss: which pairs count, margins, and the plain reference."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.losses.metric import Adaptation, Frames, domain_adaptation, ifdc, ifdc_reference

CLASSES = 3
FEATURES = 4


def classes(*chosen: int) -> Tensor:
    row = torch.zeros(CLASSES)
    row[list(chosen)] = 1.0
    return row


def one_frame(point: Sequence[float], frame: Tensor, clip: Tensor) -> Frames:
    return Frames(
        torch.tensor(point)[None, None],
        frame[None, None],
        clip[None],
        torch.ones(1, 1, dtype=torch.bool),
    )


def random_frames(seed: int, *, clips: int, frames: int, soft: bool = False) -> Frames:
    """Return clips of which some frames are silent and some clips have the same classes."""
    generator = torch.Generator().manual_seed(seed)
    sets = (torch.rand(3, CLASSES, generator=generator) < 0.4).float()
    tags = sets[torch.randint(0, 3, (clips,), generator=generator)]
    active = (torch.rand(clips, frames, 1, generator=generator) < 0.6).float() * tags[:, None]
    if soft:
        active = active * 0.9 + 0.05
    return Frames(
        torch.randn(clips, frames, FEATURES, generator=generator),
        active,
        tags,
        torch.rand(clips, frames, generator=generator) < 0.8,
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_the_fast_form_equals_the_reference(seed: int, clips: int, others: int, soft: bool) -> None:
    first = random_frames(seed, clips=clips, frames=5, soft=soft)
    second = random_frames(seed + 1, clips=others, frames=5)
    assert ifdc(first, second).item() == pytest.approx(ifdc_reference(first, second), abs=1e-5)
    assert ifdc(first).item() == pytest.approx(ifdc_reference(first), abs=1e-5)


SAME, FAR_AWAY = [0.3, -0.2, 0.1, 0.9], [9.0, -9.0, 9.0, -9.0]


@pytest.mark.parametrize(
    ("case", "frames", "clips", "point", "expected"),
    [
        ("identical", (classes(0), classes(0)), (classes(0), classes(0)), SAME, 0.0),
        ("no class in common", (classes(0), classes(1)), (classes(0), classes(1)), SAME, 0.6),
        ("no class, far", (classes(0), classes(1)), (classes(0), classes(1)), FAR_AWAY, 0.0),
        ("one silent", (classes(0), classes()), (classes(0), classes(1)), SAME, 0.6),
        ("partial", (classes(0, 1), classes(0)), (classes(0, 1), classes(0, 1)), FAR_AWAY, 0.0),
        ("clips overlap", (classes(0), classes(1)), (classes(0, 1), classes(1)), SAME, 0.0),
        ("both silent, other clips", (classes(), classes()), (classes(0), classes(1)), SAME, 0.0),
        ("same frames, other clips", (classes(0),) * 2, (classes(0), classes(0, 1)), FAR_AWAY, 0.0),
    ],
)
def test_which_pairs_count(
    case: str,
    frames: tuple[Tensor, Tensor],
    clips: tuple[Tensor, Tensor],
    point: list[float],
    expected: float,
) -> None:
    first = one_frame(SAME, frames[0], clips[0])
    second = one_frame(point, frames[1], clips[1])
    assert ifdc(first, second).item() == pytest.approx(expected, abs=1e-6), case


def test_both_silent_in_clips_of_the_same_classes_are_drawn_together() -> None:
    first, second = (
        one_frame(point, classes(), classes(0)) for point in ([0.0] * 4, [2.0, 0.0, 0.0, 0.0])
    )
    assert ifdc(first, second).item() == pytest.approx(4.0 / 4 - 0.4)
    assert ifdc(first, second, near=0.0).item() == pytest.approx(1.0)


def test_pairs_are_counted_not_frames() -> None:
    """More clips or frames that pair with nothing leave the loss as it is."""
    first = one_frame(SAME, classes(0), classes(0))
    second = one_frame(SAME, classes(1), classes(1))
    padded = Frames(
        torch.cat([second.points, torch.randn(2, 1, FEATURES)]),
        torch.cat([second.frames, classes(0)[None, None].repeat(2, 1, 1)]),
        torch.cat([second.clips, classes(0, 2)[None].repeat(2, 1)]),
        torch.ones(3, 1, dtype=torch.bool),
    )
    assert ifdc(first, padded).item() == pytest.approx(ifdc(first, second).item())


def test_the_three_uses_are_weighed() -> None:
    synthetic, real = (random_frames(seed, clips=4, frames=6) for seed in (1, 2))
    parts = ifdc(synthetic, real), ifdc(real), ifdc(synthetic)
    assert all(part > 0 for part in parts)
    torch.testing.assert_close(
        domain_adaptation(synthetic, real), parts[0] + parts[1] + 0.5 * parts[2]
    )
    only = domain_adaptation(synthetic, real, weights=Adaptation(0.0, 2.0, 0.0))
    torch.testing.assert_close(only, 2.0 * parts[1])


def test_gradients_are_finite_for_equal_frames_and_without_pairs() -> None:
    points = torch.zeros(2, 3, FEATURES, requires_grad=True)
    frames = torch.zeros(2, 3, CLASSES)
    frames[0, :, 0], frames[1, :, 1] = 1.0, 1.0
    apart = Frames(points, frames, frames[:, 0], torch.ones(2, 3, dtype=torch.bool))
    loss = ifdc(apart)
    assert loss.item() == pytest.approx(0.6)
    nothing = ifdc(apart._replace(valid=torch.zeros(2, 3, dtype=torch.bool)))
    assert nothing.item() == 0.0
    (loss + nothing).backward()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()


def test_rows_are_chosen_and_wrong_margins_refused() -> None:
    frames = random_frames(3, clips=4, frames=5)
    chosen = torch.tensor([True, False, True, False])
    assert len(frames.rows(chosen).points) == 2
    with pytest.raises(ValueError, match="near at most far"):
        ifdc(frames, near=0.7)


def test_learning_brings_the_domains_together() -> None:
    """The same classes from two domains: what separates the domains is projected away."""
    torch.manual_seed(4)
    tags = torch.eye(CLASSES).repeat(2, 1)
    frames = tags[:, None].repeat(1, 8, 1)
    valid = torch.ones(6, 8, dtype=torch.bool)
    domain = torch.zeros(6, 8, 1)
    domain[3:] = 4.0
    embeddings = torch.cat([frames + 0.1 * torch.randn(6, 8, CLASSES), domain], dim=2)
    projection = torch.nn.Linear(CLASSES + 1, FEATURES, bias=False)
    optimiser = torch.optim.Adam(projection.parameters(), 0.05)
    losses = []
    for _ in range(80):
        batch = Frames(projection(embeddings), frames, tags, valid)
        synthetic = batch.rows(torch.arange(6) < 3)
        loss = domain_adaptation(synthetic, batch.rows(torch.arange(6) >= 3))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
