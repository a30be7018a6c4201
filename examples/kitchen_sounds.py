"""Sounds of a kitchen from formulas: impacts, water, frying, a dog, a cat, and synthetic speech.

Every function returns ``(n,)`` float32 at :data:`RATE`, dry, at no particular level.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from train.synthesis.catalogue import synthesise
from train.synthesis.oscillators import fade, shaped_noise, slow_curve

RATE = 44_100
Signal = NDArray[np.float32]
Curve = NDArray[np.float64]
Sound = Callable[[np.random.Generator], Signal]


def _times(duration_s: float) -> Curve:
    return np.arange(round(duration_s * RATE)) / RATE


def _add(audio: Signal, part: Signal | Curve, at: int) -> None:
    """Add a part in place; what passes the end is cut."""
    part = part[: max(len(audio) - at, 0)]
    audio[at : at + len(part)] += part.astype(np.float32)


def machine(label: str, duration_s: float) -> Sound:
    """An alarm, blender, shaver or vacuum cleaner at pitches that the shipped bundle never met."""

    def make(rng: np.random.Generator) -> Signal:
        audio, _ = synthesise(label, rng, duration_s=duration_s, sample_rate=RATE, held_out=True)
        return audio

    return make


def speech(text: str, *, voice: str, speed: int = 150, pitch: int = 50) -> Sound:
    """A sentence by the formant synthesiser espeak-ng, with the silence around it cut off."""

    def make(_rng: np.random.Generator) -> Signal:
        command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
        wave = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - fixed words
        audio, rate = soundfile.read(io.BytesIO(wave), dtype="float32")
        loud = np.flatnonzero(np.abs(audio) > 0.01)
        voiced: Signal = soxr.resample(audio[loud[0] : loud[-1] + 1], rate, RATE)
        return voiced

    return make


# Frequencies of the modes relative to the lowest, and how long the lowest rings (60 dB, seconds).
_BODIES = {
    "plate": ((1.0, 1.73, 2.33, 3.91, 4.11, 6.30, 6.71, 9.1), (1100.0, 2300.0), (0.10, 0.30)),
    "bowl": ((1.0, 2.67, 4.98, 7.88, 11.3), (900.0, 1800.0), (0.15, 0.45)),
    "glass": ((1.0, 2.32, 4.25, 6.63, 9.38), (1400.0, 3200.0), (0.3, 0.9)),
    "cutlery": ((1.0, 2.76, 5.40, 8.93, 13.3), (1500.0, 4000.0), (0.12, 0.5)),
}


def _impact(rng: np.random.Generator, body: str) -> Curve:
    """One hit by modal synthesis: decaying modes, the higher the sooner gone, and a click."""
    ratios, (low, high), (short, long) = _BODIES[body]
    ring_s = rng.uniform(short, long)
    time_s = _times(1.5 * ring_s)
    hit = np.zeros(len(time_s))
    lowest = rng.uniform(low, high)
    for ratio in ratios:
        frequency = lowest * ratio * rng.normal(1.0, 0.03)
        if frequency < 0.45 * RATE:
            decay = 6.9 / ring_s * ratio**0.5
            gain = rng.lognormal(0.0, 0.6) * ratio**-0.4
            hit += gain * np.exp(-decay * time_s) * np.sin(2 * np.pi * frequency * time_s)
    click = rng.standard_normal(176)  # 4 ms
    hit[: len(click)] += 1.5 * click * np.exp(-np.linspace(0.0, 7.0, len(click)))
    return hit * fade(len(hit), attack=20, release=200)


def dishes(duration_s: float, *, hits_per_s: float = 5.0) -> Sound:
    """Plates, bowls, glasses and cutlery put away: hits that come in bouncing groups."""

    def make(rng: np.random.Generator) -> Signal:
        audio = np.zeros(round(duration_s * RATE), np.float32)
        now_s = 0.0
        while now_s < duration_s - 0.3:
            body = str(rng.choice(list(_BODIES), p=[0.4, 0.2, 0.1, 0.3]))
            gain, gap_s = rng.lognormal(0.0, 0.5), rng.uniform(0.04, 0.12)
            at_s = now_s
            for _ in range(int(rng.integers(1, 6))):
                _add(audio, gain * _impact(rng, body), round(at_s * RATE))
                at_s += gap_s
                gain, gap_s = gain * rng.uniform(0.4, 0.8), gap_s * rng.uniform(0.6, 0.95)
            now_s += rng.exponential(2.5 / hits_per_s)
        return audio

    return make


def running_water(duration_s: float) -> Sound:
    """A tap into a sink: turbulent noise, and bubbles (decaying sines whose pitch rises)."""

    def make(rng: np.random.Generator) -> Signal:
        n = round(duration_s * RATE)
        hiss = shaped_noise(
            rng,
            n,
            points_hz=[100, 400, 1500, 4000, 9000, 18000],
            gains_db=[-22, -8, -2, 0, -6, -18],
            sample_rate=RATE,
        )
        hiss *= 1.0 + 0.15 * slow_curve(rng, n, rate_hz=6.0, sample_rate=RATE)
        bubbles = np.zeros(n, np.float32)
        for at in rng.integers(0, n, rng.poisson(260 * duration_s)):
            frequency = np.exp(rng.normal(np.log(1300.0), 0.55))
            time_s = _times(rng.uniform(0.01, 0.05))
            phase = 2 * np.pi * frequency * time_s * (1.0 + rng.uniform(0.5, 4.0) * time_s)
            gain = rng.pareto(2.5) * (1300.0 / frequency) ** 0.5
            _add(bubbles, gain * np.exp(-5.0 * time_s / time_s[-1]) * np.sin(phase), int(at))
        flow = fade(n, attack=int(0.25 * RATE), release=int(0.3 * RATE))
        water: Signal = (hiss + 0.9 * bubbles / np.std(bubbles)) * flow
        return water

    return make


def frying(duration_s: float) -> Sound:
    """Food in hot oil: a hiss, and crackles of very different sizes."""

    def make(rng: np.random.Generator) -> Signal:
        n = round(duration_s * RATE)
        hiss = shaped_noise(
            rng,
            n,
            points_hz=[200, 1000, 3000, 6000, 12000, 20000],
            gains_db=[-24, -12, -3, 0, -3, -10],
            sample_rate=RATE,
        )
        hiss *= 1.0 + 0.12 * slow_curve(rng, n, rate_hz=9.0, sample_rate=RATE)
        crackles = np.zeros(n, np.float32)
        for at in rng.integers(0, n, rng.poisson(140 * duration_s)):
            length = int(rng.uniform(0.0006, 0.006) * RATE)
            burst = rng.standard_normal(length) * np.exp(-np.linspace(0.0, 5.0, length))
            _add(crackles, min(rng.pareto(1.6), 12.0) * burst, int(at))
        band = butter(2, [1200.0, 11000.0], "bandpass", fs=RATE, output="sos")
        crackles = sosfilt(band, crackles).astype(np.float32)
        sizzle: Signal = (hiss + 1.1 * crackles / np.std(crackles)) * fade(
            n, attack=int(0.4 * RATE), release=int(0.6 * RATE)
        )
        return sizzle

    return make


def _voice(
    rng: np.random.Generator, f0_hz: Curve, formants: list[tuple[Curve, float]], *, tilt: float
) -> Curve:
    """Harmonics of a glottis, each weighted by the resonances of a throat at its own frequency.

    Args:
        rng: draws the phases.
        f0_hz: ``(n,)`` pitch.
        formants: ``(n,)`` centre and bandwidth, in Hz, of each.
        tilt: harmonics fall with this power of their order.
    """
    phase = 2 * np.pi * np.cumsum(f0_hz) / RATE
    audio = np.zeros(len(f0_hz))
    for order in range(1, int(10_000 / f0_hz.min())):
        frequency = order * f0_hz
        gain = sum(1.0 / (1.0 + ((frequency - f) / (0.5 * width)) ** 2) for f, width in formants)
        gain = np.where(frequency < 10_000, gain, 0.0) * order**-tilt
        audio += gain * np.sin(order * phase + rng.uniform(0.0, 2 * np.pi))
    return audio


def _through(points: list[float], n: int) -> Curve:
    """A smooth curve through equally spaced points."""
    place = np.linspace(0.0, len(points) - 1.0, n)
    whole = np.minimum(place.astype(int), len(points) - 2)
    ease = 0.5 - 0.5 * np.cos(np.pi * (place - whole))
    values = np.array(points)
    curve: Curve = values[whole] * (1.0 - ease) + values[whole + 1] * ease
    return curve


def _bark(rng: np.random.Generator, pitch_hz: float) -> Curve:
    """One bark: a rough voice that opens and shuts fast."""
    n = int(rng.uniform(0.16, 0.24) * RATE)
    rough = 1.0 + 0.05 * slow_curve(rng, n, rate_hz=90.0, sample_rate=RATE)
    f0 = pitch_hz * _through([0.7, 1.25, 1.1, 0.65], n) * rough
    formants = [
        (_through([500, 950, 850, 500], n), 350.0),
        (_through([1300, 1800, 1600, 1300], n), 500.0),
        (np.full(n, 3100.0), 900.0),
    ]
    tone = _voice(rng, f0, formants, tilt=0.4)
    breath = shaped_noise(
        rng,
        n,
        points_hz=[200, 700, 1700, 3000, 8000],
        gains_db=[-14, 0, -2, -8, -22],
        sample_rate=RATE,
    )
    half_pitch = 1.0 + 0.5 * np.sin(np.pi * np.cumsum(f0) / RATE)
    shut = np.exp(-3.0 * np.linspace(0.0, 1.0, n) ** 2)
    bark = (tone * half_pitch / np.std(tone) + 0.6 * breath) * shut
    return bark * fade(n, attack=500, release=2500)


def dog(barks: int, *, pitch_hz: float = 420.0, gap_s: float = 0.25) -> Sound:
    """A dog that barks a few times."""

    def make(rng: np.random.Generator) -> Signal:
        audio = np.zeros(round((barks * (gap_s + 0.35)) * RATE), np.float32)
        at = 0
        for _ in range(barks):
            bark = _bark(rng, pitch_hz * rng.normal(1.0, 0.04))
            _add(audio, rng.uniform(0.7, 1.0) * bark, at)
            at += len(bark) + int(gap_s * rng.uniform(0.8, 1.2) * RATE)
        return audio

    return make


def cat(*, pitch_hz: float = 560.0, duration_s: float = 0.85) -> Sound:
    """A meow: the mouth opens from [m] over [i] and [a] to [u]."""

    def make(rng: np.random.Generator) -> Signal:
        n = round(duration_s * RATE)
        tremor = 1.0 + 0.006 * slow_curve(rng, n, rate_hz=12.0, sample_rate=RATE)
        f0 = pitch_hz * _through([0.8, 1.1, 1.25, 1.15, 0.85], n) * tremor
        formants = [
            (_through([450, 900, 1500, 1400, 700], n), 300.0),
            (_through([1600, 2900, 2500, 2000, 1200], n), 400.0),
            (_through([3600, 4300, 4100, 3900, 3500], n), 600.0),
        ]
        mouth = _through([0.25, 0.9, 1.0, 0.8, 0.15], n)
        tone = _voice(rng, f0, formants, tilt=0.5)
        breath = shaped_noise(
            rng, n, points_hz=[300, 1500, 4000, 9000], gains_db=[-12, 0, -4, -16], sample_rate=RATE
        )
        meow = (tone / np.std(tone) + 0.05 * breath) * mouth
        return (meow * fade(n, attack=3000, release=5000)).astype(np.float32)

    return make
