"""Joint separation and detection: what is detected in any of a mixture's sources is detected in it.

"Source Separation for Sound Event Detection in Domestic Environments using Jointly Trained Models"
(de Benito-Gorron et al. 2022): a separator makes M signals of one, a detector scores each, and the
highest of their M scores counts, for frames and for clips. The gradient of a score reaches the
source that it was taken from.

With a separator that streams, a step separates its chunk once and scores the sources as a batch.
With the paper's, whose layers are normalised over the clip, the whole model runs anew over the
last ``window_frames`` at each step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from train.frontend import FrontEndConfig, LogMel
from train.frontend.mel import extremes
from train.models.conv_tasnet import ConvTasNet, ConvTasNetConfig
from train.models.model import Given, Output, SoundEventModel, Step, whole_frames
from train.models.registry import MODELS, AnyDetectorConfig, build
from train.models.sliding import OverlapAdd, overlap_add, window_look_aheads, windows_needed
from train.models.window_step import WindowStep

WINDOWS_AT_ONCE = 4
"""Windows that are scored together offline; each holds the activations of M clips."""


@dataclass(frozen=True)
class JSSConfig:
    """Separator and detector of a :class:`JSS`.

    Attributes:
        sed: the detector.
        separator: of the same sample rate.
        source_norm: by what a front end that scales each clip by its own extremes scales a source:
            by its own (the paper), which makes a faint residual as loud as an event, or by those
            of the mixture. Nothing to a front end of fixed statistics.
        window_frames: of the sliding window, if the separator does not stream; 10 s of 64 ms.
        kind: names the model.
    """

    sed: AnyDetectorConfig
    separator: ConvTasNetConfig = field(default_factory=ConvTasNetConfig)
    source_norm: Literal["source", "mixture"] = "source"
    window_frames: int = 156
    kind: Literal["jss"] = "jss"

    def __post_init__(self) -> None:
        if self.separator.sample_rate != self.front_end.sample_rate:
            raise ValueError(
                f"separator of {self.separator.sample_rate} Hz and detector of "
                f"{self.front_end.sample_rate} Hz"
            )
        if self.chunk_samples % self.separator.stride_samples:
            raise ValueError(
                f"chunk_samples {self.chunk_samples} is no multiple of the separator's stride of "
                f"{self.separator.stride_samples}"
            )
        if self.separator.delay_samples > self.frame_samples:
            raise ValueError(
                f"the separator is {self.separator.delay_samples} samples late, more than a frame"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """The detector's."""
        return self.sed.classes

    @property
    def front_end(self) -> FrontEndConfig:
        """The detector's."""
        return self.sed.front_end

    @property
    def frame_samples(self) -> int:
        """The detector's."""
        return self.sed.frame_samples

    @property
    def frames_per_chunk(self) -> int:
        """Score frames of one exported step."""
        return self.chunk_samples // self.frame_samples

    @property
    def chunk_samples(self) -> int:
        """The detector's."""
        return self.sed.chunk_samples

    @property
    def latency_frames(self) -> int:
        """The detector's."""
        return self.sed.latency_frames

    @property
    def clip_head(self) -> bool:
        """Whether the detector has a clip-level output."""
        return getattr(self.sed, "clip_head", True)


def _example(classes: tuple[str, ...]) -> JSSConfig:
    sed, separator = (MODELS.example(kind)(classes) for kind in ("causal_crnn", "conv_tasnet"))
    return JSSConfig(sed, separator=separator, window_frames=20)


