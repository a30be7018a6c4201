"""Electric motors: shavers, toothbrushes, vacuum cleaners, blenders.

Every machine is a rotor whose speed follows a load. Tones are harmonics of the speed through
random resonances of the case; noise is airflow, blades or bristles, modulated by the same load
and the same rotor. Machines start and stop with ramps of speed and level.
"""

from __future__ import annotations

import numpy as np

from train.synthesis.draw import frequency_hz, log_uniform
from train.synthesis.machine import Ramps, case_harmonics, clicks, decibels, run_machine, touches
from train.synthesis.oscillators import (
    Signal,
    harmonic_tone,
    random_spectrum,
    shaped_noise,
    slow_curve,
)


def shaver_or_toothbrush(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, tuple[int, int]]:
    """Electric shaver, trimmer or toothbrush, held in a hand and pressed to skin or teeth."""
    kind = rng.choice(
        ["rotary_shaver", "foil_shaver", "mains_clipper", "sonic_brush", "rotary_brush"],
        p=[0.22, 0.22, 0.16, 0.2, 0.2],
    )
    low, high = {
        "rotary_shaver": (75.0, 190.0),
        "foil_shaver": (85.0, 260.0),
        "mains_clipper": (100.0, 120.0),
        "sonic_brush": (215.0, 310.0),
        "rotary_brush": (55.0, 160.0),
    }[kind]
    mains = kind == "mains_clipper"
    # Clippers hum at twice the mains frequency; no strip can be held out of two frequencies.
    f0 = (
        float(rng.choice([100.0, 120.0]))
        if mains
        else frequency_hz(rng, low, high, held_out=held_out)
    )
    f0 *= rng.uniform(0.995, 1.005)
    ramps = Ramps(
        up_s=log_uniform(rng, 0.02, 0.25),
        down_s=log_uniform(rng, 0.03, 0.3),
        idle_speed=1.0 if mains or kind == "sonic_brush" else rng.uniform(0.3, 0.8),
    )
    run = run_machine(n, ramps, sample_rate=sample_rate)
    load = touches(rng, n, sample_rate=sample_rate)
    sag = 0.0 if mains else rng.uniform(0.0, 0.04 if kind == "sonic_brush" else 0.14)
    drift = slow_curve(rng, n, rate_hz=log_uniform(rng, 0.5, 6.0), sample_rate=sample_rate)
    jitter = 0.0005 if mains else log_uniform(rng, 0.001, 0.012)
    f0_curve = f0 * run.speed * (1.0 - sag * load) * (1.0 + jitter * drift)
    harmonics = case_harmonics(
        rng,
        f0,
        tilt_db_per_octave=rng.uniform(1.0, 9.0),
        resonances=int(rng.integers(2, 7)),
        scatter_db=rng.uniform(3.0, 9.0),
        odd_share=rng.random() if rng.random() < 0.4 else 0.0,
    )
    # Skin and teeth change the balance of the harmonics a little, not which there are.
    order = np.arange(1, len(harmonics) + 1)
    change_db = rng.uniform(1.0, 6.0) * rng.standard_normal(len(harmonics))
    pressed_harmonics = harmonics * 10.0 ** (change_db / 20.0) * order ** rng.uniform(-0.4, 0.4)
    phases = int(rng.integers(2**32))
    free, pressed = (
        harmonic_tone(np.random.default_rng(phases), f0_curve, amplitudes, sample_rate=sample_rate)
        for amplitudes in (harmonics, pressed_harmonics)
    )
    tone = free + load * (pressed * np.float32(rng.uniform(0.6, 1.4)) - free)
    if kind == "rotary_brush" or rng.random() < 0.3:
        mesh = frequency_hz(rng, 500.0, 3200.0, held_out=held_out)
        tone += rng.uniform(0.1, 0.9) * harmonic_tone(
            rng,
            f0_curve * (mesh / f0),
            1.0 / np.arange(1, 6) ** rng.uniform(0.5, 2.0),
            sample_rate=sample_rate,
        )
    points, gains = random_spectrum(
        rng,
        tilt_db_per_octave=rng.uniform(2.0, 9.0),
        roughness_db=4.0,
        centre_hz=log_uniform(rng, 1200.0, 6000.0),
    )
    noise = shaped_noise(rng, n, points_hz=points, gains_db=gains, sample_rate=sample_rate)
    beat = harmonic_tone(rng, f0_curve, [1.0, 0.5, 0.3], sample_rate=sample_rate)
    noise *= np.maximum(1.0 + rng.uniform(0.0, 0.7) * beat, 0.05)
    noise *= decibels(np.float32(rng.uniform(-3.0, 9.0)) * load)
    noise_share = log_uniform(rng, 0.08, 1.2)
    audio = (tone + noise_share * noise) * run.level
    audio *= decibels(np.float32(rng.uniform(-5.0, 3.0)) * load)
    wander = slow_curve(rng, n, rate_hz=rng.uniform(0.5, 3.0), sample_rate=sample_rate)
    audio *= decibels(np.float32(rng.uniform(0.3, 2.5)) * wander)
    if "shaver" in kind and rng.random() < 0.7:
        audio += rng.uniform(0.3, 2.0) * clicks(
            rng, load * run.level, log_uniform(rng, 10.0, 200.0), sample_rate=sample_rate
        )
    return audio, run.audible


