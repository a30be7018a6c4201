"""What lies under a scene: background recordings, or noise of a random spectrum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.data.bank import Bank, Split
from train.data.colour import colour, equaliser_db, loop, random_low_pass
from train.data.level import level_db
from train.data.soundscape_config import SoundscapeConfig
from train.synthesis.draw import log_uniform, pick
from train.synthesis.oscillators import shaped_noise

Signal = NDArray[np.float32]

_SPEED = (0.8, 1.25)
_CROSSFADE_S = 0.4


class Beds:
    """Draws beds from the background recordings of a split."""

    def __init__(self, bank: Bank, *, split: Split, config: SoundscapeConfig) -> None:
        self.bank = bank
        self.config = config
        self.recordings = {
            label: clips
            for label, clips in bank.by_label("background", split=split).items()
            if label not in config.excluded_beds
        }

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Signal, float]:
        """Draw a bed.

        Returns:
            ``(n,)`` float32 of level 0 dB, and the level in dB from which the signal-to-noise
            ratios of sources count: 0, or more where the bed is next to silence.
        """
        config = self.config
        drawn = rng.random()
        silent = drawn < config.bed_silence
        if silent or drawn < config.bed_silence + config.bed_noise or not self.recordings:
            bed = self._noise(rng, n)
        else:
            bed = self._recorded(rng, n)
            if rng.random() < config.second_bed:
                bed = bed + self._recorded(rng, n) * np.float32(10 ** (rng.uniform(-15, 0) / 20))
        bed = _normalised(bed, config.sample_rate)
        return bed, rng.uniform(*config.silent_bed_db) if silent else 0.0

    def _noise(self, rng: np.random.Generator, n: int) -> Signal:
        points = np.geomspace(30.0, 8000.0, 10)
        slope = rng.uniform(-1.0, 7.0) * np.log2(points / 30.0)
        gains = -slope + rng.uniform(0.0, 4.0) * rng.standard_normal(len(points))
        return shaped_noise(
            rng, n, points_hz=points, gains_db=gains, sample_rate=self.config.sample_rate
        )

    def _recorded(self, rng: np.random.Generator, n: int) -> Signal:
        rate = self.config.sample_rate
        clip = pick(rng, self.recordings[pick(rng, tuple(self.recordings))])
        speed = log_uniform(rng, *_SPEED)
        need = int(n * speed) + 512
        start = int(rng.integers(0, max(self.bank.length(clip) - need, 0) + 1))
        material = self.bank.samples(clip, start, start + need)
        audio, _ = colour(
            loop(rng, material, need, crossfade=int(_CROSSFADE_S * rate)),
            sample_rate=rate,
            speed=speed,
            curve_db=equaliser_db(
                rng,
                spread_db=self.config.source_equaliser_db,
                sample_rate=rate,
                low_pass=random_low_pass(rng, self.config),
            ),
        )
        bed = np.zeros(n, np.float32)
        bed[: len(audio)] = audio[:n]
        return _normalised(bed, rate)


def _normalised(bed: Signal, sample_rate: int) -> Signal:
    """Scale to a level of 0 dB."""
    return bed * np.float32(10.0 ** (-max(level_db(bed, sample_rate), -100.0) / 20.0))
