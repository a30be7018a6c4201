"""MLFL: one encoder, three branches ("Sound event detection using metric learning and focal loss").

Embedding-level attention pooling yields tags, and its attention scores the frames' decision
surface; a detection branch scores every frame; a linear projection is what metric learning
compares. The published code's encoder is three plain convolutions without a recurrent layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from train.frontend import FrontEndConfig
from train.models.attention_pooling import AttentionPooling
from train.models.conv_encoder import ConvModel, ConvModelConfig, PlaneConfig
from train.models.model import Given, Output, Step, whole_frames
from train.models.registry import MODELS

PUBLISHED_PLANES = (
    PlaneConfig(160, (5, 5), (1, 4)),
    PlaneConfig(160, (5, 5), (1, 4)),
    PlaneConfig(160, (3, 3), (4, 4)),
)
"""The published code's, but for the pooling of four frames: its labels are of 20 ms."""


@dataclass(frozen=True)
class MLFLConfig(ConvModelConfig):
    """Size of an :class:`MLFL`; see :class:`ConvModelConfig` for most of it.

    Attributes:
        rnn_units: of a recurrent layer over the embeddings, forward in time; 0 for none, as in the
            published code. The paper does not describe the encoder.
        projection: features that metric learning compares.
        detection: which branch the scores of frames are of: the decision surface of the pooling
            (``surface``) or the detection branch.
        shares: of the features that each class sees (disentangled features); null for all.
        surface_bias: whether attention scores have a bias.
        window_frames: of the running tags on a stream. By default 156, 10 s of 64 ms frames.
        kind: names the model.
    """

    planes: tuple[PlaneConfig, ...] = PUBLISHED_PLANES
    shift_frames: int = 1
    rnn_units: int = 0
    projection: int = 64
    detection: Literal["surface", "branch"] = "surface"
    shares: tuple[float, ...] | None = None
    surface_bias: bool = False
    window_frames: int = 156
    kind: Literal["mlfl"] = "mlfl"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rnn_units < 0 or self.projection < 1:
            raise ValueError(
                f"rnn_units {self.rnn_units}, projection {self.projection}; must be 0 or more, "
                "and 1 or more"
            )
        if self.window_frames <= self.frames_per_chunk:
            raise ValueError(
                f"window_frames {self.window_frames} must exceed the "
                f"{self.frames_per_chunk} frames of a chunk"
            )

    @property
    def latency_frames(self) -> int:
        """Look-ahead of scores, which is trained in."""
        return self.shift_frames


def _example(classes: tuple[str, ...]) -> MLFLConfig:
    return MLFLConfig(
        classes,
        front_end=FrontEndConfig(n_mels=32, n_fft=512),
        planes=(PlaneConfig(8, (5, 5), (2, 4)), PlaneConfig(8, (3, 3), (2, 4))),
        shift_frames=2,
        projection=8,
        detection="branch",
        window_frames=22,
    )