def vacuum_cleaner(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, tuple[int, int]]:
    """Universal or brushless motor whine in broadband airflow, pushed back and forth on a floor."""
    f0 = frequency_hz(rng, 180.0, 750.0, held_out=held_out)
    ramps = Ramps(
        up_s=log_uniform(rng, 0.3, 2.0),
        down_s=log_uniform(rng, 0.6, 3.5),
        idle_speed=rng.uniform(0.1, 0.5),
    )
    run = run_machine(n, ramps, sample_rate=sample_rate)
    stroke_hz = log_uniform(rng, 0.25, 1.1)
    time_s = np.arange(n, dtype=np.float32) / sample_rate
    wobble = slow_curve(rng, n, rate_hz=stroke_hz, sample_rate=sample_rate)
    strokes = np.sin(2.0 * np.pi * stroke_hz * time_s + rng.uniform(0, 6.28) + wobble)
    load = np.float32(rng.uniform(0.0, 1.0)) * strokes.astype(np.float32)
    f0_curve = f0 * run.speed * (1.0 + rng.uniform(0.0, 0.035) * load) * (1.0 + 0.003 * wobble)
    whine = harmonic_tone(
        rng,
        f0_curve,
        case_harmonics(
            rng,
            f0,
            tilt_db_per_octave=rng.uniform(2.0, 10.0),
            resonances=int(rng.integers(1, 5)),
            scatter_db=rng.uniform(4.0, 10.0),
        ),
        sample_rate=sample_rate,
    )
    if rng.random() < 0.6:  # blades of the fan, some of them outside the harmonics by slip
        whine += rng.uniform(0.1, 1.2) * harmonic_tone(
            rng, f0_curve * rng.uniform(5.0, 12.0), [1.0, rng.random()], sample_rate=sample_rate
        )
    if rng.random() < 0.4:  # rotating brush on the floor
        whine += rng.uniform(0.2, 1.0) * harmonic_tone(
            rng,
            f0_curve * rng.uniform(0.1, 0.45),
            1.0 / np.arange(1, 30) ** rng.uniform(0.5, 1.5),
            sample_rate=sample_rate,
        )
    low_points, low_gains = random_spectrum(
        rng,
        tilt_db_per_octave=rng.uniform(2.0, 6.0),
        roughness_db=3.5,
        centre_hz=log_uniform(rng, 250.0, 1500.0),
    )
    high_points, high_gains = random_spectrum(
        rng,
        tilt_db_per_octave=rng.uniform(2.0, 6.0),
        roughness_db=3.5,
        centre_hz=log_uniform(rng, 1500.0, 5000.0),
    )
    air = shaped_noise(rng, n, points_hz=low_points, gains_db=low_gains, sample_rate=sample_rate)
    hose = shaped_noise(rng, n, points_hz=high_points, gains_db=high_gains, sample_rate=sample_rate)
    hose *= decibels(np.float32(rng.uniform(0.0, 5.0)) * load)
    audio = air + log_uniform(rng, 0.1, 1.2) * hose + log_uniform(rng, 0.06, 1.0) * whine
    audio *= decibels(
        np.float32(rng.uniform(0.0, 2.0)) * load + np.float32(rng.uniform(0.0, 1.0)) * wobble
    )
    return audio * run.level, run.audible


