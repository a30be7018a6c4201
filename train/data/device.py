"""What a recording device does to a scene: colour, noise, codec, level, clipping, silence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.data.colour import colour, equaliser_db
from train.data.level import level_db
from train.data.soundscape_config import SoundscapeConfig
from train.synthesis.draw import log_uniform

Signal = NDArray[np.float32]

_MU = 255.0


def record(
    rng: np.random.Generator, scene: Signal, config: SoundscapeConfig
) -> tuple[Signal, tuple[int, int]]:
    """Record a scene with a random device.

    Args:
        rng: draws the device.
        scene: ``(N,)`` at any level.
        config: how often each fault occurs.

    Returns:
        ``(N,)`` float32 in [-1, 1], and the samples outside of which it is digital silence.
    """
    n, rate = len(scene), config.sample_rate
    low_pass, high_pass = (
        rng.random() < config.device_low_pass,
        rng.random() < config.device_high_pass,
    )
    curve = equaliser_db(
        rng,
        spread_db=config.device_equaliser_db,
        sample_rate=rate,
        low_pass=(
            (
                log_uniform(rng, *config.device_low_pass_hz),
                log_uniform(rng, *config.low_pass_db_per_octave),
            )
            if low_pass
            else None
        ),
        high_pass_hz=log_uniform(rng, *config.device_high_pass_hz) if high_pass else None,
    )
    audio, _ = colour(scene, sample_rate=rate, curve_db=curve)
    now_db = level_db(audio, rate)
    if rng.random() < config.device_noise:
        noise_db = now_db + rng.uniform(*config.device_noise_db)
        noise = rng.standard_normal(n, dtype=np.float32)
        audio += noise * np.float32(10.0 ** (noise_db / 20.0))
    wanted_db = rng.triangular(*config.level_dbfs)
    audio *= np.float32(10.0 ** ((wanted_db - now_db) / 20.0))
    peak = float(np.abs(audio).max())
    if rng.random() < config.clipped:
        audio *= np.float32(10.0 ** (rng.uniform(*config.overdrive_db) / 20.0) / max(peak, 1e-9))
    elif peak > 0.99:
        audio *= np.float32(0.99 / peak)
    audio = np.clip(audio, -1.0, 1.0)
    if rng.random() < config.companded:
        audio = companded(audio)
    kept = (0, n)
    if rng.random() < config.silent_edge:
        silence = int(min(rng.uniform(*config.silent_edge_s) * rate, n // 2))
        kept = (silence, n) if rng.random() < 0.5 else (0, n - silence)
        audio[: kept[0]] = 0.0
        audio[kept[1] :] = 0.0
    return audio, kept


def companded(audio: Signal) -> Signal:
    """8-bit mu-law and back (ITU-T G.711, continuous law)."""
    compressed = np.sign(audio) * np.log1p(_MU * np.abs(audio)) / np.log1p(_MU)
    levels = np.round(compressed * 127.0) / 127.0
    expanded: Signal = (np.sign(levels) * np.expm1(np.abs(levels) * np.log1p(_MU)) / _MU).astype(
        np.float32
    )
    return expanded
