"""Log-mel spectrograms, of clips and of chunks.

In the causal form, frame ``t`` covers the ``n_fft`` samples that end with sample
``(t + 1) * hop_samples``, so a chunk needs only the ``n_fft - hop_samples`` samples before it, and
the scaling is fixed at training. The centred form with per-clip scaling is the literature's.
"""

from __future__ import annotations

import math

import torch
import torchaudio
from torch import Tensor, nn

from train.frontend.config import FrontEndConfig
from train.frontend.dft import FactoredDFT


class LogMel(nn.Module):
    """Log-mel spectrogram, in four steps that can be taken apart.

    ``pad`` adds the samples that the first and last frames need, ``mels`` yields linear mel bands
    (mixup mixes these), ``logarithm`` turns them into dB, ``scale`` into what a network sees.
    ``mean`` and ``std`` (one value a band) are set once from training data with
    :meth:`set_statistics` and travel with the weights.
    """

    window: Tensor
    mel: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        self.dft = FactoredDFT(config.n_fft)
        make = torch.hann_window if config.window == "hann" else torch.hamming_window
        window = make(config.window_length, periodic=config.periodic)
        if config.unit_gain:
            window = window * (2.0 / window.sum())
        window = nn.functional.pad(window, (config.n_fft - config.window_length, 0))
        self.register_buffer("window", window, persistent=False)
        banks = torchaudio.functional.melscale_fbanks(
            n_freqs=config.n_fft // 2 + 1,
            f_min=config.f_min,
            f_max=config.f_max,
            n_mels=config.n_mels,
            sample_rate=config.sample_rate,
            mel_scale=config.mel_scale,
            norm="slaney" if config.mel_scale == "slaney" else None,
        )
        # The factored transform yields some bins twice (as conjugates): share their weight.
        bins = self.dft.bins.flatten()
        copies = torch.bincount(bins, minlength=banks.shape[0]).float()
        self.register_buffer("mel", banks[bins] / copies[bins, None], persistent=False)
        self.register_buffer("mean", torch.zeros(config.n_mels))
        self.register_buffer("std", torch.ones(config.n_mels))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Fix the scaling: ``mean`` and ``std`` are ``(n_mels,)``, in dB, of training data."""
        self.mean.copy_(mean)
        self.std.copy_(std)

    def pad(self, audio: Tensor, *, ahead_samples: int = 0) -> Tensor:
        """Add what the first and last frames of clips need.

        Args:
            audio: ``(B, N)``.
            ahead_samples: silence to append first, for a model that looks ahead.

        Returns:
            Causal: ``(B, halo_samples + N + ahead_samples)``, silence before the clip. Centred:
            ``n_fft / 2`` samples more at either end, reflected; ``N`` must exceed that.
        """
        config = self.config
        if config.alignment == "causal":
            return nn.functional.pad(audio, (config.halo_samples, ahead_samples))
        half = config.n_fft // 2
        if ahead_samples:
            audio = nn.functional.pad(audio, (0, ahead_samples))
        return nn.functional.pad(audio, (half, half), mode="reflect")

    def mels(self, samples: Tensor) -> Tensor:
        """Return linear mel bands.

        Args:
            samples: ``(B, n_fft - hop_samples + T * hop_samples)`` float32, as :meth:`pad` returns
                them or as a stream holds them.

        Returns:
            ``(B, T, n_mels)``, of magnitudes or of powers by the configuration.
        """
        config = self.config
        spectrum = self.dft(self.frames(samples) * self.window)
        if config.power == 1:
            # Far below any floor; the root's slope at zero is infinite.
            spectrum = torch.sqrt(torch.clamp(spectrum, min=1e-20))
        mels: Tensor = spectrum @ self.mel
        return mels

    def frames(self, samples: Tensor) -> Tensor:
        """Return the overlapping frames ``(B, T, n_fft)`` of samples as :meth:`mels` takes them."""
        hop, parts = self.config.hop_samples, self.config.n_fft // self.config.hop_samples
        if parts * hop != self.config.n_fft or samples.shape[1] % hop:
            return samples.unfold(1, self.config.n_fft, hop)
        # Whole hops are copied row by row, where unfold would gather sample by sample.
        hops = samples.reshape(samples.shape[0], -1, hop)
        first = torch.arange(hops.shape[1] - parts + 1, device=samples.device)
        rows = first[:, None] + torch.arange(parts, device=samples.device)
        frames = torch.index_select(hops, 1, rows.flatten())
        return frames.reshape(samples.shape[0], -1, self.config.n_fft)

    def logarithm(self, mels: Tensor) -> Tensor:
        """Return ``mels`` in dB, not below the floor and within the bounds, any shape.

        Without a logarithm, as they are.
        """
        config = self.config
        if not config.logarithmic:
            return mels
        floor = config.floor**config.power
        decibels = (20.0 / config.power) * torch.log10(torch.clamp(mels, min=floor))
        if config.clamp_db is None:
            return decibels
        lowest, highest = config.clamp_db
        return torch.clamp(decibels, min=lowest, max=highest)

    def scale(self, decibels: Tensor, bounds: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return ``(B, T, n_mels)`` dB as the network sees it.

        Args:
            decibels: from :meth:`logarithm`.
            bounds: for a scaler by clip, what becomes -1 and 1, ``(B, 1, 1)`` each; what is below
                stays -1. None for the :func:`extremes` of ``decibels``.
        """
        if self.config.scaler == "statistics":
            return (decibels - self.mean) / self.std
        low, high = extremes(decibels) if bounds is None else bounds
        # The baseline adds 1e-8 to what it divides by, which the exporter takes for nothing.
        scaled = 2.0 * (decibels - low) / (high - low).clamp(min=1e-8) - 1.0
        return scaled if bounds is None else scaled.clamp(min=-1.0)

    def decibels(self, samples: Tensor) -> Tensor:
        """Return the unscaled spectrogram in dB.

        Args:
            samples: as :meth:`mels` takes them.

        Returns:
            ``(B, T, n_mels)``; with unit gain a full-scale sine reads about 0 dB in its band.
        """
        return self.logarithm(self.mels(samples))

    def features(self, mels: Tensor) -> Tensor:
        """Return what the network sees of linear mel bands ``(B, T, n_mels)``."""
        config = self.config
        if config.scaler != "statistics" or config.clamp_db is not None or not config.logarithmic:
            return self.scale(self.logarithm(mels))
        # The same with the constants multiplied out: a product and a sum instead of four.
        gain = 20.0 / (config.power * math.log(10.0)) / self.std
        logarithm = torch.log(torch.clamp(mels, min=config.floor**config.power))
        return logarithm * gain - self.mean / self.std

    def forward(self, samples: Tensor) -> Tensor:
        """Return the scaled spectrogram ``(B, T, n_mels)`` of samples as :meth:`mels` takes."""
        return self.features(self.mels(samples))


def extremes(decibels: Tensor) -> tuple[Tensor, Tensor]:
    """Return minimum and maximum, ``(B, 1, 1)`` each, of spectrograms ``(B, T, n_mels)``."""
    return decibels.amin(dim=(1, 2), keepdim=True), decibels.amax(dim=(1, 2), keepdim=True)
