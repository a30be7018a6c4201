"""The front end against torch's own FFT and against itself cut in pieces."""

from __future__ import annotations

import pytest
import torch
from torchaudio.functional import melscale_fbanks

from train.frontend import FactoredDFT, FrontEndConfig, LogMel


@pytest.mark.parametrize("n_fft", [16, 32, 512, 1024, 2048])
def test_factored_dft_equals_rfft(n_fft: int) -> None:
    frames = torch.randn(2, 3, n_fft, generator=torch.Generator().manual_seed(1))
    dft = FactoredDFT(n_fft)
    expected = torch.fft.rfft(frames).abs() ** 2
    torch.testing.assert_close(
        dft(frames), expected[..., dft.bins.flatten()], rtol=1e-4, atol=1e-4 * n_fft
    )
    assert set(dft.bins.flatten().tolist()) == set(range(n_fft // 2 + 1)), "a bin is missing"


def test_factored_dft_refuses_other_lengths() -> None:
    with pytest.raises(ValueError, match="power of two"):
        FactoredDFT(1000)


def test_mel_bands_of_noise_equal_those_of_the_dense_transform() -> None:
    """Sharing weights between duplicated bins must not change any band."""
    config = FrontEndConfig()
    front_end = LogMel(config)
    samples = torch.randn(1, config.n_fft, generator=torch.Generator().manual_seed(2))
    power = torch.fft.rfft(samples * front_end.window).abs() ** 2
    banks = melscale_fbanks(
        config.n_fft // 2 + 1, config.f_min, config.f_max, config.n_mels, config.sample_rate
    )
    expected = 10 * torch.log10(torch.clamp(power @ banks, min=config.floor**2))
    torch.testing.assert_close(front_end.decibels(samples)[0], expected, rtol=1e-4, atol=1e-3)


def test_full_scale_sine_reads_about_zero_decibels() -> None:
    config = FrontEndConfig()
    time = torch.arange(config.n_fft * 2) / config.sample_rate
    sine = torch.sin(2 * torch.pi * 1000 * time)[None]
    assert abs(LogMel(config).decibels(sine).max().item()) < 3


def test_digital_silence_is_finite() -> None:
    config = FrontEndConfig()
    assert LogMel(config)(torch.zeros(1, config.n_fft * 2)).isfinite().all()
