"""Bells: single strokes by modal synthesis, and clappers that strike many times a second."""

from __future__ import annotations

import numpy as np
from scipy import fft

from train.synthesis.cadence import Interval, gated, groups
from train.synthesis.draw import frequency_hz, log_uniform
from train.synthesis.oscillators import Signal, fade, shaped_noise

_DECAY_DB = 30.0  # a struck bell counts as sounding until it has fallen by this much


def _bell(
    rng: np.random.Generator, *, f0_hz: float, decay_s: float, brightness: float, sample_rate: int
) -> Signal:
    """One stroke on a bell: inharmonic partials, each of which decays at its own rate."""
    ratios = {
        "church": [0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 2.66, 3.01, 4.17, 5.43],
        "hand": [1.0, 2.0, 3.0, 4.2, 5.4, 6.8],
        "bowl": [1.0, 2.78, 5.18, 8.16],
        "bar": [1.0, 2.756, 5.404, 8.933],
        "chime": [1.0, 1.5, 2.0, 2.7, 3.0, 4.1],
    }[str(rng.choice(["church", "hand", "bowl", "bar", "chime"]))]
    partials = f0_hz * np.array(ratios) * (1.0 + 0.02 * rng.standard_normal(len(ratios)))
    partials = partials[partials < 0.47 * sample_rate]
    n = int(min(decay_s * 1.2, 6.0) * sample_rate)
    stroke = np.zeros(n, dtype=np.float32)
    for frequency in partials:
        rate = 6.9 / decay_s * (frequency / partials[0]) ** rng.uniform(0.3, 1.0)
        gain = (frequency / partials[0]) ** (-brightness) * rng.lognormal(0.0, 0.5)
        split = 1.0 + rng.uniform(0.0, 0.003)  # two nearby modes beat, as in every real bell
        for mode, share in ((frequency, 1.0), (frequency * split, 0.5)):
            stroke += share * gain * _decaying_sine(mode, rate, n, sample_rate)
    stroke[: int(0.001 * sample_rate)] *= np.linspace(
        0, 1, int(0.001 * sample_rate), dtype=np.float32
    )
    return stroke / np.float32(np.abs(stroke).max() + 1e-9)


def _decaying_sine(frequency_hz: float, rate: float, n: int, sample_rate: int) -> Signal:
    """``exp(-rate t) sin(2 pi f t)`` as powers of one complex number, a product of two tables."""
    step = 512
    pole = complex(-rate, 2.0 * np.pi * frequency_hz) / sample_rate
    fine = np.exp(pole * np.arange(step)).astype(np.complex64)
    coarse = np.exp(pole * np.arange(0, n, step)).astype(np.complex64)
    wave: Signal = np.outer(coarse, fine).imag.ravel()[:n]
    return wave


def struck_bells(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, list[Interval]]:
    """Door bells (ding-dong), church, hand and desk bells, chimes."""
    f0 = frequency_hz(rng, 250.0, 2400.0, held_out=held_out)
    decay_s = log_uniform(rng, 0.4, 4.5)
    brightness = rng.uniform(0.0, 1.5)
    kind = rng.choice(["ding_dong", "toll", "hand", "peal"])
    notes = [f0]
    if kind == "ding_dong":
        notes = [f0, f0 * rng.uniform(0.7, 0.85)]
        times = [0.0, rng.uniform(0.3, 0.9)]
        if rng.random() < 0.4:
            again = times[1] + rng.uniform(0.8, 2.0)
            times += [again, again + times[1]]
    elif kind == "toll":
        times = list(np.arange(0.0, n / sample_rate, rng.uniform(0.8, 2.5)))
    elif kind == "hand":
        gaps = rng.normal(rng.uniform(0.12, 0.4), 0.02, 80).clip(0.06)
        times = [0.0, *np.cumsum(gaps)]
    else:
        notes = [f0 * 2.0 ** (step / 12.0) for step in rng.choice([0, 2, 4, 5, 7, 9, 11, 12], 4)]
        times = list(np.arange(0.0, n / sample_rate, rng.uniform(0.25, 0.8)))
    strokes = [
        _bell(rng, f0_hz=note, decay_s=decay_s, brightness=brightness, sample_rate=sample_rate)
        for note in notes
    ]
    audio = np.zeros(n, dtype=np.float32)
    intervals: list[Interval] = []
    for number, time_s in enumerate(times):
        start = int(time_s * sample_rate)
        if start > n - int(0.05 * sample_rate):
            break
        stroke = strokes[number % len(strokes)][: n - start]
        audio[start : start + len(stroke)] += stroke * np.float32(rng.uniform(0.6, 1.0))
        audible = _audible_length(stroke, sample_rate)
        intervals.append((start, start + audible))
    # A bell still ringing at the end is damped there.
    audio *= fade(n, attack=0, release=int(0.02 * sample_rate))
    return audio, intervals


