"""Building blocks: harmonic tones, shaped noise, slow random curves, fades; all float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

Signal = NDArray[np.float32]

_TABLE = 4096


def harmonic_tone(
    rng: np.random.Generator,
    f0_hz: NDArray[np.float64] | Signal,
    amplitudes: ArrayLike,
    *,
    sample_rate: int,
) -> Signal:
    """A periodic tone with random phases by wavetable, without aliasing.

    Args:
        rng: draws the phases.
        f0_hz: ``(n,)`` fundamental at every sample.
        amplitudes: ``(H,)`` of the harmonics 1..H; those that would pass 0.47 of the rate are
            left out.
        sample_rate: in Hz.

    Returns:
        ``(n,)`` float32 of unit root mean square, or silence if no harmonic fits.
    """
    amplitude = np.array(amplitudes, dtype=np.float64)
    fits = int(0.47 * sample_rate / max(float(np.max(f0_hz)), 1.0))
    amplitude = amplitude[: min(fits, _TABLE // 4)]
    rms = float(np.sqrt(np.square(amplitude).sum() / 2.0))
    if rms == 0.0:
        return np.zeros(len(f0_hz), dtype=np.float32)
    spectrum = np.zeros(_TABLE // 2 + 1, dtype=np.complex128)
    phases = rng.uniform(0.0, 2.0 * np.pi, len(amplitude))
    spectrum[1 : len(amplitude) + 1] = amplitude * np.exp(1j * phases)
    table = (fft.irfft(spectrum) * (_TABLE / 2.0) / rms).astype(np.float32)
    table = np.append(table, table[0])
    cycles = np.cumsum(f0_hz / sample_rate, dtype=np.float64)
    position = (cycles - np.floor(cycles)) * _TABLE
    index = position.astype(np.int32)
    below = table[index]
    tone: Signal = below + (position - index).astype(np.float32) * (table[index + 1] - below)
    return tone


def shaped_noise(
    rng: np.random.Generator,
    n: int,
    *,
    points_hz: Sequence[float] | NDArray[np.float64],
    gains_db: Sequence[float] | NDArray[np.float64],
    sample_rate: int,
) -> Signal:
    """Gaussian noise with a spectrum given by points on a logarithmic frequency axis.

    Returns:
        ``(n,)`` float32 of unit root mean square.
    """
    size = fft.next_fast_len(n, real=True)
    bins = size // 2 + 1
    coarse = np.geomspace(20.0, sample_rate / 2.0, 256)
    gain = 10.0 ** (np.interp(np.log(coarse), np.log(points_hz), gains_db) / 20.0)
    shape = np.interp(np.linspace(0.0, sample_rate / 2.0, bins), coarse, gain).astype(np.float32)
    white = rng.standard_normal(2 * bins, dtype=np.float32).view(np.complex64)
    noise: Signal = fft.irfft(white * shape, size)[:n]
    return noise / np.float32(np.sqrt(np.mean(np.square(noise))) + 1e-12)


def slow_curve(rng: np.random.Generator, n: int, *, rate_hz: float, sample_rate: int) -> Signal:
    """A smooth random curve around 0, standard deviation about 1, ``rate_hz`` turns a second."""
    turns = max(round(n / sample_rate * rate_hz), 1) + 3
    values = rng.standard_normal(turns)
    fine = np.linspace(0.0, turns - 1.001, 8 * turns)
    whole = fine.astype(np.int64)
    part = fine - whole
    ease = part * part * (3.0 - 2.0 * part)
    smooth = values[whole] * (1.0 - ease) + values[np.minimum(whole + 1, turns - 1)] * ease
    start = rng.random() * 8.0
    positions = start + np.arange(n, dtype=np.float64) * (8.0 * rate_hz / sample_rate)
    curve: Signal = np.interp(positions, np.arange(len(smooth)), smooth).astype(np.float32)
    return curve


def fade(n: int, *, attack: int, release: int) -> Signal:
    """A gain that rises over ``attack`` samples and falls over the last ``release`` (cosine)."""
    gain = np.ones(n, dtype=np.float32)
    attack, release = min(attack, n), min(release, n)
    if attack > 0:
        gain[:attack] *= 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, attack, dtype=np.float32))
    if release > 0:
        gain[n - release :] *= 0.5 + 0.5 * np.cos(
            np.linspace(0.0, np.pi, release, dtype=np.float32)
        )
    return gain


def random_spectrum(
    rng: np.random.Generator, *, tilt_db_per_octave: float, roughness_db: float, centre_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of a random smooth spectrum: a tilt around a centre, plus random bumps.

    Returns:
        ``(points_hz, gains_db)`` for :func:`shaped_noise`.
    """
    points = np.geomspace(30.0, 8000.0, 14)
    gains = tilt_db_per_octave * np.abs(np.log2(points / centre_hz))
    return points, -gains + roughness_db * rng.standard_normal(len(points))
