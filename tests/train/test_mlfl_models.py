"""The three networks of the metric-learning paper: what each computes, whole and step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from streamsed.errors import ConfigError
from tests.train.test_models import audio, run_step
from tests.train.tiny_papers import fbcrnn_config, mlfl_config, settled, tag_cnn_config
from train.models.fbcrnn import FBCRNN
from train.models.mlfl import MLFL
from train.models.tag_cnn import TagCNN

FRAME = 1024


def fbcrnn(**changes: object) -> FBCRNN:
    torch.manual_seed(31)
    return settled(FBCRNN(fbcrnn_config(**changes)))


def mlfl(**changes: object) -> MLFL:
    torch.manual_seed(32)
    return settled(MLFL(mlfl_config(**changes)))


def tag_cnn(**changes: object) -> TagCNN:
    torch.manual_seed(33)
    return settled(TagCNN(tag_cnn_config(**changes), tagger=mlfl()))


@torch.no_grad()
def tags_of_steps(model: MLFL | FBCRNN | TagCNN, clips: Tensor) -> Tensor:
    """Return the tags ``(B, K, C)`` of every step."""
    step = model.step(tags=True)
    state, tags = step.initial_state(len(clips)), []
    for part in clips.split(model.config.chunk_samples, dim=1):
        _, tag, *after = step(part, *state)
        state = tuple(after)
        tags.append(tag)
    return torch.stack(tags, dim=1)


@torch.no_grad()
def embeddings(model: FBCRNN, clip: Tensor) -> Tensor:
    """Return those of one clip ``(N,)``, each in its frame's place: ``(T, D)``."""
    return model.encode(model.front_end.features(model.mels(clip[None])))[0]


@pytest.mark.parametrize("rnn_units", [0, 8])
@pytest.mark.parametrize("detection", ["surface", "branch"])
@pytest.mark.parametrize("tags", [False, True])
def test_steps_of_mlfl_give_the_scores_of_the_whole(
    rnn_units: int, detection: str, tags: bool
) -> None:
    model, clips = mlfl(rnn_units=rnn_units, detection=detection), audio(30)
    with torch.no_grad():
        whole = model.scores(clips)
    assert whole.std() > 0.01
    torch.testing.assert_close(run_step(model, clips, tags=tags), whole, rtol=0, atol=1e-5)


@torch.no_grad()
def test_scores_of_mlfl_are_the_sigmoid_of_the_attention_score() -> None:
    model, clips = mlfl(), audio(16)
    output = model.clip(model.front_end.features(model.mels(clips)))
    torch.testing.assert_close(output.frames, output.extra["surface"])
    torch.testing.assert_close(torch.sigmoid(output.frames), model.scores(clips))
    assert output.extra["projection"].shape == (2, 16, model.config.projection)
    branch = MLFL(replace(model.config, detection="branch"))
    branch.load_state_dict(model.state_dict())
    other = branch.eval().clip(model.front_end.features(model.mels(clips)))
    torch.testing.assert_close(other.frames, output.extra["branch"])


