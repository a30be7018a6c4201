"""Log-mel spectrogram, for the eye."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

BANDS = 80
_LOWEST_HZ = 50.0
_HIGHEST_HZ = 16000.0
_FLOOR_DB = -70.0
_QUIET_DB = 0.0
_COLUMNS = 900
_FRAME_S = 0.04


def mel(hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return the pitch in mel (O'Shaughnessy)."""
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(hz, float) / 700.0))


def band_edges_hz(rate: int) -> NDArray[np.float64]:
    """Return ``(BANDS + 2,)`` frequencies, evenly spaced in mel, up to Nyquist or 16 kHz."""
    ends = mel(np.array([_LOWEST_HZ, min(_HIGHEST_HZ, rate / 2)]))
    return np.asarray(700.0 * (10.0 ** (np.linspace(ends[0], ends[1], BANDS + 2) / 2595.0) - 1.0))


def log_mel(samples: NDArray[np.float32], rate: int, *, length_s: float) -> NDArray[np.float32]:
    """Return the spectrogram of samples, blank from their end to ``length_s``.

    Args:
        samples: ``(N,)`` mono.
        rate: of the samples.
        length_s: what the spectrogram shows; at least as long as the samples.

    Returns:
        ``(BANDS, T)`` float32 dB under the loudest, at least -70, NaN after the samples' end.
    """
    length = max(round(length_s * rate), len(samples))
    columns = max(1, min(_COLUMNS, round(length_s / 0.01)))
    size = max(16, round(_FRAME_S * rate))
    centres = ((np.arange(columns) + 0.5) * length / columns).astype(int)
    padded = np.pad(samples, (size // 2, length - len(samples) + size))
    frames = sliding_window_view(padded, size)[centres] * np.hanning(size).astype(np.float32)
    points = 1 << max(9, (size - 1).bit_length() + 1)  # finer than a mel band, to leave no hole
    power = np.abs(np.fft.rfft(frames, points, axis=1)) ** 2
    level = 10.0 * np.log10(power @ _triangles(rate, points).T + 1e-10).T
    loudest = max(float(level.max()), _QUIET_DB)  # silence stays dark
    level = np.maximum(level - loudest, _FLOOR_DB)
    level[:, centres >= len(samples)] = np.nan
    return level.astype(np.float32)


def _triangles(rate: int, points: int) -> NDArray[np.float64]:
    """Return ``(BANDS, points // 2 + 1)`` triangular filters with a sum of about one."""
    hz = np.arange(points // 2 + 1) * rate / points
    edges = band_edges_hz(rate)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (hz - low) / (centre - low), (high - hz) / (high - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12))
