"""The streaming family's windowed form: causal convolutions once, context over a sliding window.

Embeddings are computed once, as audio comes, and kept for ``window_frames``. Each step runs a
bidirectional GRU or self-attention over the window that ends now; a frame's score is the weighted
mean of the scores from the windows that ended up to ``latency_frames`` after it. The look-ahead
is not trained in, so it can be chosen when the model is exported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from train.frontend import FrontEndConfig
from train.models.clip_head import ClipHead
from train.models.context import BidirectionalGRU, SelfAttention
from train.models.dropout import Dropout
from train.models.encoder import CausalEncoder, EncoderConfig, StageConfig
from train.models.model import Given, Output, Step, whole_frames
from train.models.registry import MODELS
from train.models.sliding import (
    WINDOWS_AT_ONCE,
    OverlapAdd,
    overlap_add,
    window_look_aheads,
    windows_needed,
)


@dataclass(frozen=True)
class WindowedCRNNConfig(EncoderConfig):
    """Size of a :class:`WindowedCRNN`; see :class:`EncoderConfig` for most of it.

    Attributes:
        rnn_units: width of the embeddings, and of the context network: of each direction of the
            GRU, or of the attention as a whole.
        rnn_layers: layers of the context network.
        latency_frames: look-ahead of scores unless export or validation sets another; at most
            the window less one chunk.
        context: bidirectional GRU, or self-attention.
        attention_heads: of the latter.
        window_frames: what the context network sees. By default 156, 10 s of 64 ms frames.
        clip_head: whether a clip-level output is trained beside the frames' (for weak labels).
        kind: names the model.
    """

    rnn_units: int = 128
    latency_frames: int = 8
    context: Literal["gru", "attention"] = "gru"
    attention_heads: int = 4
    window_frames: int = 156
    clip_head: bool = True
    kind: Literal["windowed_crnn"] = "windowed_crnn"

    def __post_init__(self) -> None:
        super().__post_init__()
        longest = self.window_frames - self.frames_per_chunk
        if longest < 1:
            raise ValueError(
                f"window_frames {self.window_frames} must exceed the "
                f"{self.frames_per_chunk} frames of a chunk"
            )
        if self.latency_frames > longest:
            raise ValueError(
                f"latency_frames {self.latency_frames} is above {longest}, "
                "the window less one chunk"
            )


def _example(classes: tuple[str, ...]) -> WindowedCRNNConfig:
    return WindowedCRNNConfig(
        classes,
        front_end=FrontEndConfig(n_mels=32, n_fft=512),
        stem_channels=8,
        stages=(StageConfig(8, pool_time=2), StageConfig(16)),
        rnn_units=16,
        rnn_layers=1,
        window_frames=22,
        latency_frames=6,
    )


@MODELS.register(WindowedCRNNConfig, example=_example)
class WindowedCRNN(CausalEncoder):
    """Log-mel, causal convolutions, then a network that sees a window both ways."""

    config: WindowedCRNNConfig

    def __init__(self, config: WindowedCRNNConfig) -> None:
        super().__init__(config)
        self.config = config
        units, layers = config.rnn_units, config.rnn_layers
        self.context: BidirectionalGRU | SelfAttention
        if config.context == "gru":
            self.context = BidirectionalGRU(units, units, layers)
        else:
            self.context = SelfAttention(
                units,
                layers,
                heads=config.attention_heads,
                window_frames=config.window_frames,
                dropout=config.dropout,
            )
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(self.context.units, len(config.classes))
        self.clip_head = (
            ClipHead(self.context.units, len(config.classes)) if config.clip_head else None
        )

    def mels(self, audio: Tensor) -> Tensor:
        """Return linear mel bands of clips."""
        return super().mels(whole_frames(audio, self.config))

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips, each as one window; a longer one is cut into windows side by side."""
        x, _ = self.encode(features, self.first_halos(features.shape[0], features.device))
        x = self.dropout(x)
        # Asking costs less than holding gates shut that nothing needs shut.
        valid = None if padding is None or not padding.any() else ~padding
        hidden = self.dropout(self._side_by_side(x, valid))
        frames = self.head(hidden)
        clip = None if self.clip_head is None else self.clip_head(hidden, frames, padding)
        return Output(frames, clip, {"embeddings": hidden})

    def _side_by_side(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Run the context network over windows one after another, ``(B, T, D)``."""
        batch, time, units = x.shape
        window = self.config.window_frames
        if time <= window:
            return self.context(x, valid)  # type: ignore[no-any-return]
        missing = -time % window
        if missing and valid is None:
            valid = x.new_ones(batch, time, dtype=torch.bool)
        if valid is not None:
            valid = nn.functional.pad(valid, (0, missing)).reshape(-1, window)
        x = nn.functional.pad(x, (0, 0, 0, missing)).reshape(-1, window, units)
        return self.context(x, valid).reshape(batch, time + missing, -1)[:, :time]  # type: ignore[no-any-return]

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream would be; see the base class."""
        config = self.config
        overlap = overlap_add(config, latency_frames).to(audio.device)
        hop, window = config.frames_per_chunk, config.window_frames
        audio = whole_frames(audio, config)
        frames = audio.shape[1] // config.frame_samples
        count = windows_needed(frames, hop_frames=hop, latency_frames=overlap.latency)
        audio = nn.functional.pad(audio, (0, count * config.chunk_samples - audio.shape[1]))
        features = self.front_end(self.front_end.pad(audio))
        x, _ = self.encode(features, self.first_halos(len(audio), audio.device))
        x = nn.functional.pad(x, (0, 0, window - hop, 0))
        received = torch.arange(x.shape[1], device=x.device) >= window - hop
        windows = x.unfold(1, window, hop).transpose(2, 3).flatten(0, 1)  # (B * K, W, D)
        valid = received.unfold(0, window, hop).repeat(len(audio), 1)
        hidden = [
            self.context(part, part_valid)[:, -overlap.taken :]
            for part, part_valid in zip(
                torch.split(windows, WINDOWS_AT_ONCE),
                torch.split(valid, WINDOWS_AT_ONCE),
                strict=True,
            )
        ]
        scores = torch.sigmoid(self.head(self.dropout(torch.cat(hidden))))
        return overlap.run(scores.view(len(audio), count, *scores.shape[1:]))[:, :frames]

    def look_aheads(self) -> range:
        """Return those that fit the window."""
        return window_look_aheads(self.config)

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function; its tags are about the window that ends now."""
        if tags and self.clip_head is None:
            raise self.refuse_tags()
        return _WindowedStep(self, overlap_add(self.config, latency_frames), tags=tags)


class _WindowedStep(Step):
    """Remembers the encoder's halos, the window, how much of it is filled, unfinished scores."""

    places: Tensor

    def __init__(self, model: WindowedCRNN, overlap: OverlapAdd, *, tags: bool) -> None:
        super().__init__()
        self.model = model
        self.overlap = overlap
        self.latency_frames = overlap.latency
        self.tags = tags
        places = torch.arange(model.config.window_frames, dtype=torch.float32)
        self.register_buffer("places", places, persistent=False)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        config = self.model.config
        shapes = {
            **self.model.encoder_shapes(),
            "window": (config.window_frames - config.frames_per_chunk, config.rnn_units),
            "received": (1,),
        }
        if self.latency_frames:
            shapes["unfinished"] = (self.latency_frames, len(config.classes))
        return shapes

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        model, config = self.model, self.model.config
        rest, unfinished = (state[:-1], state[-1]) if self.latency_frames else (state, None)
        samples, *halos, window, received = rest
        features, samples = model.chunk_features(chunk, samples)
        x, halos = model.encode(features, halos)
        window = torch.cat([window, x], dim=1)
        received = torch.clamp(received + config.frames_per_chunk, max=float(config.window_frames))
        valid = self.places >= config.window_frames - received
        hidden = model.context(window, valid)
        logits = model.head(hidden if self.tags else hidden[:, -self.overlap.taken :])
        newest = torch.sigmoid(logits[:, -self.overlap.taken :])
        scores, unfinished = self.overlap(newest, unfinished)
        results = [scores]
        if self.tags:
            assert model.clip_head is not None
            results.append(model.clip_head(hidden, logits, ~valid))
        results += [samples, *halos, window[:, config.frames_per_chunk :], received]
        if unfinished is not None:
            results.append(unfinished)
        return tuple(results)