@MODELS.register(JSSConfig, example=_example)
class JSS(SoundEventModel):
    """A separator, and a detector of events in each of its sources.

    Args:
        config: of both.
        separator: ``(B, N)`` to ``(B, M, N)``; None for a new one.
        sed: the detector; None for a new one.
    """

    from_audio = True
    parts: ClassVar[tuple[str, ...]] = ("separator", "sed")
    begins_with = "streamsed-train join makes it of a separator and a detector that were trained"
    config: JSSConfig

    def __init__(
        self,
        config: JSSConfig,
        *,
        separator: ConvTasNet | None = None,
        sed: SoundEventModel | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.separator = ConvTasNet(config.separator) if separator is None else separator
        self.sed = build(config.sed) if sed is None else sed

    @property
    def front_end(self) -> LogMel:  # type: ignore[override]
        """The detector's."""
        return self.sed.front_end

    def separate(self, audio: Tensor) -> Tensor:
        """Return sources ``(B, M, N)`` of clips ``(B, N)``."""
        sources: Tensor = self.separator(audio)
        return sources

    def mels(self, audio: Tensor) -> Tensor:
        """Return linear mel bands ``(B * M, T, n_mels)`` of the sources of clips."""
        return self.sed.mels(self.separate(audio).flatten(0, 1))

    def detect(
        self, audio: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips; see the base class."""
        sources = self.separate(audio)
        decibels = self.front_end.logarithm(self.sed.mels(sources.flatten(0, 1)))
        bounds = None
        if self.front_end.config.scaler == "clip":
            with torch.no_grad():
                bounds = self._bounds(audio, decibels, sources.shape[1])
        return self.clip(self.front_end.scale(decibels, bounds), padding, given)

    def _bounds(self, audio: Tensor, decibels: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return what each source is scaled by. No gradient reaches it."""
        if self.config.source_norm == "source":
            return extremes(decibels)
        low, high = extremes(self.front_end.logarithm(self.sed.mels(audio)))
        return low.repeat_interleave(count, 0), high.repeat_interleave(count, 0)

    def pool(self, values: Tensor) -> Tensor:
        """Return the maximum ``(B, ...)`` over the sources of ``(B * M, ...)``."""
        return by_source(values, self.config.separator.sources).amax(dim=1)

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips by the features ``(B * M, T, n_mels)`` of their sources."""
        count = self.config.separator.sources
        each = self.sed.clip(
            features, None if padding is None else padding.repeat_interleave(count, 0)
        )
        clip = None if each.clip is None else self.pool(each.clip)
        return Output(self.pool(each.frames), clip)

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream would be scored; see the base class."""
        if not self.config.separator.streams:
            return self._window_scores(audio, overlap_add(self.config, latency_frames))
        audio = whole_frames(audio, self.config)
        # A frame of silence brings out what the separator still holds at a clip's end.
        padded = F.pad(audio, (0, self.config.frame_samples))
        first = self.separator.initial_state(len(audio), audio.device)
        sources, _ = self.separator.stream(padded, first)
        scores = self.sed.scores(sources.flatten(0, 1), latency_frames=latency_frames)
        return self.pool(scores)[:, :-1]

    def _window_scores(self, audio: Tensor, overlap: OverlapAdd) -> Tensor:
        config = self.config
        overlap = overlap.to(audio.device)
        audio = whole_frames(audio, config)
        frames, window = audio.shape[1] // config.frame_samples, _window_samples(config)
        count = windows_needed(frames, hop_frames=overlap.hop, latency_frames=overlap.latency)
        after = count * config.chunk_samples - audio.shape[1]
        windows = F.pad(audio, (window - config.chunk_samples, after))
        windows = windows.unfold(1, window, config.chunk_samples).flatten(0, 1)
        newest = [
            self.detect(part).frames[:, -overlap.taken :]
            for part in torch.split(windows, WINDOWS_AT_ONCE)
        ]
        scores = torch.sigmoid(torch.cat(newest))
        return overlap.run(scores.view(len(audio), count, *scores.shape[1:]))[:, :frames]

    def look_aheads(self) -> range:
        """Return the detector's, or those that fit the window."""
        streams = self.config.separator.streams
        return self.sed.look_aheads() if streams else window_look_aheads(self.config)

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function; see the base class."""
        if tags and not self.config.clip_head:
            raise self.refuse_tags()
        if self.config.separator.streams:
            return _StreamStep(self, self.sed.step(latency_frames=latency_frames, tags=tags))
        overlap = overlap_add(self.config, latency_frames)
        return WindowStep(self, overlap, window_samples=_window_samples(self.config), tags=tags)


def by_source(values: Tensor, count: int) -> Tensor:
    """Return ``(B, M, ...)`` of ``(B * M, ...)``."""
    return values.view(-1, count, *values.shape[1:])


def _window_samples(config: JSSConfig) -> int:
    return config.window_frames * config.frame_samples


class _StreamStep(Step):
    """Remembers the separator's state, and the detector's of each source."""

    def __init__(self, model: JSS, sed_step: Step) -> None:
        super().__init__()
        self.separator, self.pool = model.separator, model.pool
        self.sed_step = sed_step
        self.sources = model.config.separator.sources
        self.latency_frames = sed_step.latency_frames
        self.tags = sed_step.tags

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        separator = self.separator.state_shapes()
        sed = self.sed_step.state_shapes()
        return {
            **{f"separator_{name}": shape for name, shape in separator.items()},
            **{f"sed_{name}": (self.sources, *shape) for name, shape in sed.items()},
        }

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        first = len(self.separator.state_shapes())
        sources, separator_after = self.separator.stream(chunk, state[:first])
        each = [tensor.flatten(0, 1) for tensor in state[first:]]
        result = self.sed_step(sources.flatten(0, 1), *each)
        scored = 2 if self.tags else 1
        return (
            *(self.pool(values) for values in result[:scored]),
            *separator_after,
            *(tensor.unflatten(0, (-1, self.sources)) for tensor in result[scored:]),
        )
