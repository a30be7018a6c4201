"""The teacher of paper (d): five blocks of two convolutions that compress time, and two branches.

Its frames are about a second long, so it finds which events there are better than where. It is
centred in time and stays offline; as a member of a bundle it would run over a window at each step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from train.frontend import FrontEndConfig, LogMel
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
from train.models.sliding import overlap_add, window_look_aheads
from train.models.two_branches import BranchesConfig, DetectionBranch, TaggingBranch
from train.models.window_step import WindowStep, score_windows


@dataclass(frozen=True)
class BlockConfig:
    """Square convolutions, each normalised, ReLU; then pooling.

    Attributes:
        channels: of each convolution.
        pool: (frames, bands) of which the largest value is taken.
        kernel: frames and bands of each convolution, odd.
    """

    channels: int
    pool: tuple[int, int]
    kernel: int = 3

    def __post_init__(self) -> None:
        if min(self.channels, self.kernel, *self.pool) < 1 or self.kernel % 2 == 0:
            raise ValueError(
                f"channels {self.channels}, pool {self.pool}, kernel {self.kernel}; "
                "all must be 1 or more, and the kernel odd"
            )


PUBLISHED_BLOCKS = (
    BlockConfig(16, (4, 4)),
    BlockConfig(32, (4, 2)),
    BlockConfig(64, (2, 2)),
    BlockConfig(128, (2, 2)),
    BlockConfig(256, (1, 1), kernel=1),
)
"""Sized as guided learning's published teacher, of 64 bands 512 features; but for pooling 64 frames
of 16 ms, which divides chunks, where it pools 100 of 20 ms."""


@dataclass(frozen=True)
class TwoBranchTeacherConfig:
    """Size of a :class:`TwoBranchTeacher`.

    Attributes:
        classes: class names, in output order.
        front_end: the log-mel front end; the student's, in training with one.
        blocks: of convolutions; five in the paper, whose text gives no sizes. By default 64 frames
            of time become one, 1.02 s.
        convolutions: of each block; two in the paper.
        norm_eps: of batch normalisation.
        dropout: after each block.
        branches: their widths.
        projection: width of what is compared with the student's; W_t in the paper.
        window_frames: of the sliding window when the model is run on a stream.
        latency_frames: look-ahead of scores on a stream, unless another is asked for.
        chunk_samples: the hop of the exported step.
        kind: names the model.
    """

    classes: tuple[str, ...]
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    blocks: tuple[BlockConfig, ...] = PUBLISHED_BLOCKS
    convolutions: int = 2
    norm_eps: float = 1e-3
    dropout: float = 0.0
    branches: BranchesConfig = field(default_factory=BranchesConfig)
    projection: int = 128
    window_frames: int = 10
    latency_frames: int = 2
    chunk_samples: int = 16384
    kind: Literal["two_branch_teacher"] = "two_branch_teacher"

    def __post_init__(self) -> None:
        if not self.blocks or self.convolutions < 1:
            raise ValueError("blocks and convolutions must be one or more")
        if self.projection < 1:
            raise ValueError(f"projection {self.projection}; must be 1 or more")
        check_chunk(self.chunk_samples, self.frame_samples)
        if self.bands < 1:
            raise ValueError(f"blocks pool {self.front_end.n_mels} bands to none")
        longest = self.window_frames - self.frames_per_chunk
        if longest < 1 or not 0 <= self.latency_frames <= longest:
            raise ValueError(
                f"window_frames {self.window_frames} must exceed the {self.frames_per_chunk} "
                f"frames of a chunk, and latency_frames {self.latency_frames} be from 0 to the rest"
            )

    @property
    def bands(self) -> int:
        """Bands that are left after the last pooling."""
        bands = self.front_end.n_mels
        for block in self.blocks:
            bands //= block.pool[1]
        return bands

    @property
    def units(self) -> int:
        """Width of the embeddings."""
        return self.blocks[-1].channels * self.bands

    @property
    def frame_samples(self) -> int:
        """Samples of one score frame."""
        pooled = self.front_end.hop_samples
        for block in self.blocks:
            pooled *= block.pool[0]
        return pooled

    @property
    def frames_per_chunk(self) -> int:
        """Score frames of one exported step."""
        return self.chunk_samples // self.frame_samples

    @property
    def window_samples(self) -> int:
        """Samples of a window."""
        return self.window_frames * self.frame_samples


def _example(classes: tuple[str, ...]) -> TwoBranchTeacherConfig:
    return TwoBranchTeacherConfig(
        classes,
        front_end=FrontEndConfig(n_mels=32, n_fft=512),
        blocks=(BlockConfig(8, (2, 4)), BlockConfig(8, (2, 4)), BlockConfig(8, (1, 2))),
        branches=BranchesConfig(
            rnn_units=6, rnn_layers=2, tagging_units=8, detection_units=8, head_units=4
        ),
        projection=8,
        window_frames=20,
        latency_frames=6,
        chunk_samples=4096,
    )


@MODELS.register(TwoBranchTeacherConfig, example=_example)
class TwoBranchTeacher(SoundEventModel):
    """Centred convolutions that compress time, a tagging branch, a detection branch."""

    config: TwoBranchTeacherConfig

    def __init__(self, config: TwoBranchTeacherConfig) -> None:
        super().__init__()
        self.config = config
        self.front_end = LogMel(config.front_end)
        layers: list[nn.Module] = []
        channels = 1
        for block in config.blocks:
            for _ in range(config.convolutions):
                layers += [
                    nn.Conv2d(
                        channels,
                        block.channels,
                        block.kernel,
                        padding=block.kernel // 2,
                        bias=False,
                    ),
                    nn.BatchNorm2d(block.channels, eps=config.norm_eps),
                    nn.ReLU(),
                ]
                channels = block.channels
            layers += [nn.MaxPool2d(block.pool), Dropout(config.dropout)]
        self.cnn = nn.Sequential(*layers)
        self.tagging = TaggingBranch(config.units, len(config.classes), config.branches)
        self.head = DetectionBranch(config.units, len(config.classes), config.branches)
        self.projection = nn.Linear(config.units, config.projection, bias=False)

    def mels(self, audio: Tensor) -> Tensor:
        """Return linear mel bands of clips."""
        return super().mels(whole_frames(audio, self.config))

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips; see the base class. Features beyond the last whole frame are context alone.

        Further outputs: ``embeddings`` ``(B, T, D)``, ``tags`` ``(B, C)`` logits, and
        ``distilled`` ``(B, T, projection)``, what the student's is compared with.
        """
        x = self.cnn(features.unsqueeze(1))  # (B, C, T', F')
        x = x.permute(0, 2, 1, 3).flatten(2)
        tags = self.tagging(x, padding if padding is not None and padding.any() else None)
        with torch.autocast(x.device.type, enabled=False):
            clip = torch.sigmoid(tags.float())
        extra = {"embeddings": x, "tags": tags, "distilled": self.projection(x)}
        return Output(self.head(x), clip, extra)

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream would be, window for window; see the base class."""
        overlap = overlap_add(self.config, latency_frames).to(audio.device)
        return score_windows(self, audio, overlap, window_samples=self.config.window_samples)

    def look_aheads(self) -> range:
        """Return those that fit the window."""
        return window_look_aheads(self.config)

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function; its tags are of the window that ends now."""
        overlap = overlap_add(self.config, latency_frames)
        return WindowStep(self, overlap, window_samples=self.config.window_samples, tags=tags)