def blender(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, tuple[int, int]]:
    """Universal motor under a changing load, with blades, mesh and the rattle of what it cuts."""
    f0 = frequency_hz(rng, 110.0, 420.0, held_out=held_out)
    ramps = Ramps(
        up_s=log_uniform(rng, 0.08, 0.5),
        down_s=log_uniform(rng, 0.2, 1.2),
        idle_speed=rng.uniform(0.15, 0.5),
    )
    run = run_machine(n, ramps, sample_rate=sample_rate)
    load = touches(rng, n, sample_rate=sample_rate)
    wobble = slow_curve(rng, n, rate_hz=log_uniform(rng, 2.0, 15.0), sample_rate=sample_rate)
    f0_curve = f0 * run.speed * (1.0 - rng.uniform(0.02, 0.25) * load) * (1.0 + 0.01 * wobble)
    tone = harmonic_tone(
        rng,
        f0_curve,
        case_harmonics(
            rng,
            f0,
            tilt_db_per_octave=rng.uniform(0.5, 6.0),
            resonances=int(rng.integers(2, 7)),
            scatter_db=rng.uniform(3.0, 8.0),
        ),
        sample_rate=sample_rate,
    )
    points, gains = random_spectrum(
        rng,
        tilt_db_per_octave=rng.uniform(1.0, 5.0),
        roughness_db=4.0,
        centre_hz=log_uniform(rng, 600.0, 4500.0),
    )
    noise = shaped_noise(rng, n, points_hz=points, gains_db=gains, sample_rate=sample_rate)
    noise *= decibels(
        np.float32(rng.uniform(0.0, 6.0)) * load + np.float32(rng.uniform(0.5, 3.0)) * wobble
    )
    rattle = clicks(rng, load * run.level, log_uniform(rng, 20.0, 300.0), sample_rate=sample_rate)
    audio = (tone + log_uniform(rng, 0.3, 2.5) * noise) * run.level
    return audio + rng.uniform(0.0, 1.5) * rattle, run.audible


def hum(
    rng: np.random.Generator, n: int, *, sample_rate: int, held_out: bool
) -> tuple[Signal, tuple[int, int]]:
    """Fans, compressors, transformers and engines: motors that are none of the ten classes."""
    kind = rng.choice(["mains", "fan", "engine"])
    if kind == "mains":
        f0, tilt, noise_share = (
            float(rng.choice([50.0, 60.0, 100.0, 120.0])),
            rng.uniform(8.0, 16.0),
            0.3,
        )
    elif kind == "fan":
        f0, tilt = frequency_hz(rng, 15.0, 60.0, held_out=held_out), rng.uniform(6.0, 14.0)
        noise_share = log_uniform(rng, 1.0, 8.0)
    else:
        f0, tilt = frequency_hz(rng, 12.0, 45.0, held_out=held_out), rng.uniform(4.0, 9.0)
        noise_share = log_uniform(rng, 0.1, 0.6)
    ramps = Ramps(up_s=rng.uniform(0.2, 1.5), down_s=rng.uniform(0.3, 2.0), idle_speed=0.6)
    run = run_machine(n, ramps, sample_rate=sample_rate)
    drift = slow_curve(rng, n, rate_hz=rng.uniform(0.2, 2.0), sample_rate=sample_rate)
    spread = 0.0003 if kind == "mains" else rng.uniform(0.002, 0.03)
    tone = harmonic_tone(
        rng,
        f0 * run.speed * (1.0 + spread * drift),
        case_harmonics(rng, f0, tilt_db_per_octave=tilt, resonances=0, scatter_db=5.0),
        sample_rate=sample_rate,
    )
    points, gains = random_spectrum(
        rng,
        tilt_db_per_octave=rng.uniform(2.0, 6.0),
        roughness_db=3.0,
        centre_hz=log_uniform(rng, 100.0, 800.0),
    )
    noise = shaped_noise(rng, n, points_hz=points, gains_db=gains, sample_rate=sample_rate)
    return (tone + noise_share * noise) * run.level, run.audible
