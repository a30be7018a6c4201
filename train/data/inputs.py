"""What a model is fed of a clip: audio, features of it, or features computed before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from train.data.audio import audio_samples, read_audio
from train.data.clips import Clip
from train.data.labels import LabelGrid

Signal = NDArray[np.float32]


class Inputs(Protocol):
    """Reads clips, padded with silence at their end or cropped, so that all have one shape."""

    @property
    def grid(self) -> LabelGrid:
        """The labels' grid, which gives the length of a crop."""
        ...

    def samples(self, clip: Clip) -> int:
        """Samples of the whole clip at the grid's rate.

        Raises:
            DataError: the file cannot be read.
        """
        ...

    def read(self, clip: Clip, *, first_frame: int) -> NDArray[np.float32]:
        """Read a crop that starts with a label frame: ``(N,)`` audio or ``(T, F)`` features.

        Raises:
            DataError: the file cannot be read.
        """
        ...


@dataclass(frozen=True)
class FeatureExtractor:
    """Features of audio, and a name for exactly these.

    Attributes:
        compute: ``(n,)`` float32 to ``(T, F)`` float32; a function of its argument alone, with
            one frame every ``hop_samples``.
        config: plain data that decides what ``compute`` does. Features that were computed with
            an equal config are taken for the same.
        sample_rate: in Hz.
        hop_samples: between frames.
    """

    compute: Callable[[Signal], NDArray[np.float32]]
    config: Mapping[str, object]
    sample_rate: int
    hop_samples: int

    @property
    def description(self) -> dict[str, object]:
        """All that decides the features."""
        return {
            "sample_rate": self.sample_rate,
            "hop_samples": self.hop_samples,
            "config": dict(self.config),
        }

    @property
    def key(self) -> str:
        """Hash of the description, 16 hexadecimal digits."""
        text = json.dumps(self.description, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class AudioInputs:
    """Audio ``(N,)``."""

    grid: LabelGrid

    def samples(self, clip: Clip) -> int:
        """Samples of the clip, from its header."""
        return audio_samples(clip.path, sample_rate=self.grid.sample_rate)

    def read(self, clip: Clip, *, first_frame: int) -> NDArray[np.float32]:
        """Read ``(N,)`` float32."""
        audio = read_audio(
            clip.path,
            sample_rate=self.grid.sample_rate,
            start=first_frame * self.grid.frame_samples,
            samples=self.grid.samples,
        )
        return padded(audio, self.grid.samples)


@dataclass(frozen=True)
class ExtractedInputs:
    """Features ``(T, F)``, computed whenever they are read."""

    grid: LabelGrid
    extractor: FeatureExtractor

    def samples(self, clip: Clip) -> int:
        """Samples of the clip, from its header."""
        return audio_samples(clip.path, sample_rate=self.grid.sample_rate)

    def read(self, clip: Clip, *, first_frame: int) -> NDArray[np.float32]:
        """Compute ``(T, F)`` float32 of the crop's audio."""
        audio = AudioInputs(self.grid).read(clip, first_frame=first_frame)
        return self.extractor.compute(audio)


def padded(audio: Signal, samples: int) -> Signal:
    """Audio with silence at its end up to a length; longer audio is returned as it is."""
    if len(audio) >= samples:
        return audio
    return np.pad(audio, (0, samples - len(audio)))
