"""Digital silence: audio that is nothing but zeros, as no microphone in a room gives."""

from __future__ import annotations

import math

from streamsed.sources.block import Block


class DigitalSilence:
    """Watches for a run of zeros, on the sample clock.

    A microphone that is muted, or a camera that encodes a microphone which is not there, delivers
    zeros for ever; a microphone that works delivers noise, however quiet the room.
    """

    def __init__(self, limit_s: float | None, sample_rate: int) -> None:
        """Begin without a run.

        Args:
            limit_s: the length of run that counts; None for never.
            sample_rate: Hz.
        """
        self._limit_samples = math.inf if limit_s is None else limit_s * sample_rate
        self._run_samples = 0

    def restart(self) -> None:
        """Forget the run."""
        self._run_samples = 0

    def update(self, block: Block) -> bool:
        """Take the next block; return whether the run of zeros has reached the limit.

        A run is counted from the first block that is all zeros.
        """
        samples = block.samples
        if samples[0] or samples.any():  # of audio, the first sample nearly always settles it
            self._run_samples = 0
        else:
            self._run_samples += len(samples)
        return self._run_samples >= self._limit_samples
