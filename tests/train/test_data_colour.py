"""Speed, equaliser and room in one pass; loops; levels; activity; the device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.activity import ActivityRule, active_intervals
from train.data.colour import colour, equaliser_db, loop
from train.data.device import companded, record
from train.data.level import level_db
from train.data.soundscape_config import SoundscapeConfig

RATE = 16_000


def tone(frequency_hz: float, seconds: float = 1.0) -> np.ndarray:
    time_s = np.arange(int(seconds * RATE)) / RATE
    return np.sin(2 * np.pi * frequency_hz * time_s).astype(np.float32)


def test_reverberation_is_convolution() -> None:
    rng = np.random.default_rng(0)
    audio = rng.standard_normal(3000).astype(np.float32)
    response = rng.standard_normal(700).astype(np.float32)
    fast, speed = colour(audio, sample_rate=RATE, response=response)
    assert speed == 1.0
    slow = np.convolve(audio, response)
    np.testing.assert_allclose(fast[: len(slow)], slow, atol=2e-3)
    np.testing.assert_allclose(fast[len(slow) :], 0.0, atol=2e-3)


@given(st.floats(0.75, 1.35))
def test_speed_moves_pitch_and_length_alike_and_keeps_level(wanted: float) -> None:
    audio, speed = colour(tone(1000.0), sample_rate=RATE, speed=wanted)
    assert speed == pytest.approx(wanted, rel=0.04)
    assert len(audio) == pytest.approx(RATE / speed, abs=1)
    middle = audio[2000:10_000]
    crossings = np.count_nonzero(np.diff(np.signbit(middle)))
    assert crossings / 2 / (len(middle) / RATE) == pytest.approx(1000.0 * speed, rel=2e-3)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(np.sqrt(0.5), rel=1e-2)


def test_a_low_pass_takes_highs_and_leaves_lows() -> None:
    curve = equaliser_db(
        np.random.default_rng(0), spread_db=0.0, sample_rate=RATE, low_pass=(2000.0, 60.0)
    )
    low, _ = colour(tone(500.0), sample_rate=RATE, curve_db=curve)
    high, _ = colour(tone(4000.0), sample_rate=RATE, curve_db=curve)
    assert level_db(low, RATE) == pytest.approx(level_db(tone(500.0), RATE), abs=0.5)
    assert level_db(high[1000:-1000], RATE) == pytest.approx(-63.0, abs=3.0)


@given(st.integers(1, 5000), st.integers(1, 20_000), st.integers(0, 2000))
def test_a_loop_has_the_length_asked_for_and_no_holes(
    material: int, n: int, crossfade: int
) -> None:
    audio = loop(np.random.default_rng(n), np.ones(material, np.float32), n, crossfade=crossfade)
    assert len(audio) == n
    assert audio.min() >= 1.0 - 1e-5  # of coherent ones: equal-power joints only add
    assert audio.max() <= 1.5


def test_levels_are_of_what_lies_above_rumble() -> None:
    assert level_db(tone(1000.0), RATE) == pytest.approx(-3.0, abs=0.2)
    assert level_db(tone(30.0), RATE) < -25.0
    assert level_db(np.zeros(100, np.float32), RATE) == pytest.approx(-120.0)


def test_activity_finds_bursts_and_joins_what_a_short_pause_parts() -> None:
    audio = 1e-4 * np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
    for on, off in ((0.5, 1.0), (1.15, 1.6), (3.0, 3.5)):
        audio[int(on * RATE) : int(off * RATE)] += tone(600.0, off - on)
    found = np.array(active_intervals(audio, ActivityRule(merge_pause_s=0.25), sample_rate=RATE))
    np.testing.assert_allclose(found / RATE, [[0.5, 1.6], [3.0, 3.5]], atol=0.025)
    apart = active_intervals(audio, ActivityRule(merge_pause_s=0.05), sample_rate=RATE)
    assert len(apart) == 3


def test_what_has_no_pauses_is_one_interval_and_rumble_is_none() -> None:
    noise = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    assert active_intervals(noise, ActivityRule(), sample_rate=RATE) == ((0, 2 * RATE),)
    rumbling = tone(25.0, 2.0)
    rumbling[RATE : RATE + 4000] += 0.2 * tone(800.0, 0.25)
    ((start, stop),) = active_intervals(rumbling, ActivityRule(), sample_rate=RATE)
    assert (start / RATE, stop / RATE) == pytest.approx((1.0, 1.25), abs=0.03)


@pytest.mark.parametrize("n", [1, 100, 170])
def test_activity_of_next_to_nothing(n: int) -> None:
    assert active_intervals(np.ones(n, np.float32), ActivityRule(), sample_rate=RATE) == ((0, n),)


def test_companding_errs_by_a_share_of_the_sample() -> None:
    audio = np.linspace(-1.0, 1.0, 10_001, dtype=np.float32)
    error = np.abs(companded(audio) - audio)
    assert (error <= 0.03 * np.abs(audio) + 1e-3).all()
    assert len(np.unique(companded(audio))) <= 256


def test_a_device_keeps_within_full_scale_and_silences_what_it_says() -> None:
    config = SoundscapeConfig(silent_edge=1.0, clipped=0.5, device_noise=1.0, companded=0.3)
    scene = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    clipped = 0
    for seed in range(40):
        audio, (start, stop) = record(np.random.default_rng(seed), scene, config)
        assert np.abs(audio).max() <= 1.0
        assert not audio[:start].any()
        assert not audio[stop:].any()
        assert 0 < stop - start < len(scene)
        clipped += int(np.count_nonzero(np.abs(audio) == 1.0) > 20)
    assert 8 <= clipped <= 32
