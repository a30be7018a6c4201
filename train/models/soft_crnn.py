"""The CRNN of DCASE 2023's task on soft labels: three convolutions, one GRU, linear layers.

It is the challenge's baseline (Martin-Morato et al., 2023) and, with other sizes, each branch of
the global-attention CRNN. In its causal form every convolution is padded with past frames alone
and the GRU runs forward, so that a stream hands a small state from chunk to chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from streamsed.errors import ConfigError
from train.frontend import LogMel
from train.frontend.config import PaddedFrontEndConfig
from train.models.dropout import Dropout
from train.models.model import (
    Given,
    Output,
    SoundEventModel,
    Step,
    check_chunk,
    whole_frames,
)
from train.models.registry import MODELS

HALO_FRAMES = 2
"""Frames before the present that a causal convolution sees."""
NEAREST = 1e-6
"""A linear output is kept this far from 0 and 1, where its logit would be infinite."""


@dataclass(frozen=True)
class BranchConfig:
    """Size of a :class:`Branch`; the defaults are the baseline's.

    Attributes:
        filters: channels of each convolution.
        pooling: bands of which the maximum is taken after each.
        rnn_units: of each direction, and of the linear layer behind it.
        dropout: after each convolution.
    """

    filters: tuple[int, ...] = (128, 128, 128)
    pooling: tuple[int, ...] = (5, 2, 2)
    rnn_units: int = 32
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if len(self.filters) != len(self.pooling) or not self.filters:
            raise ValueError("filters and pooling must be as many, one or more")

    def bands(self, n_mels: int) -> int:
        """Return how many bands are left of ``n_mels``.

        Raises:
            ValueError: none is.
        """
        left = n_mels
        for pool in self.pooling:
            left //= pool
        if left < 1:
            raise ValueError(f"pooling {self.pooling} leaves none of {n_mels} bands")
        return left


class Branch(nn.Module):
    """Convolutions over ``(T, F)``, a GRU, and a linear layer: embeddings of frames.

    Args:
        config: its size.
        n_mels: bands of the features.
        causal: whether a frame's embedding depends on frames up to it alone.
    """

    def __init__(self, config: BranchConfig, *, n_mels: int, causal: bool) -> None:
        super().__init__()
        self.config, self.causal, self.n_mels = config, causal, n_mels
        channels = (1, *config.filters)
        time = 0 if causal else 1
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=(time, 1)) for before, after in pairwise(channels)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in config.filters)
        self.dropout = Dropout(config.dropout)
        width = config.filters[-1] * config.bands(n_mels)
        directions = 1 if causal else 2
        self.rnn = nn.GRU(width, config.rnn_units, batch_first=True, bidirectional=not causal)
        self.linear = nn.Linear(directions * config.rnn_units, config.rnn_units)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape, without the batch axis, of every state tensor of the causal form.

        The halos have the frames' axis before the channels': ``(2, channels, bands)``.
        """
        shapes, bands, before = {}, self.n_mels, 1
        for index, (count, pool) in enumerate(
            zip(self.config.filters, self.config.pooling, strict=True)
        ):
            shapes[f"halo{index}"] = (HALO_FRAMES, before, bands)
            bands, before = bands // pool, count
        return {**shapes, "hidden": (1, self.config.rnn_units)}

    def initial_state(self, batch: int, device: torch.device | str = "cpu") -> tuple[Tensor, ...]:
        """Return the state of streams before their first frame, zeros ``(batch, *shape)``."""
        return tuple(
            torch.zeros(batch, *shape, device=device) for shape in self.state_shapes().values()
        )

    def forward(
        self, features: Tensor, state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return embeddings ``(B, T, rnn_units)`` of ``(B, T, F)``, and the next state.

        Args:
            features: scaled.
            state: of the causal form; None for the initial one, and in the other form.
        """
        if self.causal and state is None:
            state = self.initial_state(len(features), features.device)
        x, after = features.unsqueeze(1), []
        for index, (convolution, norm, pool) in enumerate(
            zip(self.convolutions, self.norms, self.config.pooling, strict=True)
        ):
            if self.causal:
                assert state is not None
                x = torch.cat([state[index].transpose(1, 2).to(x.dtype), x], dim=2)
                after.append(x[:, :, -HALO_FRAMES:].transpose(1, 2).float())
            x = torch.relu(norm(convolution(x)))
            x = self.dropout(nn.functional.max_pool2d(x, (1, pool)))
        x = x.transpose(1, 2).flatten(2)
        if not self.causal:
            x, _ = self.rnn(x)
            return self.linear(x), ()
        assert state is not None
        x, hidden = self.rnn(x, state[-1].transpose(0, 1).contiguous().to(x.dtype))
        return self.linear(x), (*after, hidden.transpose(0, 1).float())


@dataclass(frozen=True)
class SoftCRNNConfig:
    """Size of a :class:`SoftCRNN`; the defaults are the baseline's, 380,113 parameters.

    Attributes:
        classes: class names, in output order; all 17 that are annotated, in the baseline.
        front_end: the baseline's: magnitudes of 64 Slaney bands from 50 Hz to 14 kHz, without a
            logarithm, of 400 ms every 200 ms at 44.1 kHz, scaled band by band. Ours end with their
            frame where the baseline's are centred, and are of more bins (the window is padded).
        branch: the network but for its output.
        window_frames: frames of the sliding window when the model is run on a stream; the
            baseline's sequences of 200 frames are 40 s.
        latency_frames: look-ahead of scores on a stream.
        chunk_samples: the hop of the exported step.
        kind: names the model.
    """

    classes: tuple[str, ...]
    front_end: PaddedFrontEndConfig = field(
        default_factory=lambda: PaddedFrontEndConfig(
            sample_rate=44_100,
            n_fft=32_768,
            window_samples=17_640,
            hop_samples=8820,
            n_mels=64,
            f_min=50.0,
            f_max=14_000.0,
            power=1,
            mel_scale="slaney",
            logarithmic=False,
        )
    )
    branch: BranchConfig = field(default_factory=BranchConfig)
    window_frames: int = 200
    latency_frames: int = 5
    chunk_samples: int = 44_100
    kind: Literal["soft_crnn"] = "soft_crnn"

    def __post_init__(self) -> None:
        if not self.front_end.streams:
            raise ValueError("front_end must be causal and scaled by fixed statistics")
        self.branch.bands(self.front_end.n_mels)
        check_chunk(self.chunk_samples, self.frame_samples)
        longest = self.window_frames - self.chunk_samples // self.frame_samples
        if not 0 <= self.latency_frames <= longest:
            raise ValueError(
                f"latency_frames {self.latency_frames}; must be 0 to {longest}, the window less "
                "one chunk"
            )

    @property
    def frame_samples(self) -> int:
        """Samples of one score frame, which is one hop."""
        return self.front_end.hop_samples


def _example(classes: tuple[str, ...]) -> SoftCRNNConfig:
    return SoftCRNNConfig(
        classes,
        front_end=PaddedFrontEndConfig(
            n_fft=2048, window_samples=2048, hop_samples=1024, n_mels=32
        ),
        branch=BranchConfig((8, 8), (4, 2), 8),
        window_frames=12,
        latency_frames=3,
        chunk_samples=2048,
    )


@MODELS.register(SoftCRNNConfig, example=_example)
class SoftCRNN(SoundEventModel):
    """The baseline: bidirectional over a sequence, its output linear, a score a hop.

    ``Output.extra["linear"]`` is that output, which is compared with soft labels by its mean
    squared error. A score is that output cut to 0 and 1; ``frames`` are the score's logits.
    """

    config: SoftCRNNConfig

    def __init__(self, config: SoftCRNNConfig) -> None:
        super().__init__()
        self.config = config
        self.front_end = LogMel(config.front_end)
        self.branch = Branch(config.branch, n_mels=config.front_end.n_mels, causal=False)
        self.head = nn.Linear(config.branch.rnn_units, len(config.classes))

    def mels(self, audio: Tensor) -> Tensor:
        """Return linear mel bands of clips."""
        return super().mels(whole_frames(audio, self.config))

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips; see the base class."""
        del given
        embeddings, _ = self.branch(features)
        linear = self.head(embeddings).float()
        return linear_output(linear, padding, embeddings)

    def crop(self, features: Tensor, inside: Tensor, audio: Tensor | None = None) -> Output:
        """Score crops, which have no context: what :meth:`clip` returns."""
        del audio
        return self.clip(features, inside == 0.0)

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream, each frame in the window that ends after its look-ahead."""
        ahead, config = self._check(latency_frames), self.config
        audio = whole_frames(audio, config)
        frames = audio.shape[1] // config.frame_samples
        hop = config.chunk_samples // config.frame_samples
        count = -(-(frames + ahead) // hop)
        before = (config.window_frames - hop) * config.frame_samples
        after = count * config.chunk_samples - audio.shape[1]
        window = config.window_frames * config.frame_samples
        windows = nn.functional.pad(audio, (before, after)).unfold(1, window, config.chunk_samples)
        parts = [newest(self, part, ahead, hop) for part in windows.unbind(1)]
        return torch.cat(parts, dim=1)[:, ahead : ahead + frames]

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function, which runs the whole window anew; there are no tags."""
        if tags:
            raise self.refuse_tags()
        return _WindowStep(self, self._check(latency_frames))

    def look_aheads(self) -> range:
        """Return those that fit the window."""
        config = self.config
        return range(config.window_frames - config.chunk_samples // config.frame_samples + 1)

    def _check(self, latency_frames: int | None) -> int:
        wanted = self.config.latency_frames if latency_frames is None else latency_frames
        if wanted not in self.look_aheads():
            raise ConfigError(
                f"a look-ahead of {wanted} frames does not fit a window of "
                f"{self.config.window_frames}; choose 0 to {self.look_aheads()[-1]}"
            )
        return wanted


def linear_output(linear: Tensor, padding: Tensor | None, embeddings: Tensor) -> Output:
    """Return what a model with a linear output ``(B, T, C)`` returns for clips."""
    scores = linear.clamp(NEAREST, 1.0 - NEAREST)
    held = scores if padding is None else scores.masked_fill(padding[:, :, None], 0.0)
    return Output(
        torch.logit(scores), held.amax(dim=1), {"linear": linear, "embeddings": embeddings}
    )


def newest(model: SoundEventModel, window: Tensor, ahead: int, hop: int) -> Tensor:
    """Return the scores ``(B, hop, C)`` that end ``ahead`` frames before the end of a window."""
    frames = model.detect(window).frames
    end = frames.shape[1] - ahead
    return torch.sigmoid(frames[:, end - hop : end].float())


class _WindowStep(Step):
    """Remembers the window's audio."""

    tags = False

    def __init__(self, model: SoftCRNN, latency_frames: int) -> None:
        super().__init__()
        self.model, self.latency_frames = model, latency_frames

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        config = self.model.config
        kept = config.window_frames * config.frame_samples - config.chunk_samples
        return {"samples": (kept,)}

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        config = self.model.config
        window = torch.cat([state[0], chunk], dim=1)
        hop = config.chunk_samples // config.frame_samples
        scores = newest(self.model, window, self.latency_frames, hop)
        return scores, window[:, config.chunk_samples :]
