"""Plain causal convolutions over a log-mel spectrogram, then over time: no separable layers.

Each layer sees the present frame and those before it. A network that is to see frames after the
one that it scores is trained with its output compared to the labels of ``shift_frames`` earlier,
so the same layers serve whole clips and chunks of a stream. But for the edges of a clip this is
what centred convolutions compute, ``shift_frames`` later.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from streamsed.errors import ConfigError
from train.frontend import FrontEndConfig, LogMel
from train.models.dropout import Dropout
from train.models.model import SoundEventModel, check_chunk, whole_frames


@dataclass(frozen=True)
class PlaneConfig:
    """One convolution over time and bands, normalised, ReLU, then pooling.

    Attributes:
        channels: output channels.
        kernel: (frames, bands); the bands' must be odd.
        pool: (frames, bands) of which one is made.
    """

    channels: int
    kernel: tuple[int, int] = (3, 3)
    pool: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if min(self.channels, *self.kernel, *self.pool) < 1 or self.kernel[1] % 2 == 0:
            raise ValueError(
                f"channels {self.channels}, kernel {self.kernel}, pool {self.pool}; "
                "all must be 1 or more, and the kernel's bands odd"
            )


@dataclass(frozen=True)
class ConvModelConfig:
    """Size of a network that begins with plain convolutions.

    Attributes:
        classes: class names, in output order.
        front_end: the log-mel front end.
        planes: convolutions over time and bands.
        lines: output channels of the convolutions over time that follow; each sees 3 frames.
        pooling: whether pooling takes the largest value or the mean.
        norm_eps: of batch normalisation.
        dropout: before what follows the convolutions.
        shift_frames: score frames after the one that is scored that the convolutions see; no more
            than they see back, or they would not see the frame itself.
        chunk_samples: the hop of the exported step.
    """

    classes: tuple[str, ...]
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    planes: tuple[PlaneConfig, ...] = ()
    lines: tuple[int, ...] = ()
    pooling: Literal["max", "mean"] = "max"
    norm_eps: float = 1e-3
    dropout: float = 0.0
    shift_frames: int = 2
    chunk_samples: int = 4096

    def __post_init__(self) -> None:
        if not self.front_end.streams:
            raise ValueError(
                "a streaming model needs a front end of causal alignment with fixed statistics"
            )
        if not self.planes:
            raise ValueError("planes is empty; name at least one convolution")
        check_chunk(self.chunk_samples, self.frame_samples)
        if self.shift_frames < 0:
            raise ValueError(f"shift_frames {self.shift_frames} is negative")
        if self.bands < 1:
            raise ValueError(f"planes pool {self.front_end.n_mels} bands to none")
        if self.shift_frames * self.pooled_frames > self.frames_behind:
            raise ValueError(
                f"shift_frames {self.shift_frames}: the convolutions see {self.frames_behind} "
                f"feature frames back, and {self.pooled_frames} are one score frame, so they would "
                f"not see the frame that is scored; "
                f"at most {self.frames_behind // self.pooled_frames} would be right"
            )

    @property
    def kind(self) -> str:
        """Name of the model."""
        raise NotImplementedError

    @property
    def latency_frames(self) -> int:
        """Look-ahead of scores."""
        raise NotImplementedError

    @property
    def pooled_frames(self) -> int:
        """Feature frames of one score frame."""
        pooled = 1
        for plane in self.planes:
            pooled *= plane.pool[0]
        return pooled

    @property
    def frames_behind(self) -> int:
        """Feature frames before those of a score frame that the convolutions see."""
        behind, pooled = 0, 1
        for plane in self.planes:
            behind += (plane.kernel[0] - 1) * pooled
            pooled *= plane.pool[0]
        return behind + len(self.lines) * 2 * pooled

    @property
    def bands(self) -> int:
        """Bands that are left after the last pooling."""
        bands = self.front_end.n_mels
        for plane in self.planes:
            bands //= plane.pool[1]
        return bands

    @property
    def frame_samples(self) -> int:
        """Samples of one score frame."""
        return self.pooled_frames * self.front_end.hop_samples

    @property
    def frames_per_chunk(self) -> int:
        """Score frames of one exported step."""
        return self.chunk_samples // self.frame_samples

    @property
    def units(self) -> int:
        """Width of the embeddings."""
        return self.lines[-1] if self.lines else self.planes[-1].channels * self.bands


class CausalLayer(nn.Module):
    """Convolution of the present and earlier frames, batch normalisation, ReLU, pooling.

    The halo, the last ``kernel - 1`` input frames, is handed in and out, so nothing is computed
    twice. A kernel of one frame has none.
    """

    def __init__(
        self,
        channels_in: int,
        plane: PlaneConfig,
        bands: int,
        *,
        pooling: Literal["max", "mean"],
        norm_eps: float,
    ) -> None:
        super().__init__()
        self.halo_frames = plane.kernel[0] - 1
        self.halo_shape = (channels_in, self.halo_frames, bands)
        self.conv = nn.Conv2d(
            channels_in,
            plane.channels,
            plane.kernel,
            padding=(0, plane.kernel[1] // 2),
            bias=False,
        )
        self.norm = nn.BatchNorm2d(plane.channels, eps=norm_eps)
        pool = nn.MaxPool2d if pooling == "max" else nn.AvgPool2d
        self.pool = pool(plane.pool) if plane.pool != (1, 1) else nn.Identity()

    def forward(self, x: Tensor, halo: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Map ``(B, C, T, F)`` and its halo ``(B, C, halo_frames, F)`` to output and next halo."""
        if halo is not None:
            x = torch.cat([halo.to(x.dtype), x], dim=2)
            halo = x[:, :, -self.halo_frames :]
        return self.pool(torch.relu(self.norm(self.conv(x)))), halo


