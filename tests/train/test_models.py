"""What holds for a model of any kind: clips, streams and checkpoints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from streamsed.errors import ConfigError
from tests.train.tiny_models import (
    CLASSES,
    example_model,
    given_to,
    tiny_model,
    windowed_config,
)
from train.checkpoint import load_model, save_model
from train.frontend import DCASE2021
from train.models.causal_crnn import CausalCRNN
from train.models.model import Output, SoundEventModel
from train.models.presets import PRESETS, preset
from train.models.registry import MODELS, build, parse_network_config


@pytest.fixture(scope="module", params=[*MODELS.kinds_of(SoundEventModel), "attention"])
def model(request: pytest.FixtureRequest) -> SoundEventModel:
    return example_model(request.param)


def clip(
    model: SoundEventModel, audio: torch.Tensor, padding: torch.Tensor | None = None
) -> Output:
    given = given_to(model, len(audio))
    if model.from_audio:
        return model.detect(audio, padding, given)
    return model.clip(model.front_end.features(model.mels(audio)), padding, given)


def audio(frames: int, *, seed: int = 21, batch: int = 2) -> torch.Tensor:
    """Bursts of noise over quieter noise, ``(batch, frames * 1024)``."""
    generator = torch.Generator().manual_seed(seed)
    loud = (torch.rand(batch, frames, 1, generator=generator) < 0.4).float()
    noise = torch.randn(batch, frames, 1024, generator=generator)
    return (noise * (0.01 + 0.3 * loud)).flatten(1)


@torch.no_grad()
def run_step(model: SoundEventModel, clips: torch.Tensor, **options: object) -> torch.Tensor:
    """Score clips step by step in PyTorch, look-ahead flushed with silence."""
    step = model.step(**options)  # type: ignore[arg-type]
    chunk = model.config.chunk_samples
    frames = clips.shape[1] // model.config.frame_samples
    clips = torch.nn.functional.pad(clips, (0, chunk * 20))
    state, scores = step.initial_state(len(clips)), []
    for part in clips.split(chunk, dim=1):
        if part.shape[1] == chunk:
            result = step(part, *state)
            scores.append(result[0])
            state = result[2 if step.tags else 1 :]
    return torch.cat(scores, dim=1)[:, step.latency_frames :][:, :frames]


@torch.no_grad()
def test_steps_give_the_scores_of_the_whole(model: SoundEventModel) -> None:
    clips = audio(50)
    whole = model.scores(clips)
    assert whole.shape == (2, 50, 3)
    assert whole.std() > 0.01, "a model that says nothing proves nothing"
    torch.testing.assert_close(run_step(model, clips), whole, rtol=0, atol=1e-5)


@torch.no_grad()
def test_states_have_the_shapes_that_are_said(model: SoundEventModel) -> None:
    step = model.step()
    shapes = [(3, *shape) for shape in step.state_shapes().values()]
    state = step.initial_state(3)
    assert [tuple(tensor.shape) for tensor in state] == shapes
    after = step(torch.randn(3, model.config.chunk_samples), *state)[1:]
    assert [tuple(tensor.shape) for tensor in after] == shapes
    assert all(tensor.dtype == torch.float32 for tensor in after)


@torch.no_grad()
def test_a_clip_has_a_logit_for_each_of_its_frames(model: SoundEventModel) -> None:
    clips = audio(12)
    clips = torch.nn.functional.pad(clips, (0, 100))  # less than a frame more
    output = clip(model, clips)
    assert output.frames.shape == (2, 12, 3)
    assert output.clip is not None
    assert output.clip.shape == (2, 3)
    assert ((output.clip >= 0) & (output.clip <= 1)).all()
    assert model.scores(clips).shape == (2, 12, 3)


def test_gradients_reach_every_parameter(model: SoundEventModel) -> None:
    model.train()
    output = clip(model, audio(8))
    assert output.clip is not None
    outputs = (output.frames, output.clip, *output.extra.values())
    torch.stack([each.square().mean() for each in outputs if each.requires_grad]).sum().backward()
    learned = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    silent = [name for name, gradient in learned.items() if gradient is None]
    model.zero_grad(set_to_none=True)
    model.eval()
    if model.takes:  # a network of its own stands in for what is given, in streams alone
        silent = [name for name in silent if not name.startswith("tagger.")]
    assert not silent


@pytest.mark.parametrize("kind", ["causal", "gru", "attention"])
@torch.no_grad()
def test_a_padded_clip_is_pooled_as_if_it_ended_there(kind: str) -> None:
    model = tiny_model(kind)
    features = model.front_end.features(model.mels(audio(16)))
    padding = torch.zeros(2, 16, dtype=torch.bool)
    padding[:, 10:] = True
    padded = model.clip(features, padding).clip
    ended = model.clip(features[:, : features.shape[1] - 6 * 4]).clip
    assert padded is not None
    assert ended is not None
    torch.testing.assert_close(padded, ended, rtol=0, atol=1e-5)


def test_mixed_precision_trains_any_model(model: SoundEventModel) -> None:
    model.train()
    padding = torch.zeros(2, 8, dtype=torch.bool)
    padding[1, 6:] = True
    with torch.autocast("cpu", torch.bfloat16):
        output = clip(model, audio(8), padding)
    assert output.frames.dtype in (torch.bfloat16, torch.float32)
    assert output.clip is not None
    assert output.clip.dtype == torch.float32
    (output.frames.float().square().mean() + output.clip.square().mean()).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    model.zero_grad(set_to_none=True)
    model.eval()


@torch.no_grad()
def test_padding_of_the_2021_crnn_changes_its_weak_output_alone() -> None:
    model = tiny_model("crnn2021")
    features = model.front_end.features(model.mels(audio(16)))
    padding = torch.zeros(2, 16, dtype=torch.bool)
    padding[:, 10:] = True
    padded, plain = model.clip(features, padding), model.clip(features)
    torch.testing.assert_close(padded.frames, plain.frames, rtol=0, atol=0)
    assert padded.clip is not None
    assert plain.clip is not None
    assert (padded.clip - plain.clip).abs().max() > 1e-4


@torch.no_grad()
def test_a_checkpoint_rebuilds_any_model(model: SoundEventModel, tmp_path: Path) -> None:
    save_model(tmp_path / "m.pt", model, step=7)
    again = load_model(tmp_path / "m.pt")
    assert again.step == 7
    assert type(again.model) is type(model)
    assert again.model.config == model.config
    clips = audio(10)
    with torch.no_grad():
        torch.testing.assert_close(again.model.scores(clips), model.scores(clips), rtol=0, atol=0)


def test_plain_data_says_its_kind(model: SoundEventModel) -> None:
    plain = asdict(model.config)  # type: ignore[call-overload]
    assert parse_network_config(plain) == model.config
    assert type(build(model.config)) is type(model)  # type: ignore[arg-type]


def test_what_has_no_kind_is_a_causal_crnn() -> None:
    config = parse_network_config({"classes": CLASSES, "rnn_units": 8})
    assert config.kind == "causal_crnn"
    assert isinstance(build(config), CausalCRNN)


def test_a_checkpoint_of_an_unknown_kind_is_one_clear_line(tmp_path: Path) -> None:
    torch.save({"config": {"kind": "oracle"}, "step": 1, "state": {}}, tmp_path / "m.pt")
    with pytest.raises(ConfigError, match=r"m\.pt: ") as caught:
        load_model(tmp_path / "m.pt")
    assert "\n" not in str(caught.value)
    assert "oracle" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 half a file"])
def test_what_is_no_checkpoint_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(ConfigError, match=r"m\.pt: ") as caught:
        load_model(tmp_path / "m.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"window_frames": 4}, "window_frames 4 must exceed"),
        ({"latency_frames": 19}, "latency_frames 19 is above 18"),
        ({"chunk_samples": 5000}, "no multiple"),
        ({"latency_frames": -1}, "negative"),
    ],
)
def test_impossible_windows_are_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        windowed_config(**changes)


def test_a_streaming_model_refuses_a_front_end_that_needs_the_clip() -> None:
    with pytest.raises(ValueError, match="causal alignment"):
        windowed_config(front_end=DCASE2021)


def test_a_look_ahead_that_was_trained_in_cannot_be_changed() -> None:
    model = tiny_model("causal")
    with pytest.raises(ConfigError, match=r"look-ahead of 3 frames .* 5"):
        model.step(latency_frames=5)
    with pytest.raises(ConfigError, match="yields no tags"):
        model.step(tags=True)


@pytest.mark.parametrize("kind", ["gru", "crnn2021"])
def test_a_look_ahead_beyond_the_window_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"look-ahead of 40 frames .* 0 to"):
        tiny_model(kind).step(latency_frames=40)


@pytest.mark.parametrize("name", PRESETS)
@torch.no_grad()
def test_every_preset_scores_a_clip(name: str) -> None:
    torch.manual_seed(23)
    config = preset(name, CLASSES)
    assert config.classes == CLASSES
    assert config.frame_samples == 1024
    model = build(config).eval()
    assert model.scores(audio(16, batch=1)).shape == (1, 16, 3)


@pytest.mark.parametrize("family", ["causal", "windowed"])
def test_presets_grow_with_their_names(family: str) -> None:
    sizes = [
        sum(p.numel() for p in build(preset(f"{family}-{size}", CLASSES)).parameters())
        for size in ("small", "base", "large")
    ]
    assert sizes[0] < sizes[1] < sizes[2]
