"""The step of a model that hears the whole window anew at each chunk."""

from __future__ import annotations

import torch
from torch import Tensor

from train.models.model import SoundEventModel, Step
from train.models.sliding import OverlapAdd


class WindowStep(Step):
    """Remembers the window's audio and the unfinished scores; its tags are about the window.

    Args:
        model: scores a window as it would score a clip.
        overlap: averages what windows say of one frame.
        window_samples: length of a window.
        tags: whether the step also yields the clip-level output.
    """

    def __init__(
        self, model: SoundEventModel, overlap: OverlapAdd, *, window_samples: int, tags: bool
    ) -> None:
        super().__init__()
        self.model = model
        self.overlap = overlap
        self.latency_frames = overlap.latency
        self.tags = tags
        self._kept_samples = window_samples - model.config.chunk_samples

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """See :class:`Step`."""
        shapes: dict[str, tuple[int, ...]] = {"samples": (self._kept_samples,)}
        if self.latency_frames:
            shapes["unfinished"] = (self.latency_frames, len(self.model.config.classes))
        return shapes

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """See :class:`Step`."""
        window = torch.cat([state[0], chunk], dim=1)
        output = self.model.hear(window)
        newest = torch.sigmoid(output.frames[:, -self.overlap.taken :])
        scores, unfinished = self.overlap(newest, state[1] if self.latency_frames else None)
        results = [scores]
        if self.tags:
            assert output.clip is not None
            results.append(output.clip)
        results.append(window[:, self.model.config.chunk_samples :])
        if unfinished is not None:
            results.append(unfinished)
        return tuple(results)