class ConvEncoder(nn.Module):
    """Convolutions over time and bands, then over time.

    Args:
        config: of the layers.
        conditions: channels that are given beside the spectrogram, the same in all bands: as
            further planes before the first convolution, and again before the part over time.
    """

    def __init__(self, config: ConvModelConfig, *, conditions: int = 0) -> None:
        super().__init__()
        self.conditions = conditions
        self.pooled_frames = config.pooled_frames
        channels, bands = 1 + conditions, config.front_end.n_mels
        self.layers = nn.ModuleList()
        for plane in config.planes:
            self.layers.append(
                CausalLayer(
                    channels, plane, bands, pooling=config.pooling, norm_eps=config.norm_eps
                )
            )
            channels, bands = plane.channels, bands // plane.pool[1]
        self.planes = len(config.planes)
        channels = channels * bands + conditions
        for units in config.lines:
            self.layers.append(
                CausalLayer(
                    channels,
                    PlaneConfig(units, kernel=(3, 1)),
                    1,
                    pooling=config.pooling,
                    norm_eps=config.norm_eps,
                )
            )
            channels = units
        self.units = channels

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape, without the batch axis, of every halo, in order."""
        return {
            f"layer{index}": layer.halo_shape
            for index, layer in enumerate(self._layers())
            if layer.halo_frames
        }

    def first(self, batch: int, device: torch.device | str) -> list[Tensor]:
        """Return the halos of streams that have received nothing."""
        return [torch.zeros(batch, *shape, device=device) for shape in self.shapes().values()]

    def forward(
        self, features: Tensor, halos: Sequence[Tensor], conditions: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Turn features into embeddings.

        Args:
            features: ``(B, T, F)``.
            halos: of the layers that have one.
            conditions: ``(B, T', conditions)``, of each score frame.

        Returns:
            ``(B, T', units)``, one embedding a score frame, and the next halos.
        """
        x, rest, after = features.unsqueeze(1), list(halos), []
        if conditions is not None:
            wide = conditions.transpose(1, 2).repeat_interleave(self.pooled_frames, dim=2)
            x = torch.cat([x, wide[:, :, :, None].expand(-1, -1, -1, x.shape[3]).to(x.dtype)], 1)
        for index, layer in enumerate(self._layers()):
            if index == self.planes:
                x = self._flat(x, conditions).unsqueeze(3)
            x, halo = layer(x, rest.pop(0) if layer.halo_frames else None)
            if halo is not None:
                after.append(halo)
        if len(self.layers) == self.planes:
            return self._flat(x, conditions).transpose(1, 2), after
        return x.squeeze(3).transpose(1, 2), after

    def _flat(self, x: Tensor, conditions: Tensor | None) -> Tensor:
        """Return ``(B, C * F, T')``, and the conditions beside it, of ``(B, C, T', F)``."""
        x = x.permute(0, 1, 3, 2).flatten(1, 2)
        if conditions is None:
            return x
        return torch.cat([x, conditions.transpose(1, 2).to(x.dtype)], dim=1)

    def _layers(self) -> list[CausalLayer]:
        return [layer for layer in self.layers if isinstance(layer, CausalLayer)]


class ConvModel(SoundEventModel, ABC):
    """Log-mel and plain convolutions; what follows is the subclass's."""

    config: ConvModelConfig

    def __init__(self, config: ConvModelConfig, *, conditions: int = 0) -> None:
        super().__init__()
        self.front_end = LogMel(config.front_end)
        self.encoder = ConvEncoder(config, conditions=conditions)
        self.dropout = Dropout(config.dropout)

    def mels(self, audio: Tensor) -> Tensor:
        """Return linear mel bands of clips with silence for the look-ahead behind them."""
        ahead = self.config.shift_frames * self.config.frame_samples
        with torch.autocast(audio.device.type, enabled=False):
            samples = self.front_end.pad(whole_frames(audio, self.config), ahead_samples=ahead)
            return self.front_end.mels(samples)

    def encode(self, features: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Return the embeddings ``(B, T', D)`` of whole clips, each in its frame's place."""
        halos = self.encoder.first(features.shape[0], features.device)
        embeddings, _ = self.encoder(features, halos, conditions)
        shifted: Tensor = embeddings[:, self.config.shift_frames :]
        return shifted

    def encoder_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of the audio halo and of the encoder's states."""
        return {"samples": (self.config.front_end.halo_samples,), **self.encoder.shapes()}

    def trained_latency(self, latency_frames: int | None) -> int:
        """Return the look-ahead that is trained in.

        Raises:
            ConfigError: another is asked for.
        """
        trained = self.config.shift_frames
        if latency_frames not in (None, trained):
            raise ConfigError(
                f"a {self.config.kind} trained with a look-ahead of {trained} frames "
                f"cannot be run with {latency_frames}"
            )
        return trained
