"""Models that compute the whole window anew at each chunk: their step, and the same offline."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.models.model import SoundEventModel, Step, whole_frames
from train.models.sliding import OverlapAdd, windows_needed

WINDOWS_AT_ONCE = 16
"""Windows that are scored together offline; each holds all activations of a clip."""


def score_windows(
    model: SoundEventModel, audio: Tensor, overlap: OverlapAdd, *, window_samples: int
) -> Tensor:
    """Score clips as a stream would be, window for window.

    Args:
        model: scores a window as it would score a clip.
        audio: ``(B, N)``; silence follows.
        overlap: averages what windows give for one frame.
        window_samples: length of a window.

    Returns:
        ``(B, N // frame_samples, C)`` in [0, 1].
    """
    config = model.config
    hop_frames = config.chunk_samples // config.frame_samples
    audio = whole_frames(audio, config)
    frames = audio.shape[1] // config.frame_samples
    count = windows_needed(frames, hop_frames=hop_frames, latency_frames=overlap.latency)
    before, after = window_samples - config.chunk_samples, count * config.chunk_samples
    windows = nn.functional.pad(audio, (before, after - audio.shape[1]))
    windows = windows.unfold(1, window_samples, config.chunk_samples).flatten(0, 1)
    newest = [
        model.detect(part).frames[:, -overlap.taken :]
        for part in torch.split(windows, WINDOWS_AT_ONCE)
    ]
    scores = torch.sigmoid(torch.cat(newest))
    return overlap.run(scores.view(len(audio), count, *scores.shape[1:]))[:, :frames]


class WindowStep(Step):
    """Remembers the window's audio and the unfinished scores; its tags are about the window.

    Args:
        model: scores a window as it would score a clip.
        overlap: averages the scores that windows give to one frame.
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
        output = self.model.detect(window)
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
