"""FBCRNN: forward and backward networks that tag what has been and what is to come.

J. Ebbers and R. Haeb-Umbach, "Forward-backward convolutional recurrent neural networks and
tag-conditioned convolutional neural networks", DCASE 2020. Two GRUs run over the embeddings of a
clip, one from either end, each with a head of its own. They learn from tags: at every frame, one of
the two can know a tag of the clip. Events are detected by tagging short windows around each frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from streamsed.errors import ConfigError
from train.frontend import FrontEndConfig
from train.models.context import held_gru
from train.models.conv_encoder import ConvModel, ConvModelConfig, PlaneConfig
from train.models.model import Given, Output, Step, whole_frames
from train.models.registry import MODELS

WINDOWS_AT_ONCE = 4096
"""Windows that are scored together offline; bounds memory."""

PUBLISHED_PLANES = (
    PlaneConfig(16),
    PlaneConfig(16, pool=(1, 2)),
    PlaneConfig(32),
    PlaneConfig(32, pool=(1, 2)),
    PlaneConfig(64),
    PlaneConfig(64, pool=(1, 2)),
    PlaneConfig(128),
    PlaneConfig(128, pool=(1, 2)),
    PlaneConfig(256, pool=(4, 1)),
)
"""The published code's, but for the pooling of four frames: its scores are of 20 ms."""


@dataclass(frozen=True)
class FBCRNNConfig(ConvModelConfig):
    """Size of an :class:`FBCRNN`; see :class:`ConvModelConfig` for most of it.

    Attributes:
        rnn_units: of each of the two recurrent networks, and of the heads' hidden layer.
        rnn_layers: of each.
        context_frames: frames before and after the one that is scored that its window holds, of
            all classes or of each: the paper tunes it per class among 0.1, 0.2, 0.3 and 0.4 s.
            Export or validation may set another look-ahead, which is that of all classes, or
            the most that any class of its own context has.
        longest_context_frames: the most that can be asked for.
        window_frames: of the running tags on a stream. By default 156, 10 s of 64 ms frames.
        kind: names the model.
    """

    planes: tuple[PlaneConfig, ...] = PUBLISHED_PLANES
    lines: tuple[int, ...] = (256, 256, 256)
    shift_frames: int = 1
    rnn_units: int = 256
    rnn_layers: int = 2
    context_frames: int | tuple[int, ...] = 5
    longest_context_frames: int = 32
    window_frames: int = 156
    kind: Literal["fbcrnn"] = "fbcrnn"

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.rnn_units, self.rnn_layers) < 1:
            raise ValueError("rnn_units and rnn_layers must be 1 or more")
        own = self.context_frames
        if isinstance(own, tuple) and len(own) != len(self.classes):
            raise ValueError(
                f"context_frames has {len(own)} values for {len(self.classes)} classes"
            )
        if any(not 0 <= frames <= self.longest_context_frames for frames in self.contexts):
            raise ValueError(f"context_frames {own} is not in 0 to {self.longest_context_frames}")
        if self.window_frames <= self.frames_per_chunk:
            raise ValueError(
                f"window_frames {self.window_frames} must exceed the "
                f"{self.frames_per_chunk} frames of a chunk"
            )

    @property
    def contexts(self) -> tuple[int, ...]:
        """Context of each class."""
        own = self.context_frames
        return own if isinstance(own, tuple) else (own,) * len(self.classes)

    @property
    def latency_frames(self) -> int:
        """Look-ahead of scores: the convolutions' and the longest window's."""
        return self.shift_frames + max(self.contexts)


