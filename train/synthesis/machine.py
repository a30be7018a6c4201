"""Parts of every electric machine: run-up and run-down, harmonics of the case, load, ticks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.synthesis.draw import log_uniform
from train.synthesis.oscillators import Signal

Curve = NDArray[np.float64]

AUDIBLE = 0.06  # of the running level: where a ramp counts as sound (-24 dB)


@dataclass(frozen=True, slots=True)
class Ramps:
    """How a machine starts and stops, in seconds, and the speed share at which it does."""

    up_s: float
    down_s: float
    idle_speed: float


@dataclass(frozen=True, slots=True)
class Run:
    """Speed and level of a machine over time, ``(n,)`` each, and where it is audible (samples)."""

    speed: Signal
    level: Signal
    audible: tuple[int, int]


def run_machine(n: int, ramps: Ramps, *, sample_rate: int) -> Run:
    """Start at sample 0, stop so that the ramp ends at sample ``n``."""
    up = min(int(ramps.up_s * sample_rate), n // 3)
    down = min(int(ramps.down_s * sample_rate), n // 3)
    drive = np.ones(n, dtype=np.float32)
    drive[:up] = 1.0 - np.exp(-4.0 * np.linspace(0.0, 1.0, up, dtype=np.float32))
    if down:
        drive[n - down :] = np.exp(-5.0 * np.linspace(0.0, 1.0, down, dtype=np.float32))
        drive[n - down :] *= np.linspace(1.0, 0.0, down, dtype=np.float32) ** 0.3
    speed = ramps.idle_speed + (1.0 - ramps.idle_speed) * drive
    level = drive**1.5
    loud = np.flatnonzero(level >= AUDIBLE)
    return Run(speed, level, (int(loud[0]), int(loud[-1]) + 1))


def case_harmonics(
    rng: np.random.Generator,
    f0_hz: float,
    *,
    tilt_db_per_octave: float,
    resonances: int,
    scatter_db: float,
    odd_share: float = 0.0,
) -> Curve:
    """Amplitudes of harmonics: a tilt, random resonances of the case, and scatter.

    Args:
        rng: draws the resonances.
        f0_hz: fundamental.
        tilt_db_per_octave: how fast harmonics fall.
        resonances: number of peaks between 300 Hz and 7 kHz.
        scatter_db: standard deviation of single harmonics.
        odd_share: 0 keeps even harmonics, 1 removes them.
    """
    count = int(7600.0 / f0_hz) + 1
    order = np.arange(1, count + 1)
    octaves = np.log2(order * f0_hz / max(f0_hz, 100.0))
    level = -tilt_db_per_octave * octaves + scatter_db * rng.standard_normal(count)
    for _ in range(resonances):
        centre, width = log_uniform(rng, 300.0, 7000.0), rng.uniform(0.08, 0.6)
        level += rng.uniform(6.0, 22.0) * np.exp(
            -0.5 * (np.log2(order * f0_hz / centre) / width) ** 2
        )
    amplitudes: Curve = 10.0 ** (level / 20.0)
    amplitudes[1::2] *= 1.0 - odd_share
    return amplitudes


def touches(rng: np.random.Generator, n: int, *, sample_rate: int) -> Signal:
    """Load of a hand-held machine in [0, 1]: it touches something, presses, and is lifted."""
    edges = [0.0]
    while edges[-1] < n / sample_rate:
        edges.append(edges[-1] + log_uniform(rng, 0.15, 3.0))
    pressed = rng.random() < 0.5
    values = []
    for _ in edges:
        values.append(rng.uniform(0.4, 1.0) if pressed else rng.uniform(0.0, 0.15))
        pressed = not pressed
    knots = np.repeat(edges, 2)[1:]
    levels = np.repeat(values, 2)[:-1]
    knots[2::2] += log_uniform(rng, 0.03, 0.5)  # no touch is a step
    positions = np.arange(0, n, 64) / sample_rate
    coarse = np.interp(positions, np.maximum.accumulate(knots), levels)
    load: Signal = np.interp(np.arange(n), np.arange(0, n, 64), coarse).astype(np.float32)
    return load


def decibels(curve: Signal) -> Signal:
    """Gain factor of a curve in dB."""
    gain: Signal = np.exp(curve * np.float32(np.log(10.0) / 20.0))
    return gain


def clicks(rng: np.random.Generator, gate: Signal, rate_hz: float, *, sample_rate: int) -> Signal:
    """Short random ticks (hair cut, bristles caught) at a Poisson rate while ``gate`` is high."""
    n = len(gate)
    ticks = np.zeros(n, dtype=np.float32)
    count = rng.poisson(rate_hz * n / sample_rate)
    places = rng.integers(0, n, count)
    np.add.at(ticks, places, (rng.exponential(1.0, count) * np.sign(rng.standard_normal(count))))
    ticks *= gate
    length = int(log_uniform(rng, 0.001, 0.006) * sample_rate)
    kernel = rng.standard_normal(length) * np.exp(-4.0 * np.linspace(0.0, 1.0, length))
    return np.convolve(ticks, kernel.astype(np.float32))[:n].astype(np.float32)
