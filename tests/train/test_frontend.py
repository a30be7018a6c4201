"""The front end against torch's own FFT and against itself cut in pieces."""

from __future__ import annotations

import pytest
import torch
import torchaudio
from torchaudio.functional import melscale_fbanks

from train.frontend import DCASE2021, DCASE2021_STREAMING, FactoredDFT, FrontEndConfig, LogMel


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


@pytest.mark.parametrize("hop_samples", [256, 320, 1024])
def test_frames_overlap_as_unfolded(hop_samples: int) -> None:
    front_end = LogMel(FrontEndConfig(hop_samples=hop_samples))
    samples = torch.randn(2, 1024 + 7 * hop_samples, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        front_end.frames(samples), samples.unfold(1, 1024, hop_samples), rtol=0, atol=0
    )


def test_scaled_features_equal_their_definition() -> None:
    front_end = LogMel(FrontEndConfig(n_mels=8))
    front_end.set_statistics(torch.linspace(-60, -20, 8), torch.linspace(5, 20, 8))
    mels = torch.rand(2, 5, 8, generator=torch.Generator().manual_seed(4)) ** 8
    expected = front_end.scale(front_end.logarithm(mels))
    torch.testing.assert_close(front_end.features(mels), expected, rtol=1e-5, atol=1e-5)


def test_full_scale_sine_reads_about_zero_decibels() -> None:
    config = FrontEndConfig()
    time = torch.arange(config.n_fft * 2) / config.sample_rate
    sine = torch.sin(2 * torch.pi * 1000 * time)[None]
    assert abs(LogMel(config).decibels(sine).max().item()) < 3


def test_digital_silence_is_finite() -> None:
    config = FrontEndConfig()
    assert LogMel(config)(torch.zeros(1, config.n_fft * 2)).isfinite().all()


def baseline_decibels(audio: torch.Tensor) -> torch.Tensor:
    """The DCASE 2021 baseline's chain, from torchaudio's own parts, ``(B, T, 128)``."""
    mel = torchaudio.transforms.MelSpectrogram(
        sample_rate=16000,
        n_fft=2048,
        win_length=2048,
        hop_length=256,
        f_min=0,
        f_max=8000,
        n_mels=128,
        window_fn=torch.hamming_window,
        wkwargs={"periodic": False},
        power=1,
    )
    to_decibels = torchaudio.transforms.AmplitudeToDB(stype="amplitude")
    to_decibels.amin = 1e-5
    decibels: torch.Tensor = to_decibels(mel(audio)).clamp(min=-50, max=80)
    return decibels.transpose(1, 2)


def clips(seed: int, seconds: float = 2.0) -> torch.Tensor:
    """Noise, a tone over faint noise, and a clip that ends in digital silence."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(3, int(16000 * seconds), generator=generator)
    time = torch.arange(noise.shape[1]) / 16000
    noise[1] = 0.5 * torch.sin(2 * torch.pi * 440 * time) + 1e-4 * noise[1]
    noise[2, noise.shape[1] // 2 :] = 0.0
    return noise * torch.tensor([0.3, 1.0, 0.05])[:, None]


def test_the_2021_form_equals_torchaudio() -> None:
    audio, front_end = clips(3), LogMel(DCASE2021)
    expected = baseline_decibels(audio)
    samples = front_end.pad(audio)
    torch.testing.assert_close(front_end.decibels(samples), expected, rtol=0, atol=0.01)
    low, high = expected.amin((1, 2), keepdim=True), expected.amax((1, 2), keepdim=True)
    scaled = 2 * (expected - low) / (high - low + 1e-8) - 1
    torch.testing.assert_close(front_end(samples), scaled, rtol=0, atol=5e-4)


def test_the_2021_form_has_626_frames_within_minus_one_and_one() -> None:
    front_end = LogMel(DCASE2021)
    features = front_end(front_end.pad(clips(4, 10.0)))
    assert features.shape == (3, 626, 128)
    torch.testing.assert_close(features.amin((1, 2)), -torch.ones(3))
    torch.testing.assert_close(features.amax((1, 2)), torch.ones(3))


def test_the_streaming_form_shifts_the_2021_form_in_time_only() -> None:
    """Causal frames end where centred ones, 1024 samples later, have their middle."""
    audio = clips(5)
    streaming, clip = LogMel(DCASE2021_STREAMING), LogMel(DCASE2021)
    causal = streaming.decibels(streaming.pad(audio))
    centred = clip.decibels(clip.pad(audio))
    assert len(causal[0]) == audio.shape[1] // 256
    # Causal frame t covers up to sample (t + 1) * 256, centred frame t' up to t' * 256 + 1024.
    torch.testing.assert_close(causal[:, 7:], centred[:, 4:-4], rtol=0, atol=1e-3)


def test_streaming_features_do_not_depend_on_the_cut() -> None:
    front_end = LogMel(DCASE2021_STREAMING)
    front_end.set_statistics(torch.linspace(-30, 0, 128), torch.linspace(5, 9, 128))
    samples = front_end.pad(clips(6))
    whole, halo = front_end(samples), front_end.config.halo_samples
    parts = [
        front_end(samples[:, start : start + halo + 1024])
        for start in range(0, samples.shape[1] - halo - 1023, 1024)
    ]
    joined = torch.cat(parts, dim=1)
    torch.testing.assert_close(joined, whole[:, : joined.shape[1]], rtol=0, atol=1e-4)


def test_scaled_features_come_from_linear_mels() -> None:
    """What mixup mixes leads to the same features as the way through without a stop."""
    for config in (FrontEndConfig(), DCASE2021, DCASE2021_STREAMING):
        front_end = LogMel(config)
        samples = front_end.pad(clips(7))
        mels = front_end.mels(samples)
        assert (mels >= 0).all()
        torch.testing.assert_close(front_end.features(mels), front_end(samples), rtol=0, atol=0)


def test_mels_of_magnitudes_are_linear_in_gain() -> None:
    front_end = LogMel(DCASE2021)
    samples = front_end.pad(clips(8)[:1])
    torch.testing.assert_close(front_end.mels(samples * 0.25), front_end.mels(samples) * 0.25)


def test_silence_has_finite_features_and_gradients() -> None:
    for config in (DCASE2021, DCASE2021_STREAMING):
        front_end = LogMel(config)
        audio = torch.zeros(1, 4096, requires_grad=True)
        features = front_end(front_end.pad(audio))
        features.sum().backward()
        assert features.isfinite().all()
        assert audio.grad is not None
        assert audio.grad.isfinite().all()


def test_look_ahead_appends_silence() -> None:
    front_end = LogMel(FrontEndConfig())
    audio = clips(9)
    padded = front_end.pad(audio, ahead_samples=512)
    assert padded.shape[1] == 768 + audio.shape[1] + 512
    assert not padded[:, :768].any()
    assert not padded[:, -512:].any()
