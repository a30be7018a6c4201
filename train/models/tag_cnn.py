"""Tag-conditioned CNN: where in a clip the classes are that another network found in it.

J. Ebbers and R. Haeb-Umbach, DCASE 2020, as paper (a) uses it: the tags are MLFL's. They are given
twice, as planes beside the spectrogram and again before the convolutions over time. The network
that tags is a part of this one and stays as it is; on a stream its tags are those of the window
that ends now, so a frame is scored under the newest tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from train.models.conv_encoder import ConvModel, ConvModelConfig, PlaneConfig
from train.models.fbcrnn import PUBLISHED_PLANES
from train.models.mlfl import MLFL, MLFLConfig, MLFLStep
from train.models.model import Given, Output, Step, whole_frames
from train.models.registry import MODELS

TAGS = "tags"
"""The input that the tags of clips come by, ``(B, C)`` in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class TagCNNConfig(ConvModelConfig):
    """Size of a :class:`TagCNN`; see :class:`ConvModelConfig` for most of it.

    Attributes:
        tagger: the MLFL that tags; classes, front end, score frames and steps are the same. Null
            in a recipe: it is that of the checkpoint that training begins with.
        threshold: tags are 0 or 1, by this; null gives them as the probabilities that they are,
            which change the scores no more than they change themselves.
        kind: names the model.
    """

    tagger: MLFLConfig | None = None
    planes: tuple[PlaneConfig, ...] = PUBLISHED_PLANES
    lines: tuple[int, ...] = (256, 256)
    shift_frames: int = 4
    threshold: float | None = None
    kind: Literal["tag_cnn"] = "tag_cnn"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tagger is not None:
            for name in ("classes", "front_end", "frame_samples", "chunk_samples"):
                if getattr(self, name) != getattr(self.tagger, name):
                    raise ValueError(f"{name} differs from the tagger's")
            if self.shift_frames < self.tagger.shift_frames:
                raise ValueError(
                    f"shift_frames {self.shift_frames} is below the tagger's "
                    f"{self.tagger.shift_frames}, which it waits for"
                )
        if not self.lines:
            raise ValueError("lines is empty; tags are given again before them")
        if self.threshold is not None and not 0.0 < self.threshold < 1.0:
            raise ValueError(f"threshold {self.threshold}; must be between 0 and 1, or null")

    @property
    def latency_frames(self) -> int:
        """Look-ahead of scores, which is trained in."""
        return self.shift_frames


def _example(classes: tuple[str, ...]) -> TagCNNConfig:
    tagger = MODELS.example("mlfl")(classes)
    return TagCNNConfig(
        classes=classes,
        front_end=tagger.front_end,
        planes=tagger.planes,
        lines=(16, 16),
        shift_frames=3,
        tagger=tagger,
    )


@MODELS.register(TagCNNConfig, example=_example)
class TagCNN(ConvModel):
    """Convolutions that are given tags, and the network that tags where none are given.

    Args:
        config: of both.
        tagger: already trained; None for a new one.
    """

    takes: ClassVar[tuple[str, ...]] = (TAGS,)
    config: TagCNNConfig

    def __init__(self, config: TagCNNConfig, *, tagger: MLFL | None = None) -> None:
        tagged_by = config.tagger
        if tagged_by is None:  # one of the same sizes stands in, until training puts its own here
            tagged_by = MLFLConfig(
                config.classes,
                front_end=config.front_end,
                planes=config.planes,
                shift_frames=config.shift_frames,
                chunk_samples=config.chunk_samples,
            )
            config = replace(config, tagger=tagged_by)
        super().__init__(config, conditions=len(config.classes))
        self.config, self.tagged_by = config, tagged_by
        self.tagger = MLFL(tagged_by) if tagger is None else tagger
        self.tagger.requires_grad_(False)
        # One front end, with one scaling: both see the same features.
        self.front_end = self.tagger.front_end
        self.output = nn.Linear(self.encoder.units, len(config.classes))

    def train(self, mode: bool = True) -> TagCNN:
        """Set the mode of all but the tagger, which is always in evaluation mode."""
        super().train(mode)
        self.tagger.eval()
        return self

    def conditions(self, tags: Tensor) -> Tensor:
        """Return tags as the network is given them."""
        threshold = self.config.threshold
        return tags if threshold is None else (tags > threshold).to(tags.dtype)

    def own_tags(self, features: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return the tagger's probabilities ``(B, C)`` for clips."""
        with torch.no_grad():
            surplus = self.config.shift_frames - self.tagged_by.shift_frames
            frames = features.shape[1] - surplus * self.config.pooled_frames
            tags = self.tagger.clip(features[:, :frames], padding).clip
        assert tags is not None
        return tags

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips; see the base class. ``tags`` may be given; else they are the tagger's.

        The clip-level output is the tagger's. Further outputs: ``embeddings`` ``(B, T, D)``.
        """
        own = self.own_tags(features, padding)
        tags = self.conditions(own if given is None or TAGS not in given else given[TAGS])
        frames = features.shape[1] // self.config.pooled_frames
        x = self.encode(features, tags[:, None].expand(-1, frames, -1))
        x = self.dropout(x)
        return Output(self.output(x), own, {"embeddings": x})

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream would be, under the tags of each step; see the base class."""
        ahead = self.trained_latency(latency_frames)
        config = self.config
        hop = config.frames_per_chunk
        audio = whole_frames(audio, config)
        frames = audio.shape[1] // config.frame_samples
        count = -(-(frames + ahead) // hop)
        audio = nn.functional.pad(audio, (0, count * config.chunk_samples - audio.shape[1]))
        _, tags = self.tagger.running(audio)
        conditions = self.conditions(tags[:, :count]).repeat_interleave(hop, dim=1)
        features = self.front_end(self.front_end.pad(audio))
        x, _ = self.encoder(features, self.encoder.first(len(audio), audio.device), conditions)
        return torch.sigmoid(self.output(x))[:, ahead : ahead + frames]

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function; its tags are the tagger's of the window that ends now."""
        self.trained_latency(latency_frames)
        return _TagCNNStep(self, tags=tags)


class _TagCNNStep(Step):
    """Keeps the tagger's states and the halos of the network that is given its tags."""

    def __init__(self, model: TagCNN, *, tags: bool) -> None:
        super().__init__()
        self.model = model
        self.tagger = MLFLStep(model.tagger, tags=True)
        self.latency_frames = model.config.shift_frames
        self.tags = tags

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        own = {f"tagged_{name}": shape for name, shape in self.model.encoder.shapes().items()}
        return {**self.tagger.state_shapes(), **own}

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        model = self.model
        count = len(self.tagger.state_shapes())
        halos: Sequence[Tensor] = state[count:]
        features, samples = model.chunk_features(chunk, state[0])
        _, tags, tagging = self.tagger.advance(features, state[1:count])
        assert tags is not None
        hop = model.config.frames_per_chunk
        conditions = model.conditions(tags)[:, None].expand(-1, hop, -1)
        x, after = model.encoder(features, halos, conditions)
        scores = torch.sigmoid(model.output(x))
        return (scores, *([tags] if self.tags else []), samples, *tagging, *after)
