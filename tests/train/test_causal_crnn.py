"""The streaming model: one forward for a clip and for its chunks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.frontend import FrontEndConfig
from train.models.causal_crnn import CausalCRNN, CausalCRNNConfig, StageConfig


def small_config(**changes: object) -> CausalCRNNConfig:
    values: dict[str, object] = {
        "classes": ("a", "b", "c"),
        "front_end": FrontEndConfig(n_mels=32),
        "stem_channels": 8,
        "stages": (StageConfig(8, blocks=2, pool_time=2), StageConfig(16)),
        "rnn_units": 16,
    }
    return CausalCRNNConfig(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> CausalCRNN:
    torch.manual_seed(3)
    built = CausalCRNN(small_config())
    with torch.no_grad():  # running statistics of its own, so that normalisation is not idle
        for _ in range(3):
            built(torch.randn(4, 1024 * 8) * 0.1)
    return built.eval()


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 6), min_size=1, max_size=8))
@torch.no_grad()
def test_any_cut_into_frames_gives_the_scores_of_the_whole(
    model: CausalCRNN, cuts: list[int]
) -> None:
    frame = model.config.frame_samples
    audio = torch.randn(2, sum(cuts) * frame, generator=torch.Generator().manual_seed(4)) * 0.1
    whole, _ = model(audio)
    state, parts = None, []
    for chunk in audio.split([cut * frame for cut in cuts], dim=1):
        scores, state = model(chunk, state)
        parts.append(scores)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_future_does_not_change_the_past(model: CausalCRNN) -> None:
    frame = model.config.frame_samples
    audio = torch.randn(1, 10 * frame, generator=torch.Generator().manual_seed(5))
    changed = audio.clone()
    changed[:, 6 * frame :] += 1.0
    before, after = model(audio)[0], model(changed)[0]
    torch.testing.assert_close(before[:, :6], after[:, :6], rtol=0, atol=0)
    assert (before[:, 6:] != after[:, 6:]).any()


@torch.no_grad()
def test_state_shapes_are_the_shapes_of_the_state(model: CausalCRNN) -> None:
    _, state = model(torch.zeros(3, 4096))
    shapes = [tuple(tensor.shape) for tensor in state]
    assert shapes == [(3, *shape) for shape in model.state_shapes().values()]


def test_frame_samples_follow_from_hop_and_pooling() -> None:
    assert small_config().frame_samples == 1024
    assert small_config(stem_stride=(1, 2)).frame_samples == 512
