"""Sounds of a kitchen from formulas: impacts, water, frying, a dog, a cat, and synthetic speech.

Every function returns ``(n,)`` float32 at :data:`RATE`, dry, at no particular level.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

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


def synthetic(maker: Callable[..., Any], duration_s: float, *, draw: int) -> Sound:
    """A machine or alarm of ``train.synthesis``, at a pitch that training leaves out.

    Args:
        maker: such as :func:`train.synthesis.motors.blender`.
        duration_s: how long it runs.
        draw: which of the many machines of this kind.
    """

    def make(_rng: np.random.Generator) -> Signal:
        rng, n = np.random.default_rng(draw), round(duration_s * RATE)
        audio: Signal = maker(rng, n, sample_rate=RATE, held_out=True)[0]
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


def _ring(rng: np.random.Generator) -> Curve:
    """A dish that is hit, by modal synthesis: many dense modes, the higher the sooner gone."""
    ring_s, lowest_hz = rng.uniform(0.05, 0.2), rng.uniform(700.0, 1800.0)
    time_s = _times(1.5 * ring_s)
    hit = np.zeros(len(time_s))
    for ratio in np.cumsum([1.0, *rng.uniform(0.25, 0.9, 24)]):
        if ratio * lowest_hz < 0.45 * RATE:
            decay = np.exp(-6.9 / ring_s * ratio**0.6 * time_s)
            phase = 2 * np.pi * ratio * lowest_hz * time_s + rng.uniform(0.0, 2 * np.pi)
            hit += rng.lognormal(0.0, 0.8) * ratio**-0.3 * decay * np.sin(phase)
    hit /= np.std(hit[: RATE // 100])
    click = rng.standard_normal(176)  # 4 ms
    hit[: len(click)] += 1.5 * click * np.exp(-np.linspace(0.0, 7.0, len(click)))
    return hit * fade(len(hit), attack=10, release=200)


def dishes(duration_s: float, *, hits_per_s: float = 2.5) -> Sound:
    """Dishes put away: hits in bouncing groups, and in every hit two things that ring."""

    def make(rng: np.random.Generator) -> Signal:
        audio = np.zeros(round(duration_s * RATE), np.float32)
        now_s = 0.0
        while now_s < duration_s - 0.3:
            gain, gap_s = rng.lognormal(0.0, 0.5), rng.uniform(0.03, 0.1)
            at_s = now_s
            for _ in range(int(rng.integers(1, 7))):
                for _ in range(2):
                    _add(audio, gain * rng.uniform(0.4, 1.0) * _ring(rng), round(at_s * RATE))
                at_s += gap_s
                gain, gap_s = gain * rng.uniform(0.4, 0.8), gap_s * rng.uniform(0.6, 0.95)
            now_s += 0.05 + rng.exponential(1.0 / hits_per_s)
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
    """One bark: a slightly rough voice, the mouth opening and shutting fast."""
    n = int(rng.uniform(0.18, 0.25) * RATE)
    rough = 1.0 + 0.03 * slow_curve(rng, n, rate_hz=60.0, sample_rate=RATE)
    f0 = pitch_hz * _through([0.75, 1.15, 1.1, 0.7], n) * rough
    formants = [
        (_through([500, 900, 850, 500], n), 300.0),
        (_through([1300, 1700, 1600, 1200], n), 450.0),
        (np.full(n, 2900.0), 900.0),
    ]
    tone = _voice(rng, f0, formants, tilt=1.1)
    breath = shaped_noise(
        rng,
        n,
        points_hz=[200, 700, 1700, 3000, 8000],
        gains_db=[-14, 0, -2, -8, -22],
        sample_rate=RATE,
    )
    half_pitch = 1.0 + 0.15 * np.sin(np.pi * np.cumsum(f0) / RATE)
    shut = np.exp(-2.5 * np.linspace(0.0, 1.0, n) ** 2)
    bark = (tone * half_pitch / np.std(tone) + 0.12 * breath) * shut
    return bark * fade(n, attack=700, release=2500)


def dog(barks: int, *, pitch_hz: float = 480.0, gap_s: float = 0.25) -> Sound:
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
