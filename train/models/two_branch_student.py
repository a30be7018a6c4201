"""The student of paper (d): three convolutions that keep the frames of time, and two branches.

It finds where events are; the teacher, whose frames are long, finds which there are. Its
convolutions are causal and its output is compared with the labels of ``shift_frames`` earlier, so
the detection branch streams. On a stream, tags are of the window that ends now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from train.frontend import FrontEndConfig
from train.models.conv_encoder import ConvModel, ConvModelConfig, PlaneConfig
from train.models.model import Given, Output, Step, whole_frames
from train.models.registry import MODELS
from train.models.two_branches import BranchesConfig, DetectionBranch, TaggingBranch

WINDOWS_AT_ONCE = 128
"""Windows that are tagged together offline; bounds memory."""

PUBLISHED_PLANES = (
    PlaneConfig(160, (5, 5), (1, 4)),
    PlaneConfig(160, (5, 5), (1, 4)),
    PlaneConfig(160, (3, 3), (1, 4)),
)
"""Three single blocks that keep time, sized as guided learning's published student, 160 features a
frame. A last pooling of four frames, with ``shift_frames`` 1 and ``window_frames`` 156, makes score
frames of 64 ms for a bundle whose other members have such."""


@dataclass(frozen=True)
class TwoBranchStudentConfig(ConvModelConfig):
    """Size of a :class:`TwoBranchStudent`; see :class:`ConvModelConfig` for most of it.

    Attributes:
        branches: their widths.
        projection: width of what is compared with the teacher's; W_s in the paper.
        window_frames: of the running tags on a stream. By default 624, 10 s of 16 ms frames.
        kind: names the model.
    """

    planes: tuple[PlaneConfig, ...] = PUBLISHED_PLANES
    shift_frames: int = 5
    branches: BranchesConfig = field(default_factory=BranchesConfig)
    projection: int = 128
    window_frames: int = 624
    kind: Literal["two_branch_student"] = "two_branch_student"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projection < 1:
            raise ValueError(f"projection {self.projection}; must be 1 or more")
        if self.window_frames <= self.frames_per_chunk:
            raise ValueError(
                f"window_frames {self.window_frames} must exceed the "
                f"{self.frames_per_chunk} frames of a chunk"
            )

    @property
    def latency_frames(self) -> int:
        """Look-ahead of scores, which is trained in."""
        return self.shift_frames


def _example(classes: tuple[str, ...]) -> TwoBranchStudentConfig:
    return TwoBranchStudentConfig(
        classes,
        front_end=FrontEndConfig(n_mels=32, n_fft=512),
        planes=(PlaneConfig(8, (5, 5), (1, 4)), PlaneConfig(8, (3, 3), (4, 4))),
        shift_frames=1,
        branches=BranchesConfig(
            rnn_units=6, rnn_layers=2, tagging_units=8, detection_units=8, head_units=4
        ),
        projection=8,
        window_frames=22,
    )


@MODELS.register(TwoBranchStudentConfig, example=_example)
class TwoBranchStudent(ConvModel):
    """Causal convolutions, a tagging branch over the clip or a window, a detection branch."""

    config: TwoBranchStudentConfig

    def __init__(self, config: TwoBranchStudentConfig) -> None:
        super().__init__(config)
        self.config = config
        units, classes = self.encoder.units, len(config.classes)
        self.tagging = TaggingBranch(units, classes, config.branches)
        self.head = DetectionBranch(units, classes, config.branches)
        self.projection = nn.Linear(units, config.projection, bias=False)

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips; see the base class.

        Further outputs: ``embeddings`` ``(B, T, D)``, ``tags`` ``(B, C)`` logits, and
        ``distilled`` ``(B, T, projection)``, what is compared with the teacher's embeddings.
        """
        x = self.dropout(self.encode(features))
        # Asking costs less than holding gates shut that nothing needs shut.
        tags = self.tagging(x, padding if padding is not None and padding.any() else None)
        with torch.autocast(x.device.type, enabled=False):
            clip = torch.sigmoid(tags.float())
        extra = {"embeddings": x, "tags": tags, "distilled": self.projection(x)}
        return Output(self.head(x), clip, extra)

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream would be, by the detection branch; see the base class."""
        shift, frames = self.trained_latency(latency_frames), self._frames(audio)
        return torch.sigmoid(self.head(self._streamed(audio)))[:, shift : shift + frames]

    def running_tags(self, audio: Tensor) -> Tensor:
        """Return the tags of a stream at every step.

        Args:
            audio: ``(B, N)``; silence follows.

        Returns:
            ``(B, K, C)`` in [0, 1], those of step ``k`` of the window that ends with it; as many
            steps as the scores take.
        """
        config = self.config
        hop, window = config.frames_per_chunk, config.window_frames
        x = nn.functional.pad(self._streamed(audio), (0, 0, window - hop, 0))
        empty = torch.arange(x.shape[1], device=x.device) < window - hop + config.shift_frames
        windows = x.unfold(1, window, hop).transpose(2, 3)
        padding = empty.unfold(0, window, hop).repeat(len(audio), 1)
        parts = [
            self.tagging(part, part_padding)
            for part, part_padding in zip(
                torch.split(windows.flatten(0, 1), WINDOWS_AT_ONCE),
                torch.split(padding, WINDOWS_AT_ONCE),
                strict=True,
            )
        ]
        return torch.sigmoid(torch.cat(parts)).view(*windows.shape[:2], -1)

    def _frames(self, audio: Tensor) -> int:
        return audio.shape[1] // self.config.frame_samples

    def _streamed(self, audio: Tensor) -> Tensor:
        """Return embeddings as they come, ``(B, T, D)``, of whole steps, the look-ahead's too."""
        config, frames = self.config, self._frames(audio)
        audio = whole_frames(audio, config)
        count = -(-(frames + config.shift_frames) // config.frames_per_chunk)
        audio = nn.functional.pad(audio, (0, count * config.chunk_samples - audio.shape[1]))
        features = self.front_end(self.front_end.pad(audio))
        x, _ = self.encoder(features, self.encoder.first(len(audio), audio.device))
        embeddings: Tensor = x
        return embeddings

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function; its tags are of the window that ends now."""
        self.trained_latency(latency_frames)
        return _StudentStep(self, tags=tags)


class _StudentStep(Step):
    """Keeps the encoder's halos and, for tags, the window's embeddings and how many there were."""

    places: Tensor

    def __init__(self, model: TwoBranchStudent, *, tags: bool) -> None:
        super().__init__()
        self.model = model
        self.latency_frames = model.config.shift_frames
        self.tags = tags
        places = torch.arange(model.config.window_frames, dtype=torch.float32)
        self.register_buffer("places", places, persistent=False)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes, config = self.model.encoder_shapes(), self.model.config
        if self.tags:
            kept = config.window_frames - config.frames_per_chunk
            shapes |= {"window": (kept, self.model.encoder.units), "count": (1,)}
        return shapes

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        model, config = self.model, self.model.config
        samples, *halos = state[: 1 + len(model.encoder.shapes())]
        features, samples = model.chunk_features(chunk, samples)
        x, after = model.encoder(features, halos)
        scores = torch.sigmoid(model.head(x))
        if not self.tags:
            return (scores, samples, *after)
        window = torch.cat([state[-2], x], dim=1)
        # Counted no further than it matters, so that hour 40 is as exact as second 40.
        most = float(config.window_frames + config.shift_frames)
        count = torch.clamp(state[-1] + config.frames_per_chunk, max=most)
        tags = torch.sigmoid(model.tagging(window, self.places < most - count))
        return (scores, tags, samples, *after, window[:, config.frames_per_chunk :], count)