class Direction(nn.Module):
    """GRU layers over time, forward or backward, and their head."""

    def __init__(self, units_in: int, units: int, layers: int, classes: int, *, reverse: bool):
        super().__init__()
        self.reverse = reverse
        self.layers = nn.ModuleList(
            nn.GRU(units_in if index == 0 else units, units, batch_first=True)
            for index in range(layers)
        )
        self.hidden = nn.Linear(units, units)
        self.norm = nn.BatchNorm1d(units)
        self.output = nn.Linear(units, classes)

    def run(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map ``(B, T, D)`` to ``(B, T, units)``; frames that are not valid change nothing."""
        if self.reverse:
            x, valid = x.flip(1), None if valid is None else valid.flip(1)
        for layer in self.layers:
            assert isinstance(layer, nn.GRU)
            x = layer(x)[0] if valid is None else held_gru(layer, x, valid)
        return x.flip(1) if self.reverse else x

    def head(self, hidden: Tensor) -> Tensor:
        """Map ``(..., units)`` to logits ``(..., C)``."""
        flat = self.norm(self.hidden(hidden.flatten(0, -2)))
        logits: Tensor = self.output(torch.relu(flat))
        return logits.view(*hidden.shape[:-1], -1)

    def end(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return probabilities ``(B, C)`` after all frames of ``(B, T, D)`` have been run over."""
        hidden = self.run(x, valid)
        return torch.sigmoid(self.head(hidden[:, 0] if self.reverse else hidden[:, -1]))


def _example(classes: tuple[str, ...]) -> FBCRNNConfig:
    return FBCRNNConfig(
        classes,
        front_end=FrontEndConfig(n_mels=32, n_fft=512),
        planes=(PlaneConfig(8, (5, 5), (2, 4)), PlaneConfig(8, (3, 3), (2, 4))),
        lines=(16,),
        shift_frames=1,
        context_frames=3,
        longest_context_frames=8,
        rnn_units=8,
        window_frames=22,
    )


@MODELS.register(FBCRNNConfig, example=_example)
class FBCRNN(ConvModel):
    """Convolutions, a forward and a backward network."""

    config: FBCRNNConfig

    def __init__(self, config: FBCRNNConfig) -> None:
        super().__init__(config)
        self.config = config
        units, classes = self.encoder.units, len(config.classes)
        size = (units, config.rnn_units, config.rnn_layers, classes)
        self.forwards = Direction(*size, reverse=False)
        self.backwards = Direction(*size, reverse=True)

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips; see the base class.

        Frames are scored by boundaries, the lesser of the two logits: the class has been in the
        clip by then, and is in it from then on. The clip's tags are the mean of what the forward
        network returns at its end and the backward network at its beginning. Further outputs:
        ``embeddings`` ``(B, T, D)``, ``forward`` and ``backward`` ``(B, T, C)`` logits.
        """
        x = self.dropout(self.encode(features))
        valid = None if padding is None or not padding.any() else ~padding
        forward = self.forwards.head(self.forwards.run(x, valid))
        backward = self.backwards.head(self.backwards.run(x, valid))
        ends = torch.sigmoid(forward[:, -1].float()), torch.sigmoid(backward[:, 0].float())
        extra = {"embeddings": x, "forward": forward, "backward": backward}
        return Output(torch.minimum(forward, backward), 0.5 * (ends[0] + ends[1]), extra)

    def tag(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the probabilities ``(B, C)`` of windows of embeddings ``(B, T, D)``."""
        return 0.5 * (self.forwards.end(x, valid) + self.backwards.end(x, valid))

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream would be, by tagging a window around every frame."""
        config, contexts = self.config, self.contexts_of(latency_frames)
        audio = whole_frames(audio, config)
        frames = audio.shape[1] // config.frame_samples
        audio = nn.functional.pad(audio, (0, max(contexts) * config.frame_samples))
        x = self.encode(self.front_end.features(self.mels(audio)))
        return by_context(contexts, lambda context: self._around(x, frames, context))

    def _around(self, x: Tensor, frames: int, context: int) -> Tensor:
        """Tag a window ``(B, T, C)`` around each of the first ``frames`` of embeddings."""
        valid = torch.arange(-context, frames + context, device=x.device) >= 0
        x = nn.functional.pad(x[:, : frames + context], (0, 0, context, 0))
        windows = x.unfold(1, 2 * context + 1, 1).transpose(2, 3)
        valid = valid.unfold(0, 2 * context + 1, 1).repeat(len(x), 1)
        parts = [
            self.tag(part, part_valid)
            for part, part_valid in zip(
                torch.split(windows.flatten(0, 1), WINDOWS_AT_ONCE),
                torch.split(valid, WINDOWS_AT_ONCE),
                strict=True,
            )
        ]
        return torch.cat(parts).view(len(x), frames, -1)

    def look_aheads(self) -> range:
        """Return the look-aheads that windows around a frame can have."""
        config = self.config
        own = isinstance(config.context_frames, tuple)
        longest = max(config.contexts) if own else config.longest_context_frames
        return range(config.shift_frames, config.shift_frames + longest + 1)

    def contexts_of(self, latency_frames: int | None) -> tuple[int, ...]:
        """Return the frames before and after a frame that each class's window holds.

        Args:
            latency_frames: the look-ahead of all classes; where each has its own context, the most
                that any may have. None for the configuration's.

        Raises:
            ConfigError: there are no such windows.
        """
        config = self.config
        if latency_frames is None:
            return config.contexts
        spans = self.look_aheads()
        if latency_frames not in spans:
            raise ConfigError(
                f"a look-ahead of {latency_frames} frames does not fit this fbcrnn; "
                f"choose {spans[0]} to {spans[-1]}"
            )
        most = latency_frames - config.shift_frames
        if isinstance(config.context_frames, int):
            return (most,) * len(config.classes)
        return tuple(min(context, most) for context in config.contexts)

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function; its tags are of the long window that ends now."""
        return _FBCRNNStep(self, self.contexts_of(latency_frames), tags=tags)


def by_context(contexts: Sequence[int], scored: Callable[[int], Tensor]) -> Tensor:
    """Return scores ``(B, T, C)``, those of each class with its own context.

    Args:
        contexts: of the classes.
        scored: returns the scores of all classes with one context, ``(B, T, C)``.
    """
    longest, *others = sorted(set(contexts), reverse=True)
    scores = scored(longest)
    for other in others:
        own = torch.tensor([context == other for context in contexts], device=scores.device)
        scores = torch.where(own, scored(other), scores)
    return scores


class _FBCRNNStep(Step):
    """Keeps the encoder's halos, the embeddings of the window, and how many there have been."""

    places: Tensor

    def __init__(self, model: FBCRNN, contexts: tuple[int, ...], *, tags: bool) -> None:
        super().__init__()
        self.model = model
        self.contexts = contexts
        self.latency_frames = model.config.shift_frames + max(contexts)
        self.tags = tags
        hop = model.config.frames_per_chunk
        self.held = max(2 * max(contexts), model.config.window_frames - hop if tags else 0)
        places = torch.arange(self.held + hop, dtype=torch.float32)
        self.register_buffer("places", places, persistent=False)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = self.model.encoder_shapes()
        if self.held:
            shapes["window"] = (self.held, self.model.encoder.units)
        return {**shapes, "count": (1,)}

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        model, hop = self.model, self.model.config.frames_per_chunk
        samples, *halos = state[: 1 + len(model.encoder.shapes())]
        features, samples = model.chunk_features(chunk, samples)
        x, after = model.encoder(features, halos)
        if self.held:
            x = torch.cat([state[-2], x], dim=1)
        most = float(self.held + hop + model.config.shift_frames)
        count = torch.clamp(state[-1] + hop, max=most)
        valid = self.places >= most - count
        scores = by_context(self.contexts, lambda context: self._scores(x, valid, context))
        results = [scores]
        if self.tags:
            long = model.config.window_frames
            results.append(model.tag(x[:, -long:], valid[:, -long:]))
        kept = [x[:, hop:]] if self.held else []
        return (*results, samples, *after, *kept, count)

    def _scores(self, x: Tensor, valid: Tensor, context: int) -> Tensor:
        """Tag the windows around the newest frames that the longest windows have come to."""
        hop, wide = self.model.config.frames_per_chunk, 2 * context + 1
        first = x.shape[1] - hop - max(self.contexts) - context
        windows: Sequence[int] = range(first, first + hop)
        x = torch.stack([x[:, start : start + wide] for start in windows], dim=1)
        valid = torch.stack([valid[:, start : start + wide] for start in windows], dim=1)
        tags = self.model.tag(x.flatten(0, 1), valid.flatten(0, 1))
        return tags.view(-1, hop, tags.shape[1])
