"""Sounds that are none of the classes."""

from __future__ import annotations

import numpy as np

from train.data.bank import Bank, Split
from train.data.class_sounds import Sound
from train.data.soundscape_config import SoundscapeConfig
from train.synthesis.catalogue import NEGATIVES, synthesise
from train.synthesis.draw import log_uniform, pick
from train.synthesis.oscillators import fade


class Distractors:
    """Draws distractors of a split: recorded ones, backgrounds that come and go, synthetic ones."""

    def __init__(self, bank: Bank, *, split: Split, config: SoundscapeConfig) -> None:
        self.bank = bank
        self.config = config
        self.held_out = split == "valid"
        self.foreground = bank.by_label("distractor", split=split)
        self.background = {
            label: clips
            for label, clips in bank.by_label("background", split=split).items()
            if label not in config.excluded_beds
        }

    def draw(self, rng: np.random.Generator) -> Sound:
        """Draw a distractor, at most as long as a scene."""
        config = self.config
        drawn = rng.random()
        duration_s = log_uniform(rng, 0.5, max(config.duration_s, 0.5))
        if drawn < config.synthetic_distractor:
            return self._synthetic(rng, duration_s)
        background = drawn < config.synthetic_distractor + config.background_distractor
        clips = self.background if background else self.foreground
        if not clips:
            return self._synthetic(rng, duration_s)
        clip = pick(rng, clips[pick(rng, tuple(clips))])
        length = self.bank.length(clip)
        n = min(int(duration_s * config.sample_rate), length)
        start = int(rng.integers(0, length - n + 1)) if rng.random() < 0.6 else 0
        audio = self.bank.samples(clip, start, start + n)
        audio *= fade(
            n,
            attack=int(log_uniform(rng, 0.005, 0.2) * config.sample_rate),
            release=int(log_uniform(rng, 0.01, 0.4) * config.sample_rate),
        )
        return Sound(audio, ((0, n),))

    def _synthetic(self, rng: np.random.Generator, duration_s: float) -> Sound:
        rate = self.config.sample_rate
        audio, times = synthesise(
            pick(rng, tuple(NEGATIVES)),
            rng,
            duration_s=duration_s,
            sample_rate=rate,
            held_out=self.held_out,
        )
        return Sound(audio, tuple((int(a * rate), int(b * rate)) for a, b in times))
