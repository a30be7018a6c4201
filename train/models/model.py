"""What every model offers, to training, to validation and to export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import Field
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from streamsed.errors import ConfigError
from train.frontend import FrontEndConfig, LogMel
from train.models.frozen import hold


class ModelConfig(Protocol):
    """What all configurations have, whatever the model.

    Attributes:
        kind: names the model's class; see :mod:`train.models.registry`.
        classes: class names, in output order.
        front_end: the log-mel front end.
        frame_samples: samples of one score frame.
        chunk_samples: samples of one exported step, a whole number of score frames.
        latency_frames: look-ahead of scores unless another is asked for.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def front_end(self) -> FrontEndConfig: ...  # noqa: D102
    @property
    def frame_samples(self) -> int: ...  # noqa: D102
    @property
    def chunk_samples(self) -> int: ...  # noqa: D102
    @property
    def latency_frames(self) -> int: ...  # noqa: D102


class Output(NamedTuple):
    """What a model returns for clips in training.

    Attributes:
        frames: ``(B, T, C)`` logits; frame ``t`` is about the ``t``-th score frame of the clip,
            whatever the model's look-ahead.
        clip: ``(B, C)`` float32 in [0, 1], whether the class is in the clip; None for a model
            without a clip-level head. A probability, not a logit: take its loss outside autocast.
        extra: further outputs by name, batch axis first; ``embeddings`` ``(B, T, D)`` are what the
            heads of a detector are given.
    """

    frames: Tensor
    clip: Tensor | None = None
    extra: Mapping[str, Tensor] = MappingProxyType({})


Given = Mapping[str, Tensor]
"""Further inputs by name, batch axis first."""


class Step(nn.Module, ABC):
    """``scores, [tags,] next_state... = step(chunk, state...)``: what is exported.

    Attributes:
        latency_frames: the scores of a step end this many frames before the end of its chunk.
        tags: whether a step also yields ``(B, C)`` tags.
    """

    latency_frames: int
    tags: bool

    @abstractmethod
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape, without the batch axis, of every state tensor, in order."""

    def initial_state(self, batch: int, device: torch.device | str = "cpu") -> tuple[Tensor, ...]:
        """Return the state of streams at their beginning: zeros, ``(batch, *shape)`` each."""
        return tuple(
            torch.zeros(batch, *shape, device=device) for shape in self.state_shapes().values()
        )

    @abstractmethod
    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Advance streams by one chunk.

        Args:
            chunk: ``(B, chunk_samples)`` float32.
            *state: in the order of :meth:`state_shapes`.

        Returns:
            ``(B, frames_per_chunk, C)`` scores in [0, 1], the tags if there are any, and the next
            states.
        """


class SoundEventModel(nn.Module, ABC):
    """A network with its front end inside.

    Training takes it apart: ``mels`` (mix these up), ``front_end.features`` (mask these), ``clip``
    (compare with labels); ``detect`` is the three in one. Validation calls ``scores``, export
    ``step``, and the two agree.

    Attributes:
        takes: names of what ``clip`` is given beside features, such as ``tags``.
        from_audio: whether training calls ``detect``, because mel bands are made within the model.
        parts: names of the submodules of which one may be left as it is, by :meth:`freeze`.
        begins_with: where training cannot begin with random weights, what makes a checkpoint.
    """

    takes: ClassVar[tuple[str, ...]] = ()
    from_audio: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ()
    begins_with: ClassVar[str | None] = None
    config: ModelConfig
    front_end: LogMel

    _held: str | None = None

    def freeze(self, part: str | None) -> None:
        """Leave a part as it is in training: weights, dropout and batch statistics; or none."""
        self._held = part
        for name in self.parts:
            getattr(self, name).requires_grad_(name != part)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the part that is left as it is."""
        super().train(mode)
        if self._held is not None:
            hold(getattr(self, self._held))
        return self

    def mels(self, audio: Tensor) -> Tensor:
        """Return linear mel bands ``(B, T, n_mels)`` of clips ``(B, N)``, as ``clip`` expects them.

        Lead-in and look-ahead are added as silence (or by reflection, in the centred form).
        Samples beyond the last whole score frame may be left out.
        """
        with torch.autocast(audio.device.type, enabled=False):
            return self.front_end.mels(self.front_end.pad(audio))

    def chunk_features(self, chunk: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features ``(B, T, F)`` of a chunk and the next audio halo.

        Args:
            chunk: ``(B, n)``, a whole number of score frames.
            samples: the audio halo, ``(B, halo_samples)``.
        """
        with torch.autocast(chunk.device.type, enabled=False):
            samples = torch.cat([samples, chunk], dim=1)
            return self.front_end(samples), samples[:, -self.config.front_end.halo_samples :]

    def detect(
        self, audio: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips ``(B, N)`` for training, from audio; the rest as :meth:`clip`."""
        return self.clip(self.front_end.features(self.mels(audio)), padding, given)

    @abstractmethod
    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips for training.

        Args:
            features: ``(B, T, n_mels)``, scaled, from :meth:`mels`.
            padding: ``(B, N // frame_samples)`` bool, True for score frames beyond the end of a
                clip, which take no part in the clip-level output; None for none.
            given: what the model takes beside features, by the names in ``takes``.
        """

    @abstractmethod
    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream would be scored from its beginning, each frame in its place.

        Args:
            audio: ``(B, N)`` float32.
            latency_frames: look-ahead; None for the configuration's.

        Returns:
            ``(B, N // frame_samples, C)`` in [0, 1]; silence follows the clip.

        Raises:
            ConfigError: the model cannot be run with this look-ahead.
        """

    def look_aheads(self) -> range:
        """Return the look-aheads, in score frames, that the model can be run with.

        Those of windowed models are many; by default there is but the one that is trained in.
        """
        trained = self.config.latency_frames
        return range(trained, trained + 1)

    @abstractmethod
    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function, sharing this model's weights.

        Args:
            latency_frames: look-ahead; None for the configuration's.
            tags: whether it also yields the clip-level output.

        Raises:
            ConfigError: the model cannot be run with this look-ahead, or has no clip-level head.
        """

    def refuse_tags(self) -> ConfigError:
        """Return the error of a model that is asked for tags and has none to give."""
        return ConfigError(f"a {self.config.kind} of this configuration yields no tags")


def whole_frames(audio: Tensor, config: ModelConfig) -> Tensor:
    """Return ``audio`` ``(B, N)`` without the samples beyond the last whole score frame."""
    return audio[:, : audio.shape[1] // config.frame_samples * config.frame_samples]


def check_chunk(chunk_samples: int, frame_samples: int) -> None:
    """Refuse a chunk that is no whole number of score frames.

    Raises:
        ValueError: it is not.
    """
    if chunk_samples < 1 or chunk_samples % frame_samples:
        raise ValueError(
            f"chunk_samples {chunk_samples} is no multiple of the score frame, "
            f"{frame_samples} samples"
        )
