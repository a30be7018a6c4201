"""Speed, equalisation and room in one pass over the spectrum; looping."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from train.data.soundscape_config import SoundscapeConfig
from train.synthesis.draw import log_uniform

Signal = NDArray[np.float32]

_GRID = 384


def equaliser_db(
    rng: np.random.Generator,
    *,
    spread_db: float,
    sample_rate: int,
    low_pass: tuple[float, float] | None = None,
    high_pass_hz: float | None = None,
) -> NDArray[np.float64]:
    """A random smooth gain curve over a logarithmic grid from 20 Hz to half the rate, in dB.

    Args:
        rng: draws six random gains, an octave and more apart, and a tilt.
        spread_db: their standard deviation.
        sample_rate: in Hz.
        low_pass: also fall above this frequency in Hz, by this many dB an octave.
        high_pass_hz: also fall at 12 dB an octave below this.
    """
    grid = np.geomspace(20.0, sample_rate / 2.0, _GRID)
    place = np.linspace(0.0, 5.0, _GRID)
    gains = rng.standard_normal(6) * spread_db
    curve: NDArray[np.float64] = np.interp(place, np.arange(6), gains)
    curve = curve + rng.standard_normal() * 0.3 * spread_db * (place - 2.5)
    if low_pass is not None:
        curve -= np.clip(np.log2(grid / low_pass[0]), 0.0, None) * low_pass[1]
    if high_pass_hz is not None:
        curve -= np.clip(np.log2(high_pass_hz / grid), 0.0, None) * 12.0
    return np.clip(curve, -80.0, 30.0)


def random_low_pass(
    rng: np.random.Generator, config: SoundscapeConfig
) -> tuple[float, float] | None:
    """Where and how steeply a source's highs end, for the share of sources that has none."""
    if rng.random() >= config.source_low_pass:
        return None
    slope = log_uniform(rng, *config.low_pass_db_per_octave)
    return log_uniform(rng, *config.source_low_pass_hz), slope


def colour(
    audio: Signal,
    *,
    sample_rate: int,
    speed: float = 1.0,
    curve_db: NDArray[np.float64] | None = None,
    response: Signal | None = None,
) -> tuple[Signal, float]:
    """Change speed (and pitch) by resampling, equalise and reverberate, all in one spectrum.

    Args:
        audio: ``(n,)``.
        sample_rate: in Hz.
        speed: greater is faster, shorter and higher.
        curve_db: gains on the grid of :func:`equaliser_db`.
        response: impulse response.

    Returns:
        The coloured audio with the room's tail (longer than the input by the response), and the
        speed that was used: the wanted one or up to 4 % slower, as a fast transform allows.
    """
    tail = 0 if response is None else len(response)
    size = fft.next_fast_len(len(audio) + int(tail * speed) + 256, real=True)
    spectrum = fft.rfft(audio, size)
    out_size = fft.next_fast_len(round(size / speed), real=True)
    speed = size / out_size
    bins = out_size // 2 + 1
    if bins <= len(spectrum):
        spectrum = spectrum[:bins]
    else:
        spectrum = np.concatenate((spectrum, np.zeros(bins - len(spectrum), np.complex64)))
    spectrum *= np.float32(1.0 / speed)
    if curve_db is not None:
        grid = np.geomspace(20.0, sample_rate / 2.0, _GRID)
        gain = np.interp(np.linspace(0.0, sample_rate / 2.0, bins), grid, 10.0 ** (curve_db / 20.0))
        spectrum *= gain.astype(np.float32)
    if response is not None:
        spectrum *= fft.rfft(response, out_size)
    length = min(round(len(audio) / speed) + tail, out_size)
    return fft.irfft(spectrum, out_size)[:length], speed


def loop(rng: np.random.Generator, material: Signal, n: int, *, crossfade: int) -> Signal:
    """Fill ``n`` samples from material: a random cut, or random cuts joined by crossfades."""
    if len(material) >= n:
        start = int(rng.integers(0, len(material) - n + 1))
        return material[start : start + n]
    cross = min(crossfade, len(material) // 3)
    rise = np.sqrt((np.arange(cross, dtype=np.float32) + 0.5) / max(cross, 1))
    out = np.zeros(n + len(material), dtype=np.float32)
    first = int(rng.integers(0, len(material) // 2 + 1))
    piece = material[first:]
    out[: len(piece)] = piece
    filled = len(piece)
    while filled < n:
        piece = material[int(rng.integers(0, len(material) // 4 + 1)) :]
        joint = min(cross, filled, len(piece))
        out[filled - joint : filled] *= rise[:joint][::-1]
        piece = piece.copy()
        piece[:joint] *= rise[:joint]
        out[filled - joint : filled - joint + len(piece)] += piece
        filled += len(piece) - joint
    return out[:n]
