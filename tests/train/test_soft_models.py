"""The soft-label paper's networks: attention by hand, crops as clips, streams that keep keys."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.errors import ConfigError
from train.models.global_attention import GlobalAttention, GlobalAttentionConfig
from train.models.registry import MODELS
from train.models.scene_attention import AdditiveAttention, ShiftNorm, windows
from train.models.soft_crnn import BranchConfig, SoftCRNN, SoftCRNNConfig
from train.models.wav2vec2 import Wav2Vec2Config

CLASSES = ("a", "b", "c")
TINY_WAV2VEC2 = Wav2Vec2Config(
    convolutions=((8, 10, 5), (8, 8, 8)),
    width=8,
    layers=1,
    heads=2,
    feed_forward=16,
    position_kernel=4,
    position_groups=2,
    dropout=0.0,
    frozen=False,
    units=8,
)


def config(**changes: Any) -> GlobalAttentionConfig:
    made: GlobalAttentionConfig = MODELS.example("global_attention")(CLASSES)
    return replace(made, **changes)


@torch.no_grad()
def settled(of: GlobalAttentionConfig) -> GlobalAttention:
    """Return a model with statistics of its own and scores of some spread, for evaluation."""
    torch.manual_seed(5)
    model = GlobalAttention(of)
    for _ in range(3):
        model.detect(0.1 * torch.randn(4, 8 * of.frame_samples))
    model.head.weight.mul_(6.0)
    return model.eval()


def noise(frames: int, of: GlobalAttentionConfig, *, seed: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    loud = 0.01 + 0.3 * (torch.rand(2, frames, 1, generator=generator) < 0.5)
    return (torch.randn(2, frames, of.frame_samples, generator=generator) * loud).flatten(1)


def test_the_baseline_has_the_parameters_that_the_challenge_states() -> None:
    """1280 + 256, twice 147,584 + 256, a GRU of 80,256, 2080 and 561."""
    model = SoftCRNN(SoftCRNNConfig(tuple("abcdefghijklmnopq")))
    parts = [1280, 256, 147_584, 256, 147_584, 256, 80_256, 2080, 561]
    assert sum(p.numel() for p in model.parameters()) == sum(parts) == 380_113
    features = torch.zeros(1, 200, 64)
    assert model.clip(features).frames.shape == (1, 200, 17)


def test_its_output_is_linear_and_scores_are_cut_to_0_and_1() -> None:
    model = SoftCRNN(MODELS.example("soft_crnn")(CLASSES))
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([-0.5, 0.25, 1.5]))
        model.head.weight.zero_()
        output = model.eval().clip(torch.zeros(1, 3, 32))
    assert output.extra["linear"][0, 0].tolist() == [-0.5, 0.25, 1.5]
    scores = torch.sigmoid(output.frames)[0, 0].tolist()
    assert scores == pytest.approx([0.0, 0.25, 1.0], abs=1e-5)


@torch.no_grad()
def test_attention_is_a_softmax_of_additive_energies() -> None:
    """One query and three keys of width 1, by hand; the third is outside."""
    attention = AdditiveAttention(query=1, key=1, units=1)
    attention.query.weight.fill_(2.0)
    attention.query.bias.fill_(0.5)
    attention.key.weight.fill_(-1.0)
    attention.energy.weight.fill_(3.0)
    query, keys = torch.tensor([[0.25]]), torch.tensor([[[1.0], [-0.5], [4.0]]])
    found = attention.weights(
        attention.query(query), attention.key(keys), torch.tensor([[1.0, 1.0, 0.0]])
    )
    first, second = (3.0 * math.tanh(2.0 * 0.25 + 0.5 - key) for key in (1.0, -0.5))
    total = math.exp(first) + math.exp(second)
    assert found[0].tolist() == pytest.approx(
        [math.exp(first) / total, math.exp(second) / total, 0.0]
    )


@torch.no_grad()
def test_a_query_changes_what_is_attended_to() -> None:
    torch.manual_seed(1)
    attention = AdditiveAttention(query=4, key=4, units=4)
    keys, inside = attention.key(torch.randn(1, 6, 4)), torch.ones(1, 6)
    one, other = (
        attention.weights(attention.query(torch.randn(1, 4)), keys, inside) for _ in range(2)
    )
    assert (one - other).abs().max() > 1e-3
    # Without the tanh between them, the query's part would be the same for all keys.
    plain = [torch.softmax((query + keys[0]) @ torch.ones(4), 0) for query in torch.randn(2, 4)]
    torch.testing.assert_close(plain[0], plain[1])


def test_windows_are_the_frames_around_each() -> None:
    frames = torch.arange(1.0, 5.0).view(1, 4, 1)
    found = windows(frames, before=1, after=2)[0, :, :, 0]
    assert found.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 0], [3, 4, 0, 0]]
    assert windows(frames[..., 0], before=1, after=0).shape == (1, 4, 2)


@torch.no_grad()
def test_shift_norm_is_a_layer_norm_shifted_by_the_condition() -> None:
    norm = ShiftNorm(2, 1)
    norm.shift.weight.copy_(torch.tensor([[0.0], [2.0]]))
    found = norm(torch.tensor([[3.0, 5.0]]), torch.tensor([[0.5]]))
    assert found[0].tolist() == pytest.approx([-1.0, 1.0 + 1.0], abs=1e-4)
    again = norm(torch.tensor([[30.0, 50.0]]), torch.tensor([[0.5]]))
    torch.testing.assert_close(found, again, atol=1e-3, rtol=0)


def test_the_papers_sizes() -> None:
    """Hop 3200 at 16 kHz, 64 bands of 50 to 8000 Hz; 41 s are 205 hops around a second of 5."""
    of = GlobalAttentionConfig(CLASSES)
    front = of.front_end
    assert (front.sample_rate, front.hop_samples, front.window_samples) == (16_000, 3200, 6400)
    assert (front.n_mels, front.f_min, front.f_max, front.logarithmic) == (64, 50.0, 8000.0, True)
    assert (of.frame_hops, of.window_frames * of.frame_hops) == (5, 205)
    assert of.latency_frames == 20
    assert not of.mean_prediction


def test_the_baselines_bands_are_magnitudes_without_a_logarithm() -> None:
    front = SoftCRNN(SoftCRNNConfig(("a",))).front_end
    config = front.config
    assert (config.sample_rate, config.hop_samples, config.window_length) == (44_100, 8820, 17_640)
    assert (config.n_mels, config.f_min, config.f_max) == (64, 50.0, 14_000.0)
    tone = torch.sin(2.0 * torch.pi * 1000.0 * torch.arange(44_100) / 44_100)
    mels = front.mels(front.pad(tone[None]))[0, -1]
    for scale in (1.0, 3.0):  # a logarithm would add where this multiplies
        torch.testing.assert_close(
            front.features(front.mels(front.pad(scale * tone[None])))[0, -1], scale * mels
        )
    # Slaney's scale is linear up to 1 kHz: band 18 of 66 edges from 50 Hz to 14 kHz is around it.
    hertz_to_mel = 3.0 / 200.0
    top = 15.0 + 27.0 * math.log(14.0) / math.log(6.4)
    width = (top - 50.0 * hertz_to_mel) / 65.0
    assert int(mels.argmax()) == round((1000.0 - 50.0) * hertz_to_mel / width) - 1


@torch.no_grad()
def test_the_head_of_scenes_is_the_local_networks() -> None:
    """What sounds around a second changes what is detected in it, not the scene that it is of."""
    of = config(before=3, after=2, causal=False)
    model = settled(of)
    audio = noise(9, of)
    changed = audio.clone()
    changed[:, 5 * of.frame_samples :] *= -3.0
    one, other = (model.detect(each).extra["scenes"][:, :4] for each in (audio, changed))
    assert one.std() > 1e-3
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("fusion", ["concatenation", "shift"])
@pytest.mark.parametrize("mean", [True, False])
@torch.no_grad()
def test_a_clip_is_scored_as_its_frames_are_one_by_one(fusion: str, mean: bool) -> None:
    """The slow reference: each frame's energies, softmax and mean of values in loops."""
    of = config(fusion=fusion, mean_prediction=mean, before=3, after=2, causal=False)
    model = settled(of)
    audio = noise(9, of)
    features = model.front_end.features(model.mels(audio))
    inside = torch.ones(2, 9)
    inside[1, :4] = 0.0
    output = model.clip(features, None, {"inside": inside})
    local = model._local_of_features(features)
    context, _ = model._context(features)
    for row in range(2):
        for frame in range(9):
            near = [f for f in range(frame - 3, frame + 3) if 0 <= f < 9 and inside[row, f]]
            query = local[row, frame].mean(0)
            energy = [
                model.attention.energy(
                    torch.tanh(
                        model.attention.query(query) + model.attention.key(context[row, other])
                    )
                ).item()
                for other in near
            ]
            if not near:
                continue
            shares = np.exp(energy) / np.exp(energy).sum()
            scene = sum(
                float(s) * model.attention.value(context[row, o])
                for s, o in zip(shares, near, strict=True)
            )
            weights = output.extra["attention"][row, frame]
            assert weights.sum().item() == pytest.approx(1.0, abs=1e-5)
            for share, other in zip(shares, near, strict=True):
                assert weights[other - frame + 3].item() == pytest.approx(share, abs=1e-5)
            hops = list(local[row, frame]) if mean else [query]
            scores = []
            for hop in hops:
                joined = (
                    model.fusion(hop, scene)
                    if fusion == "shift"
                    else torch.relu(model.fusion(torch.cat([hop, scene])))
                )
                scores.append(torch.sigmoid(model.head(joined)))
            wanted = torch.stack(scores).mean(0)
            found = torch.sigmoid(output.frames[row, frame])
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
@torch.no_grad()
def test_a_crop_has_what_a_clip_has_of_its_target(causal: bool) -> None:
    of = config(before=3, after=0 if causal else 2, causal=causal)
    model = settled(of)
    count = of.before + 4 + of.after
    features = model.front_end.features(model.mels(noise(count, of)))
    inside = torch.ones(2, count)
    inside[0, :2] = 0.0
    whole = model.clip(features, None, {"inside": inside})
    crop = model.crop(features, inside)
    assert crop.frames.shape == (2, 4, 3)
    target = slice(of.before, of.before + 4)
    torch.testing.assert_close(crop.frames, whole.frames[:, target], rtol=0, atol=1e-5)
    for name, values in crop.extra.items():
        torch.testing.assert_close(values, whole.extra[name][:, target], rtol=0, atol=1e-5)


