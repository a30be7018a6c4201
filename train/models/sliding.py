"""Scores of overlapping windows, averaged while the window slides."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from streamsed.errors import ConfigError

WINDOWS_AT_ONCE = 128
"""Windows that are scored together offline; bounds memory."""


class OverlapAdd(nn.Module):
    """Weighted mean of the scores that overlapping windows give to one frame.

    Windows of ``window_frames`` follow one another at ``hop_frames``. A frame is given out
    ``latency_frames`` before the end of the newest window, as the mean of its scores in the windows
    so far, with Hamming weights over each window. Older frames are never asked for again, so only
    the newest ``latency_frames + hop_frames`` of a window count: with no look-ahead there is one
    score of each frame, with ``window_frames - hop_frames`` there are all.

    Args:
        window_frames: length of a window.
        hop_frames: frames from one window to the next.
        latency_frames: look-ahead, at most ``window_frames - hop_frames``.

    Attributes:
        taken: frames at a window's end that count.
    """

    weights: Tensor
    totals: Tensor

    def __init__(self, *, window_frames: int, hop_frames: int, latency_frames: int) -> None:
        super().__init__()
        self.hop = hop_frames
        self.latency = latency_frames
        self.taken = latency_frames + hop_frames
        if not 0 <= latency_frames <= window_frames - hop_frames:
            raise ValueError(
                f"a look-ahead of {latency_frames} frames does not fit a window of "
                f"{window_frames} frames at a hop of {hop_frames}"
            )
        weights = torch.hamming_window(window_frames, periodic=False)[-self.taken :]
        # A frame given out has been at this place in the newest window, one hop further in the
        # window before, and so on: even at a stream's start, all of these windows have been.
        opinions = nn.functional.pad(weights, (0, -self.taken % hop_frames)).view(-1, hop_frames)
        self.register_buffer("weights", weights[:, None], persistent=False)
        self.register_buffer("totals", opinions.sum(dim=0)[:, None], persistent=False)

    def forward(self, scores: Tensor, unfinished: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Take in one window.

        Args:
            scores: ``(B, taken, C)`` of the window's newest frames.
            unfinished: ``(B, latency_frames, C)``, weighted sums of the frames not yet given out;
                None if there is no look-ahead.

        Returns:
            ``(B, hop_frames, C)`` finished scores, and the next ``unfinished``.
        """
        sums = scores * self.weights
        if unfinished is None:
            return sums / self.totals, None
        fresh = torch.zeros_like(sums[:, : self.hop])
        sums = sums + torch.cat([unfinished, fresh], dim=1)
        return sums[:, : self.hop] / self.totals, sums[:, self.hop :]

    def run(self, windows: Tensor) -> Tensor:
        """Take in the windows of whole streams, from their beginning.

        Args:
            windows: ``(B, K, taken, C)``.

        Returns:
            ``(B, K * hop_frames - latency_frames, C)``, from a stream's first frame.
        """
        unfinished = None
        if self.latency:
            unfinished = torch.zeros_like(windows[:, 0, : self.latency])
        finished = []
        for window in windows.unbind(dim=1):
            scores, unfinished = self(window, unfinished)
            finished.append(scores)
        return torch.cat(finished, dim=1)[:, self.latency :]


def windows_needed(frames: int, *, hop_frames: int, latency_frames: int) -> int:
    """Return how many windows pass before ``frames`` frames are given out."""
    return -(-(frames + latency_frames) // hop_frames)


class WindowedConfig(Protocol):
    """The windows of a windowed model's configuration."""

    @property
    def window_frames(self) -> int: ...  # noqa: D102
    @property
    def frames_per_chunk(self) -> int: ...  # noqa: D102
    @property
    def latency_frames(self) -> int: ...  # noqa: D102


def window_look_aheads(config: WindowedConfig) -> range:
    """Return the look-aheads that fit a model's window: up to the window less one chunk."""
    return range(config.window_frames - config.frames_per_chunk + 1)


def overlap_add(config: WindowedConfig, latency_frames: int | None) -> OverlapAdd:
    """Return the averaging of a model's windows for a look-ahead.

    Args:
        config: the model's.
        latency_frames: look-ahead; None for the configuration's.

    Raises:
        ConfigError: the look-ahead does not fit the window.
    """
    wanted = config.latency_frames if latency_frames is None else latency_frames
    fitting = window_look_aheads(config)
    if wanted not in fitting:
        raise ConfigError(
            f"a look-ahead of {wanted} frames does not fit a window of {config.window_frames} "
            f"frames and steps of {config.frames_per_chunk}; choose 0 to {fitting[-1]}"
        )
    return OverlapAdd(
        window_frames=config.window_frames,
        hop_frames=config.frames_per_chunk,
        latency_frames=wanted,
    )
