"""Electronic alarms: beeps, warbling tones and sirens, buzzers; and tunes, which are no alarms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.synthesis.cadence import Interval, beep_pattern, gated, groups
from train.synthesis.draw import frequency_hz, log_uniform
from train.synthesis.oscillators import Signal, fade, harmonic_tone

_DECAY_DB = 30.0  # a beep that dies away counts as sounding until it has fallen by this much


def beep_spectrum(rng: np.random.Generator) -> NDArray[np.float64]:
    """Harmonics of a piezo or a loudspeaker: sine, square, pulse or something between."""
    order = np.arange(1, 17)
    shape = rng.choice(["sine", "square", "pulse", "soft"])
    if shape == "sine":
        amplitudes = np.where(order == 1, 1.0, 0.0) + (order < 4) * rng.uniform(0.0, 0.05)
    elif shape == "square":
        amplitudes = (order % 2) / order
    elif shape == "pulse":
        amplitudes = np.abs(np.sin(np.pi * order * rng.uniform(0.08, 0.45))) / order
    else:
        amplitudes = 1.0 / order ** rng.uniform(1.5, 3.0)
    scattered: NDArray[np.float64] = amplitudes * 10.0 ** (rng.standard_normal(16) * 4.0 / 20.0)
    return scattered


def beeps(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, list[Interval]]:
    """Digital beeps: clocks, timers, smoke and CO alarms, appliances, reversing vehicles."""
    base = frequency_hz(rng, 380.0, 4200.0, held_out=held_out)
    if rng.random() < 0.15:
        base = frequency_hz(rng, 2850.0, 3450.0, held_out=held_out)  # piezo of a smoke alarm
    spectrum = beep_spectrum(rng)
    second = base * float(rng.choice([1.0, 1.0, 1.0, 1.25, 4 / 3, 1.5, 0.8, 0.75, 2.0]))
    chirp = rng.uniform(-0.25, 0.25) if rng.random() < 0.15 else 0.0
    edge = int(log_uniform(rng, 0.001, 0.02) * sample_rate)
    decay_s = log_uniform(rng, 0.05, 0.6) if rng.random() < 0.2 else None
    audio = np.zeros(n, dtype=np.float32)
    intervals: list[Interval] = []
    for number, (on, off) in enumerate(beep_pattern(rng, n / sample_rate)):
        start, stop = int(on * sample_rate), min(int(off * sample_rate), n)
        if stop - start < 2 * edge + 16:
            continue
        span = np.linspace(0.0, 1.0, stop - start)
        f0 = (second if number % 2 else base) * (1.0 + chirp * span)
        beep = harmonic_tone(rng, f0, spectrum, sample_rate=sample_rate)
        if decay_s is not None:
            beep *= np.exp(-span * (len(span) / sample_rate / decay_s)).astype(np.float32)
        audio[start:stop] += beep * fade(stop - start, attack=edge, release=edge)
        audible = len(span) if decay_s is None else int(_DECAY_DB / 8.686 * decay_s * sample_rate)
        intervals.append((start, min(stop, start + audible)))
    return audio, intervals


def warble(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, list[Interval]]:
    """Sirens and electronic telephones: a tone whose pitch sweeps or trills, in bursts or not."""
    low = frequency_hz(rng, 350.0, 2600.0, held_out=held_out)
    ratio = rng.uniform(1.06, 1.4) if rng.random() < 0.6 else rng.uniform(1.4, 2.4)
    rate_hz = log_uniform(rng, 0.4, 28.0)
    time_s = np.arange(n) / sample_rate
    phase = time_s * rate_hz + rng.random()
    shape = rng.choice(["square", "sine", "saw"])
    if shape == "square":
        sweep = ((phase % 1.0) < 0.5).astype(np.float64)
    elif shape == "sine":
        sweep = 0.5 + 0.5 * np.sin(2.0 * np.pi * phase)
    else:
        sweep = phase % 1.0
    tone = harmonic_tone(rng, low * ratio**sweep, beep_spectrum(rng), sample_rate=sample_rate)
    if rng.random() < 0.5:
        times = [(0.0, n / sample_rate)]
    else:  # ring cadences
        ring_s, pause_s = rng.uniform(0.3, 2.0), rng.uniform(0.2, 4.0)
        times = groups(n / sample_rate, on_s=ring_s, off_s=0.0, beeps=1, pause_s=pause_s)
    return gated(tone, times, edge=int(0.005 * sample_rate), sample_rate=sample_rate)


def buzzer(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, list[Interval]]:
    """Door and oven buzzers: a low rough tone with many harmonics."""
    f0 = frequency_hz(rng, 50.0, 420.0, held_out=held_out)
    order = np.arange(1, int(7500 / f0) + 1)
    peak = log_uniform(rng, 600.0, 3500.0)
    level = -rng.uniform(1.0, 5.0) * np.abs(np.log2(order * f0 / peak)) + 4.0 * rng.standard_normal(
        len(order)
    )
    wobble = 1.0 + 0.004 * rng.standard_normal(n // 800 + 2)
    f0_curve = f0 * np.interp(np.arange(n), np.arange(len(wobble)) * 800, wobble)
    tone = harmonic_tone(rng, f0_curve, 10.0 ** (level / 20.0), sample_rate=sample_rate)
    on_s, off_s = log_uniform(rng, 0.2, 2.5), log_uniform(rng, 0.1, 1.5)
    times = groups(n / sample_rate, on_s=on_s, off_s=off_s, beeps=1, pause_s=off_s)
    return gated(tone, times, edge=int(0.008 * sample_rate), sample_rate=sample_rate)


def melody(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, list[Interval]]:
    """Tunes on simple tones: music, no alarm. A negative, so that a synthetic tone is no clue."""
    root = frequency_hz(rng, 130.0, 700.0, held_out=held_out)
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16])
    beat_s = rng.uniform(0.12, 0.5)
    spectrum = beep_spectrum(rng)
    audio = np.zeros(n, dtype=np.float32)
    step, now = int(rng.integers(len(scale))), 0.0
    while now < n / sample_rate - 0.05:
        length_s = beat_s * float(rng.choice([1, 1, 2, 3]))
        start, stop = int(now * sample_rate), min(int((now + length_s) * sample_rate), n)
        decay = np.exp(-np.linspace(0.0, rng.uniform(1.0, 5.0), stop - start)).astype(np.float32)
        voices = [0] if rng.random() < 0.6 else [0, 4, 7]
        for voice in voices:
            f0 = np.full(stop - start, root * 2.0 ** ((scale[step] + voice) / 12.0))
            audio[start:stop] += harmonic_tone(rng, f0, spectrum, sample_rate=sample_rate) * decay
        audio[start:stop] *= fade(stop - start, attack=80, release=160)
        step = int(np.clip(step + rng.integers(-3, 4), 0, len(scale) - 1))
        now += length_s
    return audio, [(0, n)]