@torch.no_grad()
def test_running_tags_of_mlfl_are_the_pooled_window() -> None:
    """At first the window is as short as the stream; after it, it slides."""
    model, clips = mlfl(), audio(40)
    config = model.config
    running = model.running(clips)[1]
    stepped = tags_of_steps(model, clips)
    torch.testing.assert_close(running[:, : stepped.shape[1]], stepped, rtol=0, atol=1e-5)
    halos = model.encoder.first(2, "cpu")
    x, _ = model.encoder(model.front_end(model.front_end.pad(clips)), halos)
    for k in (1, 4, 9):
        end = (k + 1) * config.frames_per_chunk
        first = max(config.shift_frames, end - config.window_frames)
        expected = torch.sigmoid(model.pooling(x[:, first:end]).tags)
        torch.testing.assert_close(running[:, k], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_windows_of_the_fbcrnn_equal_the_reference() -> None:
    """Each frame's window by itself, both networks from nothing, shorter at the beginning."""
    for context in (0, 3, 7):
        model, clips = fbcrnn(), audio(20)
        ahead = model.config.shift_frames + context
        scores = model.scores(clips, latency_frames=ahead)
        silence = torch.zeros(context * FRAME)
        for row, clip in enumerate(clips):
            x = embeddings(model, torch.cat([clip, silence]))
            for t in (0, 1, 8, 19):
                window = x[None, max(0, t - context) : t + context + 1]
                forward = model.forwards.head(model.forwards.run(window))[0, -1]
                backward = model.backwards.head(model.backwards.run(window))[0, 0]
                expected = (torch.sigmoid(forward) + torch.sigmoid(backward)) / 2
                torch.testing.assert_close(scores[row, t], expected, rtol=0, atol=1e-5)
        for tags in (False, True):
            stepped = run_step(model, clips, latency_frames=ahead, tags=tags)
            torch.testing.assert_close(stepped, scores, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("ahead", [None, 5, 1])
def test_each_class_of_the_fbcrnn_has_windows_of_its_own(ahead: int | None) -> None:
    """As if all classes had its context, or the most that a look-ahead leaves of it."""
    clips, contexts = audio(20), (7, 0, 3)
    model = fbcrnn(context_frames=contexts)
    most = (ahead or model.config.latency_frames) - model.config.shift_frames
    scores = model.scores(clips, latency_frames=ahead)
    for index, context in enumerate(contexts):
        alike = fbcrnn(context_frames=min(context, most)).scores(clips)
        torch.testing.assert_close(scores[..., index], alike[..., index], rtol=0, atol=1e-5)
    for tags in (False, True):
        stepped = run_step(model, clips, latency_frames=ahead, tags=tags)
        torch.testing.assert_close(stepped, scores, rtol=0, atol=1e-5)
    assert model.look_aheads() == range(1, 9)


@torch.no_grad()
def test_the_fbcrnn_tags_by_both_ends_and_detects_by_both_boundaries() -> None:
    model, clips = fbcrnn(), audio(16)
    features = model.front_end.features(model.mels(clips))
    output = model.clip(features)
    forward, backward = output.extra["forward"], output.extra["backward"]
    ends = torch.sigmoid(forward[:, -1]), torch.sigmoid(backward[:, 0])
    assert output.clip is not None
    torch.testing.assert_close(output.clip, (ends[0] + ends[1]) / 2)
    torch.testing.assert_close(output.frames, torch.minimum(forward, backward))
    x = model.encode(features)
    torch.testing.assert_close(forward[:, :9], model.forwards.head(model.forwards.run(x[:, :9])))
    torch.testing.assert_close(backward[:, 9:], model.backwards.head(model.backwards.run(x[:, 9:])))


@torch.no_grad()
def test_running_tags_of_the_fbcrnn_are_those_of_the_window_as_a_clip() -> None:
    model, clips = fbcrnn(), audio(36)
    stepped, config = tags_of_steps(model, clips), model.config
    halos = model.encoder.first(2, "cpu")
    x, _ = model.encoder(model.front_end(model.front_end.pad(clips)), halos)
    for k in (1, 4, 8):
        end = (k + 1) * config.frames_per_chunk
        window = x[:, max(config.shift_frames, end - config.window_frames) : end]
        torch.testing.assert_close(stepped[:, k], model.tag(window), rtol=0, atol=1e-5)


@torch.no_grad()
def test_padding_ends_a_clip() -> None:
    for model in (fbcrnn(), mlfl()):
        features = model.front_end.features(model.mels(audio(16)))
        padding = torch.zeros(2, 16, dtype=torch.bool)
        padding[:, 10:] = True
        padded = model.clip(features, padding)
        ended = model.clip(features[:, : features.shape[1] - 6 * model.config.pooled_frames])
        assert padded.clip is not None
        assert ended.clip is not None
        torch.testing.assert_close(padded.clip, ended.clip, rtol=0, atol=1e-5)
        torch.testing.assert_close(padded.frames[:, :10], ended.frames, rtol=0, atol=1e-5)


def test_a_window_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose 1 to 9"):
        fbcrnn().scores(audio(4), latency_frames=10)
    with pytest.raises(ConfigError, match="cannot be run with 9"):
        mlfl().step(latency_frames=9)


@pytest.mark.parametrize("tags", [False, True])
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_steps_of_the_tag_cnn_give_the_scores_of_the_whole(
    threshold: float | None, tags: bool
) -> None:
    model, clips = tag_cnn(threshold=threshold), audio(30)
    with torch.no_grad():
        whole = model.scores(clips)
    assert whole.std() > 0.01
    torch.testing.assert_close(run_step(model, clips, tags=tags), whole, rtol=0, atol=1e-5)
    if tags:
        running = model.tagger.running(clips)[1]
        stepped = tags_of_steps(model, clips[:, : 28 * FRAME])
        torch.testing.assert_close(running[:, : stepped.shape[1]], stepped, rtol=0, atol=1e-5)


@torch.no_grad()
def test_tags_change_what_the_tag_cnn_detects() -> None:
    model = tag_cnn()
    features = model.front_end.features(model.mels(audio(16)))
    own = model.clip(features)
    assert own.clip is not None
    given = model.clip(features, given={"tags": own.clip})
    torch.testing.assert_close(given.frames, own.frames)
    none = model.clip(features, given={"tags": torch.zeros(2, 3)})
    assert (none.frames - own.frames).abs().max() > 1e-3
    torch.testing.assert_close(none.clip, own.clip)  # what is given changes no tag


def test_the_tagger_stays_as_it_is_and_sees_what_it_was_trained_on() -> None:
    model = tag_cnn().train()
    before = {name: value.clone() for name, value in model.tagger.state_dict().items()}
    clips = audio(16)
    output = model.clip(model.front_end.features(model.mels(clips)))
    output.frames.square().mean().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in model.tagger.parameters())
    assert not model.tagger.training
    for name, value in model.tagger.state_dict().items():
        torch.testing.assert_close(value, before[name])
    alone = model.tagger
    expected = alone.clip(alone.front_end.features(alone.mels(clips))).clip
    torch.testing.assert_close(output.clip, expected)


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="differs from the tagger's"):
        tag_cnn_config(tagger=mlfl_config(classes=("x", "y", "z")))
    with pytest.raises(ValueError, match="is below the tagger's"):
        tag_cnn_config(shift_frames=1)
    with pytest.raises(ValueError, match="lines is empty"):
        tag_cnn_config(lines=(), shift_frames=2)
    with pytest.raises(ValueError, match="planes is empty"):
        mlfl_config(planes=())
    with pytest.raises(ValueError, match="window_frames"):
        mlfl_config(window_frames=4)
    with pytest.raises(ValueError, match="context_frames"):
        fbcrnn_config(context_frames=40)
    with pytest.raises(ValueError, match="2 values for 3 classes"):
        fbcrnn_config(context_frames=(1, 2))
