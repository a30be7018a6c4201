"""The log-mel front end of a foreign model, described by keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from streamsed.errors import ConfigError

Array = NDArray[np.float64]
Count = Annotated[int, Field(ge=1, le=65_536)]


class LogMel(BaseModel):
    """How samples become what a model takes; the names are those of librosa and torchaudio.

    Attributes:
        n_mels: bands.
        n_fft: length of the transform.
        win_length: of the window, centred in ``n_fft``; None for ``n_fft``.
        hop_length: samples between frames.
        window: ``hann`` is periodic, as torch's and librosa's; ``hann_symmetric`` is numpy's.
        center: whether frame t is centred on sample ``t * hop_length``, with reflected edges.
        preemphasis: ``y[n] = x[n] - preemphasis * x[n - 1]``; 0 for none.
        f_min: Hz, of the lowest band.
        f_max: Hz, of the highest; None for half the sample rate.
        mel_scale: ``htk`` and ``slaney`` have triangles over Hz, ``kaldi`` over mel.
        norm: ``slaney`` scales each triangle to unit area.
        power: 2 for power, 1 for magnitude.
        log: ``ln``, ``log10`` or ``db`` (10 times log10).
        offset: what is added before the logarithm.
        floor: what is the least before the logarithm; None for no limit.
        mean: what is subtracted from the result.
        std: what it is divided by then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_mels: Count
    n_fft: Count
    hop_length: Count
    win_length: Count | None = None
    window: Literal["hann", "hann_symmetric", "hamming"] = "hann"
    center: bool = True
    preemphasis: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    f_min: Annotated[float, Field(ge=0.0)] = 0.0
    f_max: Annotated[float, Field(gt=0.0)] | None = None
    mel_scale: Literal["htk", "slaney", "kaldi"] = "htk"
    norm: Literal["slaney"] | None = None
    power: Literal[1, 2] = 2
    log: Literal["ln", "log10", "db"] = "ln"
    offset: Annotated[float, Field(ge=0.0)] = 1e-10
    floor: Annotated[float, Field(gt=0.0)] | None = None
    mean: float = 0.0
    std: Annotated[float, Field(gt=0.0)] = 1.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.win_length or 0) > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is above n_fft {self.n_fft}")
        if self.f_max is not None and self.f_max <= self.f_min:
            raise ValueError(f"f_max {self.f_max:g} is not above f_min {self.f_min:g}")
        return self

    def frames(self, samples: int) -> int:
        """Return how many frames a window of samples has."""
        padded = samples + (2 * (self.n_fft // 2) if self.center else 0)
        return (padded - self.n_fft) // self.hop_length + 1

    def kernel(self) -> Array:
        """Return ``(2 * bins, n_fft)``: windowed cosines, then sines."""
        length = self.win_length or self.n_fft
        match self.window:
            case "hann":
                window = np.hanning(length + 1)[:-1]
            case "hann_symmetric":
                window = np.hanning(length)
            case "hamming":
                window = np.hamming(length + 1)[:-1]
        before = (self.n_fft - length) // 2
        window = np.pad(window, (before, self.n_fft - length - before))
        bins, times = np.arange(self.n_fft // 2 + 1), np.arange(self.n_fft)
        phases = 2 * np.pi * ((bins[:, None] * times) % self.n_fft) / self.n_fft
        kernel: Array = np.concatenate([np.cos(phases), np.sin(phases)]) * window
        return kernel

    def filters(self, rate: int) -> Array:
        """Return ``(n_mels, bins)``: triangles that are evenly spaced on the mel scale."""
        f_max = self.f_max or rate / 2
        ends = _mel(np.array([self.f_min, f_max]), self.mel_scale)
        corners = np.linspace(ends[0], ends[1], self.n_mels + 2)
        bins_hz = np.arange(self.n_fft // 2 + 1) * rate / self.n_fft
        corners_hz = _hz(corners, self.mel_scale)
        if self.mel_scale == "kaldi":
            places, at = corners, _mel(bins_hz, self.mel_scale)
        else:
            places, at = corners_hz, bins_hz
        widths = np.diff(places)
        slopes = places[:, None] - at
        rising, falling = -slopes[:-2] / widths[:-1, None], slopes[2:] / widths[1:, None]
        triangles: Array = np.maximum(0.0, np.minimum(rising, falling))
        if self.norm == "slaney":
            triangles *= 2.0 / (corners_hz[2:] - corners_hz[:-2])[:, None]
        return triangles


def read_log_mel(path: Path) -> LogMel:
    """Read the keys from a YAML file.

    Raises:
        ConfigError: the file and the key that is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    try:
        return LogMel.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        known = ", ".join(LogMel.model_fields)
        raise ConfigError(f"{path}: {key}: {first['msg']}; keys are {known}") from error


_SLANEY_HZ, _SLANEY_MEL, _SLANEY_STEP = 1000.0, 15.0, np.log(6.4) / 27.0


def _mel(hz: Array, scale: str) -> Array:
    if scale == "slaney":
        linear = 3.0 * hz / 200.0
        ratio = np.maximum(hz, _SLANEY_HZ) / _SLANEY_HZ
        return np.where(hz < _SLANEY_HZ, linear, _SLANEY_MEL + np.log(ratio) / _SLANEY_STEP)
    return 1127.0 * np.log1p(hz / 700.0)


def _hz(mel: Array, scale: str) -> Array:
    if scale == "slaney":
        beyond = _SLANEY_HZ * np.exp(_SLANEY_STEP * (mel - _SLANEY_MEL))
        return np.where(mel < _SLANEY_MEL, 200.0 * mel / 3.0, beyond)
    return 700.0 * np.expm1(mel / 1127.0)
