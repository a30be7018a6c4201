"""Alarms, bells, rings and buzzers, in the shares in which scenes have them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from train.synthesis.beeps import beeps, buzzer, warble
from train.synthesis.bells import clapper_bell, struck_bells
from train.synthesis.cadence import Interval
from train.synthesis.oscillators import Signal

Alarm = Callable[..., tuple[Signal, list[Interval]]]

ALARMS: tuple[tuple[Alarm, float], ...] = (
    (beeps, 0.38),
    (warble, 0.16),
    (buzzer, 0.08),
    (struck_bells, 0.2),
    (clapper_bell, 0.18),
)


def alarm(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, list[Interval]]:
    """Any of the alarms."""
    shares = [share for _, share in ALARMS]
    make = ALARMS[int(rng.choice(len(ALARMS), p=shares))][0]
    return make(rng, n, sample_rate=sample_rate, held_out=held_out)
