"""Alarms, bells, rings and buzzers: a tone, and the pattern in which it sounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from train.synthesis.draw import frequency_hz, log_uniform
from train.synthesis.oscillators import Signal, fade, harmonic_tone, shaped_noise

Interval = tuple[int, int]
Times = list[tuple[float, float]]

_DECAY_DB = 30.0  # a struck bell counts as sounding until it has fallen by this much


def _beep_spectrum(rng: np.random.Generator) -> NDArray[np.float64]:
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


def _groups(
    duration_s: float,
    *,
    on_s: float,
    off_s: float,
    beeps: int,
    pause_s: float,
) -> Times:
    """Groups of ``beeps`` beeps with a pause after each, until the time is over."""
    times, now = [], 0.0
    while now < duration_s:
        for _ in range(beeps):
            times.append((now, now + on_s))
            now += on_s + off_s
        now += max(pause_s - off_s, 0.0)
    return [(a, b) for a, b in times if b <= duration_s] or [(0.0, min(on_s, duration_s))]


def _pattern(rng: np.random.Generator, duration_s: float) -> Times:
    """When a digital alarm beeps: single, double, triple, quad, smoke T3, CO T4, continuous."""
    kind = rng.choice(
        [
            "single",
            "double",
            "triple",
            "quad",
            "smoke_t3",
            "co_t4",
            "steady",
            "once",
            "accelerating",
        ],
        p=[0.2, 0.1, 0.08, 0.14, 0.14, 0.06, 0.08, 0.1, 0.1],
    )
    on_s, off_s = log_uniform(rng, 0.03, 0.4), log_uniform(rng, 0.03, 0.4)
    stretch = rng.uniform(0.9, 1.1)
    if kind == "smoke_t3":  # ISO 8201: three half-second beeps, half-second gaps, 1.5 s pause
        on_s, off_s, beeps, pause_s = 0.5 * stretch, 0.5 * stretch, 3, 1.5 * stretch
    elif kind == "co_t4":  # four short beeps, then five seconds
        on_s, off_s, beeps, pause_s = 0.1 * stretch, 0.1 * stretch, 4, 5.0 * stretch
    elif kind == "steady":
        return [(0.0, duration_s)]
    elif kind == "once":
        return [(0.0, min(on_s * 2.0, duration_s))]
    elif kind == "accelerating":
        times, now, gap = [], 0.0, rng.uniform(0.4, 1.0)
        while now + on_s < duration_s:
            times.append((now, now + on_s))
            now += on_s + gap
            gap = max(gap * rng.uniform(0.8, 0.97), 0.05)
        return times or [(0.0, min(on_s, duration_s))]
    else:
        beeps = {"single": 1, "double": 2, "triple": 3, "quad": 4}[str(kind)]
        pause_s = log_uniform(rng, 0.15, 1.5)
    return _groups(duration_s, on_s=on_s, off_s=off_s, beeps=beeps, pause_s=pause_s)


def beeps(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, list[Interval]]:
    """Digital beeps: clocks, timers, smoke and CO alarms, appliances, reversing vehicles."""
    base = frequency_hz(rng, 380.0, 4200.0, held_out=held_out)
    if rng.random() < 0.15:
        base = frequency_hz(rng, 2850.0, 3450.0, held_out=held_out)  # piezo of a smoke alarm
    spectrum = _beep_spectrum(rng)
    second = base * float(rng.choice([1.0, 1.0, 1.0, 1.25, 4 / 3, 1.5, 0.8, 0.75, 2.0]))
    chirp = rng.uniform(-0.25, 0.25) if rng.random() < 0.15 else 0.0
    edge = int(log_uniform(rng, 0.001, 0.02) * sample_rate)
    decay_s = log_uniform(rng, 0.05, 0.6) if rng.random() < 0.2 else None
    audio = np.zeros(n, dtype=np.float32)
    intervals: list[Interval] = []
    for number, (on, off) in enumerate(_pattern(rng, n / sample_rate)):
        start, stop = int(on * sample_rate), min(int(off * sample_rate), n)
        if stop - start < 2 * edge + 16:
            continue
        span = np.linspace(0.0, 1.0, stop - start)
        f0 = (second if number % 2 else base) * (1.0 + chirp * span)
        beep = harmonic_tone(rng, f0, spectrum, sample_rate=sample_rate)
        if decay_s is not None:
            beep *= np.exp(-span * (len(span) / sample_rate / decay_s)).astype(np.float32)
        audio[start:stop] += beep * fade(stop - start, attack=edge, release=edge)
        heard = len(span) if decay_s is None else int(_DECAY_DB / 8.686 * decay_s * sample_rate)
        intervals.append((start, min(stop, start + heard)))
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
    tone = harmonic_tone(rng, low * ratio**sweep, _beep_spectrum(rng), sample_rate=sample_rate)
    if rng.random() < 0.5:
        times = [(0.0, n / sample_rate)]
    else:  # ring cadences
        ring_s, pause_s = rng.uniform(0.3, 2.0), rng.uniform(0.2, 4.0)
        times = _groups(n / sample_rate, on_s=ring_s, off_s=0.0, beeps=1, pause_s=pause_s)
    return _gated(tone, times, edge=int(0.005 * sample_rate), sample_rate=sample_rate)


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
    times = _groups(n / sample_rate, on_s=on_s, off_s=off_s, beeps=1, pause_s=off_s)
    return _gated(tone, times, edge=int(0.008 * sample_rate), sample_rate=sample_rate)


def _gated(
    tone: Signal, times: Times, *, edge: int, sample_rate: int
) -> tuple[Signal, list[Interval]]:
    audio, intervals = np.zeros_like(tone), []
    for on, off in times:
        start, stop = int(on * sample_rate), min(int(off * sample_rate), len(tone))
        audio[start:stop] = tone[start:stop] * fade(stop - start, attack=edge, release=edge)
        intervals.append((start, stop))
    return audio, intervals


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
        heard = _audible_length(stroke, sample_rate)
        intervals.append((start, start + heard))
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
        rings = _groups(duration_s, on_s=ring_s, off_s=0.0, beeps=1, pause_s=pause_s)
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
        gate, _ = _gated(rattle * beat, rings, edge=200, sample_rate=sample_rate)
        audio += np.float32(0.1 * np.abs(audio).max()) * gate
    return audio, intervals


def melody(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, list[Interval]]:
    """Tunes on simple tones: music, no alarm. A negative, so that a synthetic tone is no clue."""
    root = frequency_hz(rng, 130.0, 700.0, held_out=held_out)
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16])
    beat_s = rng.uniform(0.12, 0.5)
    spectrum = _beep_spectrum(rng)
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
