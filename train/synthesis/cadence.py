"""When an alarm sounds: cadences, and tones switched by them."""

from __future__ import annotations

import numpy as np

from train.synthesis.draw import log_uniform
from train.synthesis.oscillators import Signal, fade

Interval = tuple[int, int]
Times = list[tuple[float, float]]


def groups(
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


def beep_pattern(rng: np.random.Generator, duration_s: float) -> Times:
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
    return groups(duration_s, on_s=on_s, off_s=off_s, beeps=beeps, pause_s=pause_s)


def gated(
    tone: Signal, times: Times, *, edge: int, sample_rate: int
) -> tuple[Signal, list[Interval]]:
    """Switch a tone on and off at given seconds; returns it and its intervals in samples."""
    audio, intervals = np.zeros_like(tone), []
    for on, off in times:
        start, stop = int(on * sample_rate), min(int(off * sample_rate), len(tone))
        audio[start:stop] = tone[start:stop] * fade(stop - start, attack=edge, release=edge)
        intervals.append((start, stop))
    return audio, intervals
