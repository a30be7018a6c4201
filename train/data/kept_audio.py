"""Audio of long recordings, read and resampled once and mapped into memory from then on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.clips import Clip
from train.data.feature_cache import FeatureCache
from train.data.inputs import FeatureExtractor, Signal
from train.data.labels import LabelGrid


class KeptAudio:
    """Inputs ``(N,)`` from a cache whose rows are hops of samples.

    Args:
        folder: of caches, which may be shared by runs.
        grid: of the labels.
        hop_samples: of a row; divides a label frame.
    """

    def __init__(self, folder: Path, grid: LabelGrid, *, hop_samples: int) -> None:
        self._hop = hop_samples
        extractor = FeatureExtractor(
            self._rows,
            config={"kind": "audio", "row": hop_samples},
            sample_rate=grid.sample_rate,
            hop_samples=hop_samples,
        )
        self.cache = FeatureCache(folder, extractor, grid)

    def _rows(self, audio: Signal) -> NDArray[np.float32]:
        count = len(audio) // self._hop
        return audio[: count * self._hop].reshape(count, self._hop)

    @property
    def grid(self) -> LabelGrid:
        """The labels' grid."""
        return self.cache.grid

    def samples(self, clip: Clip) -> int:
        """Samples of the whole clip."""
        return self.cache.samples(clip)

    def read(self, clip: Clip, *, first_frame: int) -> Signal:
        """Copy a crop's audio ``(N,)``.

        Raises:
            DataError: the clip was not added, or has no such frames.
        """
        return self.cache.read(clip, first_frame=first_frame).reshape(-1)
