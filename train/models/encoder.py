"""Causal convolutions over a log-mel spectrogram: the part that the streaming models share."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from train.frontend import FrontEndConfig, LogMel
from train.models.model import SoundEventModel, check_chunk

HALO_FRAMES = 2
"""Frames before the present that every convolution sees."""


@dataclass(frozen=True)
class StageConfig:
    """One stage: depthwise-separable blocks, then average pooling.

    Attributes:
        channels: output channels.
        blocks: blocks in the stage; those after the first are residual.
        pool_time: frames averaged into one.
        pool_bands: frequency bands averaged into one.
    """

    channels: int
    blocks: int = 1
    pool_time: int = 1
    pool_bands: int = 2


@dataclass(frozen=True)
class EncoderConfig:
    """Size of a causal encoder, and what all models with one have.

    Attributes:
        classes: class names, in output order.
        front_end: the log-mel front end.
        stem_channels: channels of the first, full convolution.
        stem_stride: its stride in (time, bands); it keeps the layers behind it cheap.
        stages: the depthwise-separable stages.
        rnn_units: width of the embeddings and of the recurrent layers.
        rnn_layers: number of these layers.
        dropout: before and after the recurrent layers.
        latency_frames: look-ahead: the scores of step ``k`` belong to frames this much earlier.
        chunk_samples: the hop of the exported step.
    """

    classes: tuple[str, ...]
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    stem_channels: int = 32
    stem_stride: tuple[int, int] = (2, 2)
    stages: tuple[StageConfig, ...] = (
        StageConfig(64, blocks=1, pool_time=2, pool_bands=2),
        StageConfig(96, blocks=2),
        StageConfig(128, blocks=2),
        StageConfig(192, blocks=2, pool_bands=1),
    )
    rnn_units: int = 192
    rnn_layers: int = 2
    dropout: float = 0.3
    latency_frames: int = 6
    chunk_samples: int = 4096

    def __post_init__(self) -> None:
        if not self.front_end.streams:
            raise ValueError(
                "a streaming model needs a front end of causal alignment with fixed statistics"
            )
        check_chunk(self.chunk_samples, self.frame_samples)
        if self.latency_frames < 0:
            raise ValueError(f"latency_frames {self.latency_frames} is negative")

    @property
    def frame_samples(self) -> int:
        """Samples of one score frame."""
        pooled = self.stem_stride[0]
        for stage in self.stages:
            pooled *= stage.pool_time
        return pooled * self.front_end.hop_samples

    @property
    def frames_per_chunk(self) -> int:
        """Score frames of one exported step."""
        return self.chunk_samples // self.frame_samples


class CausalConv(nn.Module):
    """Convolution that sees the present and the two frames before it.

    The halo, the last two input frames, is handed in and out, so nothing is computed twice. With
    stride ``s`` the kernel is ``s + 2`` wide: each output sees its ``s`` inputs and a halo.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        bands: int,
        *,
        stride: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.halo_shape = (channels_in, HALO_FRAMES, bands)
        self.conv = nn.Conv2d(
            channels_in,
            channels_out,
            (stride[0] + HALO_FRAMES, stride[1] + 2),
            stride=stride,
            padding=(0, 1),
            groups=groups,
            bias=False,
        )

    def forward(self, x: Tensor, halo: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, C, T, F)`` and its halo ``(B, C, 2, F)`` to the output and the next halo."""
        extended = torch.cat([halo.to(x.dtype), x], dim=2)
        return self.conv(extended), extended[:, :, -HALO_FRAMES:]


class Block(nn.Module):
    """Depthwise 3x3, pointwise 1x1, each normalised; residual where the shapes allow."""

    def __init__(self, channels_in: int, channels_out: int, bands: int) -> None:
        super().__init__()
        self.depthwise = CausalConv(channels_in, channels_in, bands, groups=channels_in)
        self.depthwise_norm = nn.BatchNorm2d(channels_in)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(channels_out)
        self.residual = channels_in == channels_out

    def forward(self, x: Tensor, halo: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, C, T, F)`` and its halo to ``(B, C', T, F)`` and the next halo."""
        y, halo = self.depthwise(x, halo)
        y = torch.relu(self.depthwise_norm(y))
        y = self.pointwise_norm(self.pointwise(y))
        return torch.relu(x + y if self.residual else y), halo


class CausalEncoder(SoundEventModel, ABC):
    """Log-mel and depthwise-separable causal convolutions; what follows is the subclass's."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.front_end = LogMel(config.front_end)
        bands = config.front_end.n_mels
        self.stem = CausalConv(1, config.stem_channels, bands, stride=config.stem_stride)
        self.stem_norm = nn.BatchNorm2d(config.stem_channels)
        bands //= config.stem_stride[1]

        channels = config.stem_channels
        self.blocks = nn.ModuleList()
        self.pools = nn.ModuleList()
        for stage in config.stages:
            for index in range(stage.blocks):
                self.blocks.append(Block(channels, stage.channels, bands))
                channels = stage.channels
                last = index == stage.blocks - 1
                pool = (stage.pool_time, stage.pool_bands) if last else (1, 1)
                self.pools.append(nn.AvgPool2d(pool) if pool != (1, 1) else nn.Identity())
            bands //= stage.pool_bands
        self.project = nn.Linear(channels * bands, config.rnn_units)

    def encoder_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of the encoder's states: the audio halo, then the halos."""
        shapes: dict[str, tuple[int, ...]] = {
            "samples": (self.config.front_end.halo_samples,),
            "stem": self.stem.halo_shape,
        }
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            shapes[f"block{index}"] = block.depthwise.halo_shape
        return shapes

    def first_halos(self, batch: int, device: torch.device | str) -> list[Tensor]:
        """Return the halos of streams at their beginning, without the audio's."""
        shapes = list(self.encoder_shapes().values())[1:]
        return [torch.zeros(batch, *shape, device=device) for shape in shapes]

    def encode(self, features: Tensor, halos: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Turn features into embeddings.

        Args:
            features: ``(B, T, F)``.
            halos: of the stem and of each block.

        Returns:
            ``(B, T', rnn_units)``, one embedding a score frame, and the next halos.
        """
        x, halo = self.stem(features.unsqueeze(1), halos[0])
        after = [halo]
        x = torch.relu(self.stem_norm(x))
        for block, pool, halo in zip(self.blocks, self.pools, halos[1:], strict=True):
            x, halo_after = block(x, halo)
            after.append(halo_after)
            x = pool(x)
        # Channels last, as the runtime's blocked convolutions can write them at no cost; the
        # weights are stored for (channels, bands).
        weight = self.project.weight.view(-1, x.shape[1], x.shape[3]).transpose(1, 2)
        x = x.permute(0, 2, 3, 1).flatten(2)  # (B, frames, bands * channels)
        return torch.relu(nn.functional.linear(x, weight.flatten(1), self.project.bias)), after
