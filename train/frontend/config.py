"""What a log-mel front end is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class FrontEndConfig:
    """Parameters of the log-mel front end. The defaults are the streaming form.

    Attributes:
        sample_rate: Hz.
        n_fft: window and transform length in samples, a power of two.
        hop_samples: samples between frames.
        n_mels: mel bands from ``f_min`` to ``f_max`` Hz.
        mel_scale: ``htk`` without area normalisation, or ``slaney`` with it (librosa's default).
        logarithmic: whether bands are turned into dB; the MAESTRO baseline's are not.
        floor: magnitudes below this are raised to it before the logarithm.
        window: of each frame.
        periodic: whether the window is one period (``n_fft`` + 1 points, the last left out). The
            DCASE 2021 baseline's is not.
        unit_gain: whether the window is scaled so that a full-scale sine reads about 0 dB. The
            baseline's is not, so its decibels are 20 log10(n_fft / 4) or so higher.
        power: exponent of the magnitudes that the mel bands sum: 1 in the baseline, 2 elsewhere.
        clamp_db: decibels outside are moved to these bounds; None for none. The baseline's trainer
            clamps to [-50, 80], which its paper does not mention.
        alignment: ``causal``: frame ``t`` covers the ``n_fft`` samples that end with sample
            ``(t + 1) * hop_samples``. ``centred``: frame ``t`` is centred on sample
            ``t * hop_samples``, the clip is reflected at both ends, and there is one frame more
            (the baseline; needs the whole clip).
        scaler: ``statistics``: mean and deviation of each band, fixed at training. ``clip``:
            minimum and maximum of the clip, over bands and time jointly, become -1 and 1 (the
            baseline; needs the whole clip).
    """

    sample_rate: int = 16000
    n_fft: int = 1024
    hop_samples: int = 256
    n_mels: int = 64
    f_min: float = 0.0
    f_max: float = 8000.0
    floor: float = 1e-5
    window: Literal["hann", "hamming"] = "hann"
    periodic: bool = True
    unit_gain: bool = True
    power: Literal[1, 2] = 2
    clamp_db: tuple[float, float] | None = None
    alignment: Literal["causal", "centred"] = "causal"
    scaler: Literal["statistics", "clip"] = "statistics"
    mel_scale: Literal["htk", "slaney"] = "htk"
    logarithmic: bool = True

    @property
    def halo_samples(self) -> int:
        """Samples before a chunk that its first frame needs, in causal alignment."""
        return self.n_fft - self.hop_samples

    @property
    def window_length(self) -> int:
        """Samples of a frame's window; zeros stand before it, up to ``n_fft``."""
        return self.n_fft

    @property
    def streams(self) -> bool:
        """Whether a frame depends on nothing but samples up to its own end."""
        return self.alignment == "causal" and self.scaler == "statistics"


@dataclass(frozen=True)
class PaddedFrontEndConfig(FrontEndConfig):
    """A front end whose window is no power of two long, such as twice a hop of 50 or 200 ms.

    Attributes:
        window_samples: of the window, which lies at the end of a frame; at most ``n_fft``.
    """

    n_fft: int = 8192
    hop_samples: int = 3200
    window_samples: int = 6400

    def __post_init__(self) -> None:
        if not self.hop_samples <= self.window_samples <= self.n_fft:
            raise ValueError(
                f"window_samples {self.window_samples}; must be from hop_samples "
                f"{self.hop_samples} to n_fft {self.n_fft}"
            )

    @property
    def window_length(self) -> int:
        """Samples of a frame's window; zeros stand before it, up to ``n_fft``."""
        return self.window_samples


DCASE2021 = FrontEndConfig(
    n_fft=2048,
    n_mels=128,
    window="hamming",
    periodic=False,
    unit_gain=False,
    power=1,
    clamp_db=(-50.0, 80.0),
    alignment="centred",
    scaler="clip",
)
"""The DCASE 2021 task 4 baseline's front end: 626 frames from 160000 samples."""

DCASE2021_STREAMING = replace(DCASE2021, alignment="causal", scaler="statistics")
"""The same mel bands and decibels without the future: causal frames, fixed statistics."""