@MODELS.register(MLFLConfig, example=_example)
class MLFL(ConvModel):
    """An encoder with pooling, detection and projection branches."""

    config: MLFLConfig

    def __init__(self, config: MLFLConfig) -> None:
        super().__init__(config)
        self.config = config
        units, classes = self.encoder.units, len(config.classes)
        self.rnn = nn.GRU(units, config.rnn_units, batch_first=True) if config.rnn_units else None
        units = config.rnn_units or units
        self.pooling = AttentionPooling(
            units, classes, shares=config.shares, bias=config.surface_bias
        )
        self.branch = nn.Linear(units, classes)
        self.projection = nn.Linear(units, config.projection, bias=False)

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips; see the base class.

        Further outputs: ``embeddings`` ``(B, T, D)``, ``surface`` and ``branch`` ``(B, T, C)``
        logits, ``tags`` ``(B, C)`` logits, and ``projection`` ``(B, T, 64)``.
        """
        halos = self.encoder.first(features.shape[0], features.device)
        x, _ = self.encoder(features, halos)
        x = self.dropout(x)
        if self.rnn is not None:
            x, _ = self.rnn(x)
        x = x[:, self.config.shift_frames :]
        pooled = self.pooling(x, padding)
        branch = self.branch(x)
        with torch.autocast(x.device.type, enabled=False):
            clip = torch.sigmoid(pooled.tags)
        extra = {
            "embeddings": x,
            "surface": pooled.surface,
            "branch": branch,
            "tags": pooled.tags,
            "projection": self.projection(x),
        }
        return Output(extra[self.config.detection], clip, extra)

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream would be; see the base class."""
        self.trained_latency(latency_frames)
        return self.running(audio)[0]

    def running(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of a stream and its tags at every step.

        Args:
            audio: ``(B, N)``; silence follows.

        Returns:
            ``(B, N // frame_samples, C)`` scores, and ``(B, K, C)`` tags, those of step ``k`` of
            the window that ends with it; as many steps as the scores take.
        """
        config = self.config
        hop, window, shift = config.frames_per_chunk, config.window_frames, config.shift_frames
        audio = whole_frames(audio, config)
        frames = audio.shape[1] // config.frame_samples
        count = -(-(frames + shift) // hop)
        audio = nn.functional.pad(audio, (0, count * config.chunk_samples - audio.shape[1]))
        features = self.front_end(self.front_end.pad(audio))
        x, _ = self.encoder(features, self.encoder.first(len(audio), audio.device))
        if self.rnn is not None:
            x, _ = self.rnn(x)
        surface, values = self.pooling.project(x)
        scores = torch.sigmoid(surface if config.detection == "surface" else self.branch(x))
        before = (0, 0, window - hop, 0)
        empty = torch.arange(window - hop + x.shape[1], device=x.device) < window - hop + shift
        tags = self.pooling.pool(
            nn.functional.pad(surface, before).unfold(1, window, hop).transpose(2, 3),
            nn.functional.pad(values, before).unfold(1, window, hop).transpose(2, 3),
            empty.unfold(0, window, hop),
        )
        return scores[:, shift : shift + frames], torch.sigmoid(tags)

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function; its tags are of the window that ends now."""
        self.trained_latency(latency_frames)
        return MLFLStep(self, tags=tags)


class MLFLStep(Step):
    """Keeps the encoder's halos and, for running tags, what the window's frames add to them."""

    places: Tensor

    def __init__(self, model: MLFL, *, tags: bool) -> None:
        super().__init__()
        self.model = model
        self.latency_frames = model.config.shift_frames
        self.tags = tags
        places = torch.arange(model.config.window_frames, dtype=torch.float32)
        self.register_buffer("places", places, persistent=False)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """See :class:`Step`."""
        config = self.model.config
        shapes = self.model.encoder_shapes()
        if config.rnn_units:
            shapes["rnn"] = (1, config.rnn_units)
        if self.tags:
            kept, classes = config.window_frames - config.frames_per_chunk, len(config.classes)
            shapes |= {"surface": (kept, classes), "values": (kept, classes), "count": (1,)}
        return shapes

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """See :class:`Step`."""
        features, samples = self.model.chunk_features(chunk, state[0])
        scores, tags, after = self.advance(features, state[1:])
        return (scores, *([] if tags is None else [tags]), samples, *after)

    def advance(
        self, features: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Return scores, tags if there are any, and the next states, but for the audio's."""
        model, config = self.model, self.model.config
        halos, rest = state[: len(model.encoder.shapes())], state[len(model.encoder.shapes()) :]
        x, after = model.encoder(features, halos)
        if model.rnn is not None:
            x, hidden = model.rnn(x, rest[0].transpose(0, 1).contiguous())
            after, rest = [*after, hidden.transpose(0, 1)], rest[1:]
        surface, values = model.pooling.project(x)
        scores = torch.sigmoid(surface if config.detection == "surface" else model.branch(x))
        if not self.tags:
            return scores, None, after
        surface = torch.cat([rest[0], surface], dim=1)
        values = torch.cat([rest[1], values], dim=1)
        # Counted no further than it matters, so that hour 40 is as exact as second 40.
        most = float(config.window_frames + config.shift_frames)
        count = torch.clamp(rest[2] + config.frames_per_chunk, max=most)
        empty = self.places < config.window_frames + config.shift_frames - count
        tags = torch.sigmoid(model.pooling.pool(surface, values, empty))
        hop = config.frames_per_chunk
        return scores, tags, [*after, surface[:, hop:], values[:, hop:], count]