@torch.no_grad()
def run_step(model: GlobalAttention, audio: torch.Tensor) -> torch.Tensor:
    step = model.step()
    state, scores = step.initial_state(len(audio)), []
    for chunk in audio.split(model.config.chunk_samples, dim=1):
        found, *after = step(chunk, *state)
        state = tuple(after)
        scores.append(found)
    return torch.cat(scores, dim=1)


@given(
    before=st.integers(0, 6),
    after=st.integers(0, 3),
    causal=st.booleans(),
    fusion=st.sampled_from(["concatenation", "shift"]),
    frames=st.integers(1, 9),
    seed=st.integers(0, 5),
)
@settings(max_examples=12, deadline=None)
def test_a_stream_of_any_length_scores_as_the_whole(
    before: int, after: int, causal: bool, fusion: str, frames: int, seed: int
) -> None:
    of = config(before=before, after=after, causal=causal, fusion=fusion)
    model = settled(of)
    audio = noise(frames, of, seed=seed)
    silence = torch.zeros(2, after * of.frame_samples)
    streamed = run_step(model, torch.cat([audio, silence], dim=1))[:, after:]
    with torch.no_grad():
        torch.testing.assert_close(streamed, model.scores(audio), rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_second_costs_one_new_key() -> None:
    """All but the newest key and value of the state are those of the state before."""
    of = config()
    model = settled(of)
    step = model.step()
    names = list(step.state_shapes())
    state = step.initial_state(1)
    for chunk in noise(4, of)[:1].split(of.chunk_samples, dim=1):
        before = dict(zip(names, state, strict=True))
        _, *found = step(chunk, *state)
        state = tuple(found)
        after = dict(zip(names, state, strict=True))
        for name in ("keys", "values", "inside"):
            assert torch.equal(after[name][:, :-1], before[name][:, 1:])


@torch.no_grad()
def test_the_causal_form_depends_on_the_past_alone() -> None:
    of = config(before=5, after=0, causal=True)
    model = settled(of)
    audio = noise(10, of)
    changed = audio.clone()
    changed[:, 6 * of.frame_samples :] *= -3.0
    one, other = model.scores(audio), model.scores(changed)
    torch.testing.assert_close(one[:, :6], other[:, :6], rtol=0, atol=1e-6)
    assert (one[:, 6:] - other[:, 6:]).abs().max() > 1e-3


def test_wav2vec2_asks_from_audio_and_loads_torchaudios_weights(tmp_path: Path) -> None:
    of = config(query="wav2vec2", wav2vec2=TINY_WAV2VEC2, before=2, after=1, causal=True)
    model = settled(of)
    audio = noise(6, of)
    with torch.no_grad():
        streamed = run_step(model, torch.cat([audio, torch.zeros(2, of.frame_samples)], dim=1))
        torch.testing.assert_close(streamed[:, 1:], model.scores(audio), rtol=0, atol=1e-4)
        with pytest.raises(ValueError, match="made of audio"):
            model.clip(model.front_end.features(model.mels(audio)))
    state = {**model.local.network.state_dict(), "aux.weight": torch.zeros(2, 8)}  # type: ignore[union-attr]
    torch.save(state, tmp_path / "weights.pth")
    loaded = replace(TINY_WAV2VEC2, weights=tmp_path / "weights.pth", frozen=True)
    torch.manual_seed(77)
    again = GlobalAttention(replace(of, wav2vec2=loaded))
    for name, value in model.local.network.state_dict().items():  # type: ignore[union-attr]
        assert torch.equal(again.local.network.state_dict()[name], value), name  # type: ignore[union-attr]
    frozen = again.local.network.feature_extractor.parameters()  # type: ignore[union-attr]
    assert not any(parameter.requires_grad for parameter in frozen)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read"), (b"hello", "is no state dict"), ({"x": 1}, "is no state dict")],
)
def test_weights_that_do_not_fit_are_one_line(
    content: object, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ConfigError, match=problem) as error:
        GlobalAttention(config(query="wav2vec2", wav2vec2=replace(TINY_WAV2VEC2, weights=path)))
    assert "\n" not in str(error.value)
    assert "weights.pth" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"before": -1}, "must be 0 or more"),
        ({"context_hops": 3}, "must divide frame_hops"),
        ({"chunk_samples": 2048}, "must be one score frame"),
        ({"local": BranchConfig((4, 4), (8, 4), 8)}, "leaves none of 16 bands"),
        ({"mean_prediction": True, "query": "wav2vec2"}, "needs query: crnn"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        config(**changes)
