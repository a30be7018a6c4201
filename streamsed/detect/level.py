"""Levels: how loud a source is and what scores highest in it, so that thresholds can be tuned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

FULL_SCALE = 32767 / 32768
"""The largest 16-bit sample; from here on a sample counts as clipped."""


@dataclass(frozen=True, slots=True)
class LevelReport:
    """What one source sounded like over some of its audio, as the model was fed it.

    0 dBFS is a sample of 1: a sine of full scale has a peak of 0 dBFS and an RMS of -3.01 dBFS.

    Attributes:
        source: name of the source.
        end_sample: one past the last sample.
        samples: how many there were.
        energy: sum of their squares.
        peak: the largest magnitude.
        clipped_samples: how many reached full scale.
        scores: ``(C,)`` float32, the highest fused score of each class in these frames, before
            the median filter. The model's look-ahead delays them against the samples.
    """

    source: str
    end_sample: int
    samples: int
    energy: float
    peak: float
    clipped_samples: int
    scores: Array

    @property
    def digital_silence(self) -> bool:
        """Whether every sample was exactly 0: no microphone in a room sounds like that."""
        return self.peak == 0.0

    @property
    def rms_dbfs(self) -> float | None:
        """Root mean square in dBFS; None for digital silence."""
        mean = self.energy / self.samples
        return 10.0 * math.log10(mean) if mean > 0.0 else None

    @property
    def peak_dbfs(self) -> float | None:
        """Largest magnitude in dBFS; None for digital silence."""
        return 20.0 * math.log10(self.peak) if self.peak > 0.0 else None

    def joined(self, later: LevelReport) -> LevelReport:
        """Return the report over this one's audio and that of the next."""
        return LevelReport(
            source=self.source,
            end_sample=later.end_sample,
            samples=self.samples + later.samples,
            energy=self.energy + later.energy,
            peak=max(self.peak, later.peak),
            clipped_samples=self.clipped_samples + later.clipped_samples,
            scores=np.maximum(self.scores, later.scores),
        )


class LevelMeter:
    """Measures one source chunk by chunk: one dot product and one search for the largest magnitude.

    Args:
        source: named in the reports.
        classes: number of classes.
        interval_samples: a report comes with the first chunk that completes so many samples.
        magnitudes: ``(chunk_samples,)`` float32 to work in; meters of one thread share it.
    """

    def __init__(
        self, source: str, *, classes: int, interval_samples: int, magnitudes: Array
    ) -> None:
        self._source = source
        self._interval_samples = interval_samples
        self._magnitudes = magnitudes
        self._scores = np.zeros(classes, np.float32)
        self._samples = self._clipped = 0
        self._energy = self._peak = 0.0

    def add(self, chunk: Array, scores: Array, *, end_sample: int) -> LevelReport | None:
        """Measure a chunk.

        Args:
            chunk: ``(chunk_samples,)`` float32 as fed to the model.
            scores: ``(F, C)`` float32, the fused scores that came of it.
            end_sample: where the source's audio has got to.

        Returns:
            A report when the interval is complete, else None.
        """
        magnitudes = np.abs(chunk, out=self._magnitudes)
        peak = float(magnitudes.max())
        if peak >= FULL_SCALE:
            self._clipped += int(np.count_nonzero(magnitudes >= FULL_SCALE))
        self._peak = max(self._peak, peak)
        self._energy += float(np.dot(chunk, chunk))
        self._samples += len(chunk)
        np.maximum(self._scores, scores.max(axis=0), out=self._scores)
        if self._samples < self._interval_samples:
            return None
        report = LevelReport(
            source=self._source,
            end_sample=end_sample,
            samples=self._samples,
            energy=self._energy,
            peak=self._peak,
            clipped_samples=self._clipped,
            scores=self._scores.copy(),
        )
        self._samples = self._clipped = 0
        self._energy = self._peak = 0.0
        self._scores[:] = 0.0
        return report
