"""Augmentation: what each change keeps, and that chance can be repeated."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from train.augment import (
    AugmentConfig,
    ClippingConfig,
    FilterConfig,
    FrameShiftConfig,
    GainConfig,
    MaskConfig,
    PitchConfig,
    ReverberationConfig,
    augment_audio,
    augment_features,
    augment_mels,
    change_gain,
    clip_peaks,
    filter_mels,
    mask_bands,
    mask_time,
    put_in_rooms,
    reverberate,
    shift_frames,
    shift_pitch,
)
from train.augment.filtering import random_curves
from train.augment.masking import Spare, stripes
from train.augment.pitch import scale_pitch

RATE = 16000


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def decay(length: int = 800) -> Tensor:
    """An impulse response: 50 samples of travel, the direct sound, then a tail."""
    response = torch.randn(length, generator=seeded(1)) * 0.1
    response *= torch.exp(-torch.arange(length) / 150)
    response[:50] = 0.0
    response[50] = 0.8
    return response


ALL = AugmentConfig(
    pitch=PitchConfig(),
    reverberation=ReverberationConfig(),
    gain=GainConfig(),
    clipping=ClippingConfig(),
    filter=FilterConfig(),
    frame_shift=FrameShiftConfig(),
    time_masks=MaskConfig(),
    band_masks=MaskConfig(),
)
FEATURE_CHANGES: dict[str, Callable[[Tensor, Generator | None], Tensor]] = {
    "time": lambda x, g: mask_time(x, MaskConfig(2, 12), generator=g),
    "bands": lambda x, g: mask_bands(x, MaskConfig(2, 8), generator=g),
    "filter": lambda x, g: filter_mels(x, FilterConfig(), power=1, generator=g),
    "shift": lambda x, g: shift_frames(
        x, torch.zeros(len(x), x.shape[1] // 4, 2), FrameShiftConfig(), pooling=4, generator=g
    )[0],
    "all of mels": lambda x, g: augment_mels(x, ALL, power=1, generator=g),
    "all of features": lambda x, g: augment_features(
        x, torch.zeros(len(x), x.shape[1] // 4, 2), ALL, pooling=4, generator=g
    )[0],
}
AUDIO_CHANGES: dict[str, Callable[[Tensor, Generator | None], Tensor]] = {
    "gain": lambda x, g: change_gain(x, GainConfig(), generator=g),
    "clipping": lambda x, g: clip_peaks(x, ClippingConfig(probability=0.9), generator=g),
    "pitch": lambda x, g: shift_pitch(x, PitchConfig(probability=0.9), generator=g),
    "rooms": lambda x, g: put_in_rooms(
        x, torch.stack([decay(), decay().roll(9)]), ReverberationConfig(0.9), generator=g
    ),
    "all of audio": lambda x, g: augment_audio(x, ALL, responses=decay()[None], generator=g),
}


def material(name: str) -> tuple[Callable[[Tensor, Generator | None], Tensor], Tensor]:
    generator = seeded(2)
    if name in FEATURE_CHANGES:
        return FEATURE_CHANGES[name], torch.rand(6, 103, 64, generator=generator) + 0.1
    return AUDIO_CHANGES[name], torch.randn(6, 4000, generator=generator) * 0.2


@pytest.mark.parametrize("name", [*FEATURE_CHANGES, *AUDIO_CHANGES])
def test_changes_are_repeatable_and_leave_shape_type_and_input_alone(name: str) -> None:
    change, original = material(name)
    given_x = original.clone().requires_grad_()
    one, two, other = (change(given_x, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, two), "the same seed must give the same change"
    assert not torch.equal(one, other), "another seed must give another"
    assert not torch.equal(one, original)
    assert one.shape == original.shape
    assert one.dtype == original.dtype
    assert one.isfinite().all()
    assert not one.requires_grad
    assert torch.equal(given_x.detach(), original), "the input was written to"


@pytest.mark.parametrize("name", [*FEATURE_CHANGES, *AUDIO_CHANGES])
def test_a_generator_keeps_torch_s_own_chance_out(name: str) -> None:
    change, original = material(name)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    change(original, seeded(6))
    assert torch.equal(torch.get_rng_state(), before)


# ---- masks


@given(
    length=st.integers(1, 60),
    count=st.integers(0, 3),
    widest=st.integers(0, 80),
    seed=st.integers(0),
)
def test_stripes_are_as_few_and_as_narrow_as_said(
    length: int, count: int, widest: int, seed: int
) -> None:
    masked = stripes(5, length, MaskConfig(count, widest), generator=seeded(seed % 2**60))
    assert masked.shape == (5, length)
    padded = torch.nn.functional.pad(masked.int(), (1, 1))
    begins = (padded.diff(dim=1) == 1).sum(dim=1)
    assert (begins <= count).all()
    assert (masked.sum(dim=1) <= count * min(widest, length)).all()


def test_masks_reach_every_frame_and_every_width() -> None:
    masked = stripes(4000, 10, MaskConfig(1, 4), generator=seeded(7))
    assert masked.any(dim=0).all()
    assert set(masked.sum(dim=1).tolist()) == {0, 1, 2, 3, 4}


def test_masks_wipe_out_whole_frames_and_whole_bands() -> None:
    features = torch.rand(8, 40, 32, generator=seeded(8)) + 1.0
    for axis, changed in (
        (2, mask_time(features, MaskConfig(2, 9, fill=-1.0), generator=seeded(9))),
        (1, mask_bands(features, MaskConfig(2, 9, fill=-1.0), generator=seeded(9))),
    ):
        wiped = changed == -1.0
        assert wiped.any()
        assert (wiped.all(dim=axis) == wiped.any(dim=axis)).all()
        assert torch.equal(changed[~wiped], features[~wiped])


# ---- frame shift


def counted(frames: int, *, pooling: int = 4, behind: int = 2) -> tuple[Tensor, Tensor]:
    """Features and labels that say which score frame they belong to."""
    labels = torch.arange(1.0, frames + 1).repeat(12, 1)[:, :, None]
    features = labels.repeat_interleave(pooling, dim=1).expand(-1, -1, 3)
    return torch.nn.functional.pad(features, (0, 0, 0, behind), value=-5.0), labels


@pytest.mark.parametrize("edges", ["wrap", "fill"])
def test_labels_move_with_their_frames(edges: str) -> None:
    features, labels = counted(20)
    config = FrameShiftConfig(deviation_frames=8.0, edges=edges)  # type: ignore[arg-type]
    moved, moved_labels = shift_frames(features, labels, config, pooling=4, generator=seeded(10))
    assert (moved[:, 80:] == -5.0).all(), "look-ahead stays behind the clip"
    expected = moved_labels.repeat_interleave(4, dim=1).expand(-1, -1, 3)
    assert torch.equal(moved[:, :80], expected)
    assert len({tuple(row.flatten().tolist()) for row in moved_labels}) > 6, "each by its own"


def test_wrapping_keeps_the_label_mass() -> None:
    features = torch.rand(30, 80, 4)
    labels = torch.rand(30, 20, 3, generator=seeded(11))
    _, moved = shift_frames(features, labels, FrameShiftConfig(), pooling=4, generator=seeded(12))
    torch.testing.assert_close(moved.sum(dim=1), labels.sum(dim=1))


def test_filling_only_loses_labels() -> None:
    features, labels = torch.rand(30, 80, 4), torch.ones(30, 20, 3)
    config = FrameShiftConfig(edges="fill", fill=-2.0)
    moved, moved_labels = shift_frames(features, labels, config, pooling=4, generator=seeded(13))
    empty = (moved == -2.0).all(dim=2)
    assert empty.any()
    assert torch.equal(moved_labels[:, :, 0].repeat_interleave(4, dim=1) == 0, empty)


def test_shifts_deviate_as_said() -> None:
    features, labels = counted(1, behind=0)
    labels = torch.zeros(4000, 301, 1)
    labels[:, 150] = 1.0
    features = torch.zeros(4000, 301, 1)
    config = FrameShiftConfig(deviation_frames=20.0)
    _, moved = shift_frames(features, labels, config, pooling=1, generator=seeded(14))
    place = moved[:, :, 0].argmax(dim=1).float() - 150
    assert abs(float(place.mean())) < 1.5
    assert float(place.std()) == pytest.approx(20.0, rel=0.05)


def test_more_labels_than_features_are_refused() -> None:
    with pytest.raises(ValueError, match="feature frames"):
        shift_frames(torch.zeros(1, 79, 2), torch.zeros(1, 20, 1), FrameShiftConfig(), pooling=4)


# ---- FilterAugment


def test_steps_have_the_widths_and_gains_that_are_said() -> None:
    config = FilterConfig(form="step", least_db=-3.0, most_db=5.0, narrowest_bands=7)
    curves = random_curves(300, 64, config, generator=seeded(15))
    assert ((curves >= -3.0) & (curves <= 5.0)).all()
    counts = set()
    for curve in curves:
        edges = (curve.diff() != 0).nonzero()[:, 0] + 1
        widths = torch.cat([torch.tensor([0]), edges, torch.tensor([64])]).diff()
        assert (widths >= 7).all()
        counts.add(len(widths))
    assert counts == {3, 4, 5, 6}


def test_lines_run_on_without_steps() -> None:
    config = FilterConfig(form="linear", narrowest_bands=6)
    curves = random_curves(300, 128, config, generator=seeded(16))
    assert (curves.abs() <= 6.0).all()
    # The steepest line rises 12 dB over the six narrowest bands.
    assert curves.diff(dim=1).abs().max() <= 12.0 / 6 + 1e-4
    bends = (curves.diff(dim=1).diff(dim=1).abs() > 1e-4).sum(dim=1)
    assert (bends <= 2 * 5).all(), "at most five inner borders, each two bends wide"
    assert bends.float().mean() > 3


@pytest.mark.parametrize("power", [1, 2])
def test_a_filter_is_one_gain_for_each_band_of_a_clip(power: int) -> None:
    mels = torch.rand(4, 30, 64, generator=seeded(17)) + 0.1
    config = FilterConfig()
    changed = filter_mels(mels, config, power=power, generator=seeded(18))
    decibels = 20 / power * torch.log10(changed / mels)
    curves = random_curves(4, 64, config, generator=seeded(18))
    torch.testing.assert_close(decibels, curves[:, None].expand_as(decibels), rtol=0, atol=1e-4)


def test_a_filter_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="6 ranges of 6 bands do not fit 32"):
        random_curves(1, 32, FilterConfig())


# ---- waveforms


def test_gains_are_even_in_decibels_and_as_many_as_said() -> None:
    audio = torch.full((4000, 1), 0.5)
    config = GainConfig(-10.0, 4.0, probability=0.25)
    gains = 20 * torch.log10(change_gain(audio, config, generator=seeded(19)) / audio)[:, 0]
    changed = gains[gains.abs() > 1e-4]
    assert len(changed) / 4000 == pytest.approx(0.25, abs=0.03)
    assert changed.min() >= -10.0 - 1e-4
    assert changed.max() <= 4.0 + 1e-4
    assert float(changed.mean()) == pytest.approx(-3.0, abs=0.5)


def test_clipping_flattens_peaks_and_nothing_else() -> None:
    audio = torch.randn(200, 500, generator=seeded(20))
    config = ClippingConfig(most_db=12.0, probability=1.0)
    clipped = clip_peaks(audio, config, generator=seeded(21))
    ceiling = clipped.abs().amax(dim=1, keepdim=True)
    below = audio.abs() < ceiling
    assert torch.equal(clipped[below], audio[below])
    torch.testing.assert_close(clipped[~below].abs(), ceiling.expand_as(audio)[~below])
    overdrive = 20 * torch.log10(audio.abs().amax(dim=1) / ceiling[:, 0])
    assert overdrive.min() >= -1e-4
    assert overdrive.max() <= 12.0 + 1e-4
    assert overdrive.max() > 10.0


def loudest_hz(audio: Tensor) -> Tensor:
    window = torch.hann_window(audio.shape[1])
    return torch.fft.rfft(audio * window).abs().argmax(dim=1) * RATE / audio.shape[1]


@pytest.mark.parametrize("numerator", [54, 60, 66, 72])
def test_pitch_moves_tones_and_not_times(numerator: int) -> None:
    time = torch.arange(RATE) / RATE
    tone = torch.sin(2 * torch.pi * 1000 * time)[None]
    burst = tone * ((time > 0.4) & (time < 0.6))
    shifted = scale_pitch(burst, numerator)
    assert shifted.shape == burst.shape
    assert float(loudest_hz(shifted)[0]) == pytest.approx(1000 * numerator / 64, abs=4.0)
    loud = (shifted[0].abs() > 0.3).nonzero()[:, 0] / RATE
    assert float(loud.min()) == pytest.approx(0.4, abs=0.02)
    assert float(loud.max()) == pytest.approx(0.6, abs=0.02)
    # A phase vocoder smears the ends; in the middle the level stays.
    middle = slice(int(0.45 * RATE), int(0.55 * RATE))
    level = shifted[0, middle].square().mean() / burst[0, middle].square().mean()
    assert 0.7 < float(level) < 1.4


def test_pitch_keeps_the_level_of_noise_and_of_silence() -> None:
    audio = torch.randn(3, RATE, generator=seeded(24)) * torch.tensor([0.3, 0.01, 0.0])[:, None]
    shifted = scale_pitch(audio, 70)
    torch.testing.assert_close(shifted.square().mean(dim=1), audio.square().mean(dim=1))


def test_pitch_is_drawn_within_its_range() -> None:
    time = torch.arange(RATE // 2) / RATE
    tones = torch.sin(2 * torch.pi * 1000 * time).repeat(40, 1)
    config = PitchConfig(-2.0, 3.0, probability=0.7)
    shifted = shift_pitch(tones, config, generator=seeded(22))
    semitones = 12 * torch.log2(loudest_hz(shifted) / 1000)
    assert semitones.min() >= -2.2
    assert semitones.max() <= 3.2
    assert float(semitones.std()) > 0.5
    untouched = (shifted == tones).all(dim=1).float().mean()
    assert 0.1 < float(untouched) < 0.6


def test_reverberation_is_a_convolution_that_keeps_the_direct_sound() -> None:
    audio = torch.zeros(2, 3000)
    audio[0, 700] = 0.5
    audio[1, 2500] = -0.25
    response = decay()
    wet = reverberate(audio, response)
    for row, place, level in ((0, 700, 0.5), (1, 2500, -0.25)):
        assert float(wet[row, place]) == pytest.approx(level, rel=1e-4)
        assert wet[row, : place - 50].abs().max() < 1e-5, "nothing before the direct sound"
        tail = min(3000 - place, 750)
        torch.testing.assert_close(
            wet[row, place : place + tail],
            level * response[50 : 50 + tail] / 0.8,
            rtol=0,
            atol=1e-5,
        )


def test_each_clip_has_its_own_room() -> None:
    audio = torch.zeros(60, 900)
    audio[:, 10] = 1.0
    echo = torch.zeros(2, 400)
    echo[:, 0] = 1.0
    echo[0, 100], echo[1, 200] = 0.5, 0.5
    wet = put_in_rooms(audio, echo, ReverberationConfig(0.6), generator=seeded(23))
    near, far = wet[:, 110] > 0.4, wet[:, 210] > 0.4
    assert not (near & far).any()
    assert near.any()
    assert far.any()
    assert torch.equal(wet[~near & ~far], audio[~near & ~far])


def test_a_silent_room_is_refused() -> None:
    with pytest.raises(ValueError, match="all zero"):
        reverberate(torch.ones(1, 10), torch.zeros(5))


@pytest.mark.parametrize(
    "make",
    [
        lambda: GainConfig(3.0, -3.0),
        lambda: GainConfig(probability=1.5),
        lambda: ClippingConfig(most_db=-1.0),
        lambda: PitchConfig(most_semitones=24.0),
        lambda: MaskConfig(count=-1),
        lambda: FrameShiftConfig(deviation_frames=-1.0),
        lambda: FilterConfig(fewest_ranges=4, most_ranges=3),
        lambda: ReverberationConfig(probability=-0.1),
    ],
)
def test_senseless_strengths_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()


def test_no_labelled_frame_is_wiped_out_whole() -> None:
    """Of labelled frames of 4, those that a stripe would cover whole stay as they are."""
    features, config = torch.ones(200, 32, 2), MaskConfig(2, 12)
    plain = mask_time(features, config, generator=seeded(9))
    spared = mask_time(features, config, spare=Spare(8, 24, 4), generator=seeded(9))
    torch.testing.assert_close(spared[:, :8], plain[:, :8])
    torch.testing.assert_close(spared[:, 24:], plain[:, 24:])
    whole = (plain[:, 8:24] == 0.0).unflatten(1, (4, 4)).flatten(2).all(dim=2)
    assert whole.any()
    kept = spared[:, 8:24].unflatten(1, (4, 4)).flatten(2)
    assert (kept[whole] == 1.0).all()
    torch.testing.assert_close(kept[~whole], plain[:, 8:24].unflatten(1, (4, 4)).flatten(2)[~whole])
