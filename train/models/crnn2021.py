"""The CRNN of the DCASE 2021 task 4 baseline, parameter for parameter.

It is bidirectional, its front end is centred, reflects a clip at both ends and scales it by its own
extremes: nothing here streams. As a member of a bundle it is therefore *windowed*, and the whole
network, front end included, runs anew over the last ``window_frames`` at each step. Reflection and
scaling are those of the window, as if the window were a clip, and a stream begins as if silence
had been before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from train.frontend import DCASE2021, FrontEndConfig, LogMel
from train.models.clip_head import AttentionAxis, ClipHead, PaddingRule
from train.models.dropout import Dropout
from train.models.model import Given, Output, SoundEventModel, Step, check_chunk
from train.models.registry import MODELS
from train.models.sliding import overlap_add, window_look_aheads
from train.models.window_step import WindowStep, score_windows


@dataclass(frozen=True)
class CRNN2021Config:
    """Size of a :class:`CRNN2021`; the defaults are the baseline's.

    Attributes:
        classes: class names, in output order.
        front_end: the log-mel front end. The baseline's is not causal and scales each clip by
            itself; another, of 128 bands or as many as the pooling takes to 1, may be given.
        filters: channels of each convolution.
        pooling: (time, bands) averaged into one after each convolution; all bands must become one.
        norm_eps: of batch normalisation.
        norm_momentum: weight of the newest batch in the running statistics. The baseline's 0.99
            all but forgets earlier batches: it seems to be carried over from Keras, where 0.99 is
            the weight of the old ones. 0.01 is what that meant.
        dropout: after each convolution and after the recurrent layers.
        rnn_units: of each direction.
        rnn_layers: bidirectional layers, without dropout between them.
        attention: axis of the attention's softmax; see :class:`train.models.clip_head.ClipHead`.
        padding: what padded frames weigh; see there.
        window_frames: of the sliding window when the model is run on a stream: 156, the baseline's
            clip of 10 s.
        latency_frames: look-ahead of scores unless export or validation sets another; at most
            the window less one chunk.
        chunk_samples: the hop of the exported step. Each step costs as much as a clip, so it is
            longer than that of the other models.
        kind: names the model.
    """

    classes: tuple[str, ...]
    front_end: FrontEndConfig = DCASE2021
    filters: tuple[int, ...] = (16, 32, 64, 128, 128, 128, 128)
    pooling: tuple[tuple[int, int], ...] = (
        (2, 2),
        (2, 2),
        (1, 2),
        (1, 2),
        (1, 2),
        (1, 2),
        (1, 2),
    )
    norm_eps: float = 1e-3
    norm_momentum: float = 0.99
    dropout: float = 0.5
    rnn_units: int = 128
    rnn_layers: int = 2
    attention: AttentionAxis = "classes"
    padding: PaddingRule = "excluded"
    window_frames: int = 156
    latency_frames: int = 16
    chunk_samples: int = 16384
    kind: Literal["crnn2021"] = "crnn2021"

    def __post_init__(self) -> None:
        check_chunk(self.chunk_samples, self.frame_samples)
        if len(self.filters) != len(self.pooling):
            raise ValueError("filters and pooling differ in length")
        bands = self.front_end.n_mels
        for _, pool in self.pooling:
            bands //= pool
        if bands != 1:
            raise ValueError(f"pooling takes {self.front_end.n_mels} bands to {bands}, not to 1")
        longest = self.window_frames - self.frames_per_chunk
        if longest < 1:
            raise ValueError(
                f"window_frames {self.window_frames} must exceed the "
                f"{self.frames_per_chunk} frames of a chunk"
            )
        if not 0 <= self.latency_frames <= longest:
            raise ValueError(
                f"latency_frames {self.latency_frames} is not in 0 to {longest}, "
                "the window less one chunk"
            )

    @property
    def frame_samples(self) -> int:
        """Samples of one score frame."""
        pooled = self.front_end.hop_samples
        for pool, _ in self.pooling:
            pooled *= pool
        return pooled

    @property
    def frames_per_chunk(self) -> int:
        """Score frames of one exported step."""
        return self.chunk_samples // self.frame_samples

    @property
    def window_samples(self) -> int:
        """Samples of a window."""
        return self.window_frames * self.frame_samples


class GLU(nn.Module):
    """``linear(x) * sigmoid(x)`` along channels (context gating has it the other way round)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, T, F)`` to the same shape."""
        gated: Tensor = self.linear(x) * torch.sigmoid(x)
        return gated


def _example(classes: tuple[str, ...]) -> CRNN2021Config:
    return CRNN2021Config(
        classes,
        front_end=replace(DCASE2021, n_fft=1024, n_mels=32),
        filters=(8, 8, 8),
        pooling=((2, 4), (2, 4), (1, 2)),
        rnn_units=8,
        window_frames=20,
        latency_frames=6,
        chunk_samples=4096,
    )


@MODELS.register(CRNN2021Config, example=_example)
class CRNN2021(SoundEventModel):
    """Seven gated convolutions, two bidirectional GRU layers, strong and weak outputs."""

    config: CRNN2021Config

    def __init__(self, config: CRNN2021Config) -> None:
        super().__init__()
        self.config = config
        self.front_end = LogMel(config.front_end)
        layers: list[nn.Module] = []
        channels = 1
        for filters, pool in zip(config.filters, config.pooling, strict=True):
            layers += [
                nn.Conv2d(channels, filters, 3, padding=1),
                nn.BatchNorm2d(filters, eps=config.norm_eps, momentum=config.norm_momentum),
                GLU(filters),
                Dropout(config.dropout),
                nn.AvgPool2d(pool),
            ]
            channels = filters
        self.cnn = nn.Sequential(*layers)
        self.rnn = nn.GRU(
            channels, config.rnn_units, config.rnn_layers, batch_first=True, bidirectional=True
        )
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(2 * config.rnn_units, len(config.classes))
        self.clip_head = ClipHead(
            2 * config.rnn_units,
            len(config.classes),
            axis=config.attention,
            padding=config.padding,
        )

    def mels(self, audio: Tensor) -> Tensor:
        """Return linear mel bands of clips: ``(B, 626, 128)`` of 160000 samples."""
        config = self.config
        # Nearly a frame too many would, with the frame that centring adds, count as one more.
        over = audio.shape[1] % config.frame_samples
        surplus = over - (config.frame_samples - config.front_end.hop_samples) + 1
        return super().mels(audio[:, :-surplus] if surplus > 0 else audio)

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips; see the base class. Padding changes the clip-level output alone."""
        x = self.cnn(features.unsqueeze(1))  # (B, C, T', 1)
        x, _ = self.rnn(x.squeeze(3).transpose(1, 2))
        x = self.dropout(x)
        frames = self.head(x)
        return Output(frames, self.clip_head(x, frames, padding), {"embeddings": x})

    def forward(self, features: Tensor, padding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what the baseline's own model returns, in its order of axes.

        Args:
            features: ``(B, n_mels, T)``, scaled.
            padding: ``(B, T')`` bool, True beyond the end of a clip.

        Returns:
            Strong ``(B, C, T')`` and weak ``(B, C)`` probabilities.
        """
        output = self.clip(features.transpose(1, 2), padding)
        assert output.clip is not None
        return torch.sigmoid(output.frames).transpose(1, 2), output.clip

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream would be, window for window; see the base class."""
        overlap = overlap_add(self.config, latency_frames).to(audio.device)
        return score_windows(self, audio, overlap, window_samples=self.config.window_samples)

    def look_aheads(self) -> range:
        """Return those that fit the window."""
        return window_look_aheads(self.config)

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function; its tags are about the window that ends now."""
        overlap = overlap_add(self.config, latency_frames)
        return WindowStep(self, overlap, window_samples=self.config.window_samples, tags=tags)
