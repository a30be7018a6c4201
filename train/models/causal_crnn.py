"""The streaming CRNN: the DCASE 2021 baseline's shape, made causal and cheap.

One ``forward`` serves training and streaming. It takes a chunk of any whole number of score
frames and the state left by the chunk before, so a whole clip is one chunk from the initial
state, and the exported step is the same code on a short one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from streamsed.errors import ConfigError
from train.frontend import FrontEndConfig
from train.models.clip_head import ClipHead
from train.models.dropout import Dropout
from train.models.encoder import CausalEncoder, EncoderConfig, StageConfig
from train.models.model import Given, Output, Step, whole_frames
from train.models.registry import MODELS

__all__ = ["CausalCRNN", "CausalCRNNConfig", "StageConfig"]


@dataclass(frozen=True)
class CausalCRNNConfig(EncoderConfig):
    """Size of a :class:`CausalCRNN`; see :class:`EncoderConfig` for most of it.

    Attributes:
        clip_head: whether a clip-level output is trained beside the frames' (for weak labels).
        kind: names the model.
    """

    clip_head: bool = False
    kind: Literal["causal_crnn"] = "causal_crnn"


def _example(classes: tuple[str, ...]) -> CausalCRNNConfig:
    return CausalCRNNConfig(
        classes,
        front_end=FrontEndConfig(n_mels=32, n_fft=512),
        stem_channels=8,
        stages=(StageConfig(8, pool_time=2), StageConfig(16)),
        rnn_units=16,
        rnn_layers=1,
        latency_frames=3,
        clip_head=True,
    )


@MODELS.register(CausalCRNNConfig, example=_example)
class CausalCRNN(CausalEncoder):
    """Log-mel, depthwise-separable causal convolutions, unidirectional GRU, sigmoid per class.

    A look-ahead is trained in: the output of step ``k`` is compared with the labels of
    ``latency_frames`` earlier, so it cannot be chosen anew at export.
    """

    config: CausalCRNNConfig

    def __init__(self, config: CausalCRNNConfig) -> None:
        super().__init__(config)
        self.config = config
        self.rnn = nn.GRU(config.rnn_units, config.rnn_units, config.rnn_layers, batch_first=True)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(config.rnn_units, len(config.classes))
        self.clip_head = (
            ClipHead(config.rnn_units, len(config.classes)) if config.clip_head else None
        )

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape, without the batch axis, of every state tensor, in order."""
        return {**self.encoder_shapes(), "rnn": (self.config.rnn_layers, self.config.rnn_units)}

    def initial_state(self, batch: int, device: torch.device | str = "cpu") -> tuple[Tensor, ...]:
        """Return the state of a stream at its beginning: zeros, ``(batch, *shape)`` each."""
        return tuple(
            torch.zeros(batch, *shape, device=device) for shape in self.state_shapes().values()
        )

    def forward(
        self, chunk: Tensor, state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Score a chunk and return what the next one needs.

        Args:
            chunk: ``(B, n)`` float32, ``n`` a whole number of score frames.
            state: as returned by the previous call; None for the initial state.

        Returns:
            Logits ``(B, n / frame_samples, C)`` and the next state.
        """
        if state is None:
            state = self.initial_state(chunk.shape[0], chunk.device)
        features, samples = self.chunk_features(chunk, state[0])
        return self.score(features, state, samples)

    def score(
        self, features: Tensor, state: tuple[Tensor, ...], samples: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Score features ``(B, T, F)``; ``samples`` is the audio halo handed to the next state."""
        hidden, after = self._remember(features, state)
        return self.head(hidden), (samples, *after)

    def _remember(
        self, features: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the heads see, ``(B, T', rnn_units)``, and the next states but the audio."""
        x, after = self.encode(features, state[1:-1])
        x = self.dropout(x)
        x, hidden = self.rnn(x, state[-1].transpose(0, 1).contiguous().to(x.dtype))
        return self.dropout(x), (*after, hidden.transpose(0, 1))

    def mels(self, audio: Tensor) -> Tensor:
        """Return linear mel bands of clips with silence for the look-ahead behind them."""
        ahead = self.config.latency_frames * self.config.frame_samples
        with torch.autocast(audio.device.type, enabled=False):
            samples = self.front_end.pad(whole_frames(audio, self.config), ahead_samples=ahead)
            return self.front_end.mels(samples)

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips; see the base class."""
        state = self.initial_state(features.shape[0], features.device)
        hidden, _ = self._remember(features, state)
        hidden = hidden[:, self.config.latency_frames :]
        frames = self.head(hidden)
        clip = None if self.clip_head is None else self.clip_head(hidden, frames, padding)
        return Output(frames, clip, {"embeddings": hidden})

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips; see the base class."""
        ahead = self._check_latency(latency_frames)
        audio = whole_frames(audio, self.config)
        padded = nn.functional.pad(audio, (0, ahead * self.config.frame_samples))
        logits, _ = self(padded)
        return torch.sigmoid(logits[:, ahead:].float())

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function; see the base class. There are no tags."""
        self._check_latency(latency_frames)
        if tags:
            raise self.refuse_tags()
        return _CausalStep(self)

    def _check_latency(self, latency_frames: int | None) -> int:
        trained = self.config.latency_frames
        if latency_frames not in (None, trained):
            raise ConfigError(
                f"a {self.config.kind} trained with a look-ahead of {trained} frames "
                f"cannot be run with {latency_frames}"
            )
        return trained


class _CausalStep(Step):
    def __init__(self, model: CausalCRNN) -> None:
        super().__init__()
        self.model = model
        self.latency_frames = model.config.latency_frames
        self.tags = False

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.model.state_shapes()

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        logits, after = self.model(chunk, state)
        return (torch.sigmoid(logits), *after)
