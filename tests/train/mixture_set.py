"""Mixtures with their sources in FUSS's layout, so plain that little separates them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.train.trees import RATE, write_wav

CLIP_S = 0.5


def write_mixtures(root: Path) -> Path:
    """Write mixtures of a low hum and up to two of: a high tone, clicks."""
    rng = np.random.default_rng(4)
    time_s = np.arange(round(CLIP_S * RATE)) / RATE
    for split, count in (("train", 24), ("validation", 8)):
        for index in range(count):
            made: list[NDArray[np.float64]] = [
                0.2 * np.sin(2 * np.pi * rng.uniform(150, 250) * time_s),
                0.1
                * np.sin(2 * np.pi * rng.uniform(2500, 3500) * time_s)
                * (time_s > rng.uniform(0.1, 0.4)),
                0.3 * (rng.random(len(time_s)) < 0.002),
            ][: 2 + index % 2]
            example = root / split / f"example{index:05d}"
            sources = example.with_name(f"{example.name}_sources")
            for number, source in enumerate(made):
                kind = "background0" if number == 0 else f"foreground{number - 1}"
                write_wav(sources / f"{kind}_sound.wav", source.astype(np.float32))
            write_wav(example.with_suffix(".wav"), sum(made).astype(np.float32))  # type: ignore[union-attr]
    return root