def _audible_length(stroke: Signal, sample_rate: int) -> int:
    hop = sample_rate // 100
    rows = stroke[: len(stroke) // hop * hop].reshape(-1, hop)
    level = 10.0 * np.log10(np.square(rows).mean(axis=1) + 1e-12)
    loud = np.flatnonzero(level > level.max(initial=-120.0) - _DECAY_DB)
    return int(loud[-1] + 1) * hop if len(loud) else len(stroke)


def clapper_bell(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, list[Interval]]:
    """Mechanical rings: a clapper between two gongs (telephone, alarm clock, school bell)."""
    f0 = frequency_hz(rng, 500.0, 2800.0, held_out=held_out)
    gongs = [
        _bell(
            rng,
            f0_hz=f0 * ratio,
            decay_s=log_uniform(rng, 0.15, 1.2),
            brightness=rng.uniform(0.0, 1.0),
            sample_rate=sample_rate,
        )
        for ratio in (1.0, rng.uniform(1.02, 1.35))
    ]
    rate_hz = rng.uniform(9.0, 32.0)
    duration_s = n / sample_rate
    if rng.random() < 0.5:
        rings = [(0.0, duration_s)]
    else:
        ring_s, pause_s = rng.uniform(0.4, 2.2), rng.uniform(0.2, 4.0)
        rings = groups(duration_s, on_s=ring_s, off_s=0.0, beeps=1, pause_s=pause_s)
    struck = [np.zeros(n, dtype=np.float32) for _ in gongs]
    intervals: list[Interval] = []
    for on, off in rings:
        times = np.arange(on, off, 1.0 / rate_hz)
        for number, time_s in enumerate(
            times + rng.normal(0.0, 0.002, len(times)).clip(-0.01, 0.01)
        ):
            place = min(max(int(time_s * sample_rate), 0), n - 1)
            struck[number % 2][place] += rng.uniform(0.6, 1.0)
        tail = min(_audible_length(gong, sample_rate) for gong in gongs) // 2
        intervals.append((int(on * sample_rate), min(int(off * sample_rate) + tail, n)))
    size = fft.next_fast_len(n + max(len(gong) for gong in gongs), real=True)
    audio = np.zeros(n, dtype=np.float32)
    for gong, train in zip(gongs, struck, strict=True):
        audio += fft.irfft(fft.rfft(train, size) * fft.rfft(gong, size), size)[:n]
    if rng.random() < 0.5:  # the mechanism itself
        rattle = shaped_noise(
            rng,
            n,
            points_hz=[200.0, 1500.0, 6000.0],
            gains_db=[-20.0, 0.0, -6.0],
            sample_rate=sample_rate,
        )
        beat = np.abs(np.sin(np.pi * rate_hz * np.arange(n) / sample_rate)).astype(np.float32) ** 8
        gate, _ = gated(rattle * beat, rings, edge=200, sample_rate=sample_rate)
        audio += np.float32(0.1 * np.abs(audio).max()) * gate
    return audio, intervals
