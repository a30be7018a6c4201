"""Random draws that keep a share of every frequency range for validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_STRIPS_PER_OCTAVE = 8
_HELD_OUT_EVERY = 4


def held_out_strip(frequency_hz: float) -> bool:
    """Whether a frequency lies in a strip that only validation sounds use.

    The frequency axis is cut into strips of an eighth of an octave; every fourth is held out.
    """
    strip = math.floor(math.log2(frequency_hz) * _STRIPS_PER_OCTAVE)
    return strip % _HELD_OUT_EVERY == 0


def frequency_hz(
    rng: np.random.Generator, low_hz: float, high_hz: float, *, held_out: bool
) -> float:
    """Draw a fundamental log-uniformly from the strips of training or of validation.

    A sound's fundamental decides most of how it sounds, so validation scores on synthetic
    sounds then have pitches that training never had.
    """
    while True:
        value = low_hz * (high_hz / low_hz) ** rng.random()
        if held_out_strip(value) == held_out:
            return float(value)


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """Draw one item, all equally likely."""
    return items[int(rng.integers(len(items)))]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw log-uniformly from ``[low, high]``."""
    return float(low * (high / low) ** rng.random())
