"""Sliding windows against a plain reference that slides a window and averages."""

from __future__ import annotations

import math

import pytest
import torch

from tests.train.test_models import audio, run_step
from tests.train.tiny_models import tiny_model
from train.models.context import BidirectionalGRU, SelfAttention
from train.models.crnn2021 import CRNN2021
from train.models.sliding import OverlapAdd
from train.models.windowed_crnn import WindowedCRNN


def hamming(length: int) -> list[float]:
    return [0.54 - 0.46 * math.cos(2 * math.pi * n / (length - 1)) for n in range(length)]


def average(
    windows: list[dict[int, torch.Tensor]], *, frames: int, window: int, hop: int, ahead: int
) -> torch.Tensor:
    """Average the scores that windows give each frame; ``windows[k]`` maps frames to ``(C,)``.

    Window ``k`` ends with frame ``(k + 1) * hop``. A frame is decided by the windows that hold it
    up to the first that ends at least ``ahead`` frames after it, and the frames of one step are
    decided together.
    """
    weights, rows = hamming(window), []
    for frame in range(frames):
        deciding = -(-(frame + 1 + ahead) // hop) - 1
        total, share = torch.zeros(()), 0.0
        for k in range(deciding + 1):
            place = frame - ((k + 1) * hop - window)
            if frame in windows[k] and 0 <= place < window:
                total = total + weights[place] * windows[k][frame]
                share += weights[place]
        rows.append(total / share)
    return torch.stack(rows)


@torch.no_grad()
def slide_embeddings(model: WindowedCRNN, clip: torch.Tensor, *, ahead: int) -> torch.Tensor:
    """Score one clip ``(N,)``: the context network on every window by itself, short ones short."""
    config = model.config
    hop, window = config.frames_per_chunk, config.window_frames
    frames = len(clip) // config.frame_samples
    count = -(-(frames + ahead) // hop)
    padded = torch.nn.functional.pad(clip, (0, count * config.chunk_samples - len(clip)))[None]
    features = model.front_end.features(model.mels(padded))
    embeddings, _ = model.encode(features, model.first_halos(1, "cpu"))
    windows = []
    for k in range(count):
        end = (k + 1) * hop
        first = max(0, end - window)
        hidden = model.context(embeddings[:, first:end])
        scores = torch.sigmoid(model.head(hidden))[0]
        windows.append(dict(zip(range(first, end), scores, strict=True)))
    return average(windows, frames=frames, window=window, hop=hop, ahead=ahead)


@torch.no_grad()
def slide_audio(model: CRNN2021, clip: torch.Tensor, *, ahead: int) -> torch.Tensor:
    """Score one clip ``(N,)`` with the baseline's own forward on every window of audio."""
    config = model.config
    hop, window = config.frames_per_chunk, config.window_frames
    frames = len(clip) // config.frame_samples
    count = -(-(frames + ahead) // hop)
    silence = config.window_samples
    padded = torch.nn.functional.pad(clip, (silence, count * config.chunk_samples))
    windows = []
    for k in range(count):
        end = silence + (k + 1) * config.chunk_samples
        part = padded[end - config.window_samples : end][None]
        strong, _ = model(model.front_end.features(model.mels(part)).transpose(1, 2))
        last = (k + 1) * hop
        windows.append(dict(zip(range(last - window, last), strong[0].T, strict=True)))
    return average(windows, frames=frames, window=window, hop=hop, ahead=ahead)


@pytest.mark.parametrize("ahead", [0, 3, 8, 18])
@pytest.mark.parametrize("kind", ["gru", "attention"])
def test_windows_over_embeddings_equal_the_reference(kind: str, ahead: int) -> None:
    model, clips = tiny_model(kind), audio(45)
    assert isinstance(model, WindowedCRNN)
    expected = torch.stack([slide_embeddings(model, clip, ahead=ahead) for clip in clips])
    with torch.no_grad():
        scores = model.scores(clips, latency_frames=ahead)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)
    stepped = run_step(model, clips, latency_frames=ahead)
    torch.testing.assert_close(stepped, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("ahead", [0, 5, 16])
def test_windows_over_audio_equal_the_reference(ahead: int) -> None:
    model, clips = tiny_model("crnn2021"), audio(30)
    assert isinstance(model, CRNN2021)
    expected = torch.stack([slide_audio(model, clip, ahead=ahead) for clip in clips])
    with torch.no_grad():
        scores = model.scores(clips, latency_frames=ahead)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)
    stepped = run_step(model, clips, latency_frames=ahead)
    torch.testing.assert_close(stepped, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["gru", "attention"])
@torch.no_grad()
def test_the_last_window_of_a_clip_is_what_training_sees(kind: str) -> None:
    """A whole clip in one window: stream and training get the same, from the first frame on."""
    model = tiny_model(kind)
    assert isinstance(model, WindowedCRNN)
    clips = audio(model.config.window_frames // 4 * 4)
    logits = model.clip(model.front_end.features(model.mels(clips))).frames
    hop = model.config.frames_per_chunk
    # The last frames are decided by the one window that ends with the clip.
    scores = model.scores(clips, latency_frames=0)
    torch.testing.assert_close(scores[:, -hop:], torch.sigmoid(logits[:, -hop:]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["gru", "attention", "crnn2021"])
@torch.no_grad()
def test_look_ahead_is_as_far_as_it_says(kind: str) -> None:
    """Audio later than the chunk that decides a frame does not change it; that chunk does."""
    model, clips = tiny_model(kind), audio(48)
    changed = clips.clone()
    changed[:, 40 * 1024 :] = audio(48, seed=22)[:, 40 * 1024 :]
    for ahead in (0, 6):
        before = model.scores(clips, latency_frames=ahead)
        after = model.scores(changed, latency_frames=ahead)
        decided = 40 - ahead
        torch.testing.assert_close(after[:, :decided], before[:, :decided], rtol=0, atol=1e-6)
        assert (after[:, decided:] - before[:, decided:]).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["gru", "attention"])
@torch.no_grad()
def test_tags_are_the_pooled_window(kind: str) -> None:
    model, clips = tiny_model(kind), audio(12)
    step = model.step(tags=True)
    state = step.initial_state(2)
    for part in clips.split(4096, dim=1):
        _, tags, *rest = step(part, *state)
        state = tuple(rest)
    weak = model.clip(model.front_end.features(model.mels(clips))).clip
    assert weak is not None
    torch.testing.assert_close(tags, weak, rtol=0, atol=1e-5)


@torch.no_grad()
def test_tags_of_the_2021_crnn_are_its_weak_output_on_the_window() -> None:
    model, clips = tiny_model("crnn2021"), audio(40)
    assert isinstance(model, CRNN2021)
    step = model.step(tags=True)
    state = step.initial_state(2)
    for part in clips.split(4096, dim=1):
        _, tags, *rest = step(part, *state)
        state = tuple(rest)
    window = clips[:, -model.config.window_samples :]
    _, weak = model(model.front_end.features(model.mels(window)).transpose(1, 2))
    torch.testing.assert_close(tags, weak, rtol=0, atol=1e-5)


@pytest.mark.parametrize("empty", [(3, 0), (0, 4), (2, 3)])
@pytest.mark.parametrize("kind", ["gru", "attention"])
@torch.no_grad()
def test_empty_frames_leave_the_others_as_if_the_window_were_shorter(
    kind: str, empty: tuple[int, int]
) -> None:
    torch.manual_seed(31)
    network: BidirectionalGRU | SelfAttention = (
        BidirectionalGRU(8, 5, 2)
        if kind == "gru"
        else SelfAttention(8, 2, heads=2, window_frames=20, dropout=0.0)
    )
    before, after = empty
    x = torch.randn(2, 20, 8)
    valid = torch.ones(2, 20, dtype=torch.bool)
    valid[:, :before] = False
    valid[:, 20 - after :] = False
    inside = slice(before, 20 - after)
    torch.testing.assert_close(
        network(x, valid)[:, inside], network(x[:, inside]), rtol=0, atol=2e-6
    )


@torch.no_grad()
def test_a_clip_longer_than_the_window_is_cut_into_windows() -> None:
    model = tiny_model("gru")
    assert isinstance(model, WindowedCRNN)
    window = model.config.window_frames
    features = model.front_end.features(model.mels(audio(2 * window + 5)))
    strong = model.clip(features).frames
    embeddings, _ = model.encode(features, model.first_halos(2, "cpu"))
    for first in (0, window, 2 * window):
        alone = model.head(model.context(embeddings[:, first : first + window]))
        torch.testing.assert_close(strong[:, first : first + window], alone, rtol=0, atol=1e-5)


def test_one_opinion_is_given_out_as_it_is() -> None:
    overlap = OverlapAdd(window_frames=20, hop_frames=4, latency_frames=0)
    scores = torch.rand(2, 4, 3)
    finished, unfinished = overlap(scores, None)
    assert unfinished is None
    torch.testing.assert_close(finished, scores)


@pytest.mark.parametrize(
    ("window", "hop", "ahead"), [(20, 4, 16), (21, 4, 7), (9, 8, 1), (5, 1, 4)]
)
def test_equal_opinions_average_to_themselves(window: int, hop: int, ahead: int) -> None:
    """Also at a stream's beginning, where windows reach before it."""
    overlap = OverlapAdd(window_frames=window, hop_frames=hop, latency_frames=ahead)
    windows = torch.full((1, 12, hop + ahead, 2), 0.7)
    torch.testing.assert_close(overlap.run(windows), torch.full((1, 12 * hop - ahead, 2), 0.7))


def test_impossible_overlaps_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit a window"):
        OverlapAdd(window_frames=8, hop_frames=4, latency_frames=5)
