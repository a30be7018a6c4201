"""Raw samples in ffmpeg's formats, under its names."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

SampleFormat = Literal[
    "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be", "f64le", "f64be",
    "u8", "s8", "u16le", "u16be", "u24le", "u24be", "u32le", "u32be", "mulaw", "alaw",
]  # fmt: skip
"""Letter for signed, unsigned or float, bits, byte order; and the companded ones of telephony."""

Array = NDArray[np.float32]


def sample_bytes(sample_format: SampleFormat) -> int:
    """Return the size of one sample."""
    return 1 if sample_format in _COMPANDED else int(sample_format.strip("sufble")) // 8


def is_float(sample_format: SampleFormat) -> bool:
    """Whether samples may have any magnitude, and be NaN."""
    return sample_format[0] == "f"


def decode_samples(data: bytes, sample_format: SampleFormat) -> Array:
    """Return whole samples as float32, full scale 1, in an array of its own."""
    if (table := _COMPANDED.get(sample_format)) is not None:
        return table[np.frombuffer(data, np.uint8)]
    kind, order = sample_format[0], ">" if sample_format.endswith("be") else "<"
    size = sample_bytes(sample_format)
    if kind == "f":
        with np.errstate(over="ignore"):  # a float64 beyond float32 is infinite, and no sample
            return np.frombuffer(data, f"{order}f{size}").astype(np.float32)
    if size == 3:
        data, size = _as_32_bits(data, order), 4
    values = np.frombuffer(data, f"{order}{'i' if kind == 's' else 'u'}{size}")
    scale = np.float32(2.0 ** (8 * size - 1))
    if kind == "u":
        # In float64, which holds every difference: near the middle float32 does not.
        return ((values.astype(np.float64) - scale) / scale).astype(np.float32)
    samples = values.astype(np.float32)
    samples /= scale
    return samples


def _as_32_bits(data: bytes, order: str) -> bytes:
    """Add the lowest byte, of 0, to integers of 24 bits."""
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, slice(0, 3) if order == ">" else slice(1, 4)] = np.frombuffer(data, np.uint8).reshape(
        -1, 3
    )
    return wide.tobytes()


def _mulaw() -> Array:
    """Return the value of each byte (ITU-T G.711, table 2)."""
    code = ~np.arange(256, dtype=np.uint8)
    magnitude = (((code & 0x0F).astype(np.int32) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return (np.where(code & 0x80, -magnitude, magnitude) / 32768.0).astype(np.float32)


def _alaw() -> Array:
    """Return the value of each byte (ITU-T G.711, table 1)."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    segment = (code >> 4 & 7).astype(np.int32)
    magnitude = ((code & 0x0F).astype(np.int32) << 4) + np.where(segment > 0, 0x108, 8)
    magnitude <<= np.maximum(segment - 1, 0)
    return (np.where(code & 0x80, magnitude, -magnitude) / 32768.0).astype(np.float32)


_COMPANDED = {"mulaw": _mulaw(), "alaw": _alaw()}
