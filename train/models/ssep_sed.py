"""The challenge's separation and detection baseline: two branches, and a learned weight of both.

DCASE 2021 task 4; "SSep-SED baseline" in de Benito-Gorron et al. 2022. One branch detects in the
separated sources and sums their probabilities, no further than 1; the other detects in the
mixture. Separator and mixture branch stay as they were trained; the detector of the sources learns,
and so does the weight of the mean of the two branches. The challenge's weight has no bounds; here
it is the sigmoid of what is learned, so that a mean of probabilities remains one.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn

from train.models.conv_tasnet import ConvTasNet
from train.models.frozen import hold
from train.models.jss import JSS, JSSConfig, by_source
from train.models.model import Given, Output, SoundEventModel, Step, whole_frames
from train.models.registry import MODELS

_SMALLEST = 1e-6
"""Of probabilities whose logit is taken."""


@dataclass(frozen=True)
class SSepSEDConfig(JSSConfig):
    """Separator and detector of a :class:`SSepSED`; both branches have a detector of this size.

    Attributes:
        kind: names the model.
    """

    kind: Literal["ssep_sed"] = "ssep_sed"  # type: ignore[assignment]


def _example(classes: tuple[str, ...]) -> SSepSEDConfig:
    sed, separator = (MODELS.example(kind)(classes) for kind in ("causal_crnn", "conv_tasnet"))
    return SSepSEDConfig(sed, separator=separator, window_frames=20)


@MODELS.register(SSepSEDConfig, example=_example)
class SSepSED(JSS):
    """A frozen separator, a detector of its sources, and a frozen detector of the mixture.

    Args:
        config: of all.
        separator: ``(B, N)`` to ``(B, M, N)``; None for a new one.
        sed: what both detectors begin as; None for a new one.

    Attributes:
        balance: logit of the weight of the mixture branch; 0 weighs both alike.
    """

    parts = ()  # what is held is no choice
    begins_with = "streamsed-train join --into ssep_sed makes it of a separator and a detector"
    config: SSepSEDConfig

    def __init__(
        self,
        config: SSepSEDConfig,
        *,
        separator: ConvTasNet | None = None,
        sed: SoundEventModel | None = None,
    ) -> None:
        super().__init__(config, separator=separator, sed=sed)
        self.mixture_sed = copy.deepcopy(self.sed)
        self.balance = nn.Parameter(torch.zeros(()))
        self.separator.requires_grad_(False)
        self.mixture_sed.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the detector of the sources, the only one that learns."""
        super().train(mode)
        hold(self.separator)
        hold(self.mixture_sed)
        return self

    @torch.no_grad()
    def separate(self, audio: Tensor) -> Tensor:
        """Return sources ``(B, M, N)`` of clips ``(B, N)``; no gradient reaches the separator."""
        return super().separate(audio)

    def pool(self, values: Tensor) -> Tensor:
        """Return the sum ``(B, ...)`` over the sources of probabilities ``(B * M, ...)``."""
        return by_source(values, self.config.separator.sources).sum(dim=1).clamp(max=1.0)

    def fuse(self, mixture: Tensor, sources: Tensor) -> Tensor:
        """Return the weighted mean of both branches' probabilities."""
        weight = torch.sigmoid(self.balance)
        return weight * mixture + (1.0 - weight) * sources

    def clip(
        self, features: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips by the features ``(B * M, T, n_mels)`` of their sources, the first branch."""
        count = self.config.separator.sources
        each = self.sed.clip(
            features, None if padding is None else padding.repeat_interleave(count, 0), given
        )
        frames = self.pool(torch.sigmoid(each.frames.float()))
        clip = None if each.clip is None else self.pool(each.clip)
        return Output(torch.logit(frames, eps=_SMALLEST), clip)

    def detect(
        self, audio: Tensor, padding: Tensor | None = None, given: Given | None = None
    ) -> Output:
        """Score clips by both branches; see the base class."""
        sources = super().detect(audio, padding, given)
        with torch.no_grad():
            mixture = self.mixture_sed.detect(audio, padding, given)
        frames = self.fuse(*(torch.sigmoid(of.frames.float()) for of in (mixture, sources)))
        clip = None
        if mixture.clip is not None and sources.clip is not None:
            clip = self.fuse(mixture.clip, sources.clip)
        return Output(torch.logit(frames, eps=_SMALLEST), clip)

    def scores(self, audio: Tensor, *, latency_frames: int | None = None) -> Tensor:
        """Score clips as a stream would be scored; see the base class."""
        scores = super().scores(audio, latency_frames=latency_frames)
        if not self.config.separator.streams:
            return scores  # by detect, of whole windows
        audio = whole_frames(audio, self.config)
        return self.fuse(self.mixture_sed.scores(audio, latency_frames=latency_frames), scores)

    def step(self, *, latency_frames: int | None = None, tags: bool = False) -> Step:
        """Return the step function; see the base class."""
        sources = super().step(latency_frames=latency_frames, tags=tags)
        if not self.config.separator.streams:
            return sources
        mixture = self.mixture_sed.step(latency_frames=latency_frames, tags=tags)
        return _TwoBranches(self, mixture, sources)


class _TwoBranches(Step):
    """Remembers the states of both branches."""

    def __init__(self, model: SSepSED, mixture: Step, sources: Step) -> None:
        super().__init__()
        self.model, self.mixture, self.sources = model, mixture, sources
        self.latency_frames, self.tags = sources.latency_frames, sources.tags

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        mixture = self.mixture.state_shapes()
        named = {f"mixture_{name}": shape for name, shape in mixture.items()}
        return {**named, **self.sources.state_shapes()}

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        count, outputs = len(self.mixture.state_shapes()), 2 if self.tags else 1
        mixture = self.mixture(chunk, *state[:count])
        sources = self.sources(chunk, *state[count:])
        both = zip(mixture[:outputs], sources[:outputs], strict=True)
        fused = (self.model.fuse(of, also) for of, also in both)
        return (*fused, *mixture[outputs:], *sources[outputs:])
