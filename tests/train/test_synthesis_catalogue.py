"""Procedural sounds: repeatable, varied, and exact about when they sound."""

from __future__ import annotations

import numpy as np
import pytest

from train.data.activity import envelope_db
from train.synthesis.beeps import beeps
from train.synthesis.catalogue import NEGATIVES, TARGETS, synthesise
from train.synthesis.draw import frequency_hz, held_out_strip
from train.synthesis.oscillators import harmonic_tone

RATE = 16_000
LABELS = [*TARGETS, *NEGATIVES]


def made(label: str, seed: int, duration_s: float = 3.0) -> tuple[np.ndarray, tuple]:
    return synthesise(label, np.random.default_rng(seed), duration_s=duration_s, sample_rate=RATE)


@pytest.mark.parametrize("label", LABELS)
def test_a_seed_decides_everything(label: str) -> None:
    audio, times = made(label, 3)
    again, times_again = made(label, 3)
    other, _ = made(label, 4)
    np.testing.assert_array_equal(audio, again)
    assert times == times_again
    assert not np.array_equal(audio, other)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("seed", range(12))
def test_sound_lies_in_its_intervals_and_fills_them(label: str, seed: int) -> None:
    audio, times = made(label, seed)
    assert audio.dtype == np.float32
    assert len(audio) == 3 * RATE
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() == pytest.approx(1.0, abs=1e-3)
    assert times
    flat = [edge for span in times for edge in span]
    assert flat == sorted(flat)
    assert flat[0] >= 0.0
    assert flat[-1] <= 3.0
    level = envelope_db(audio, RATE)
    inside = np.zeros(len(level), dtype=bool)
    for on, off in times:
        inside[max(int(on * 100) - 2, 0) : int(np.ceil(off * 100)) + 3] = True
        span = level[int(on * 100) : max(int(np.ceil(off * 100)), int(on * 100) + 1)]
        assert span.max() > level.max() - 40.0
    assert not (level[~inside] > level[inside].max() - 12.0).any()


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("duration_s", [0.05, 0.31, 1.0])
def test_short_sounds_are_made_too(label: str, duration_s: float) -> None:
    for seed in range(25):
        audio, times = made(label, seed, duration_s)
        assert len(audio) == round(duration_s * RATE)
        assert np.isfinite(audio).all()
        assert all(0.0 <= on < off <= duration_s + 1e-9 for on, off in times)


@pytest.mark.parametrize(
    ("label", "duration_s", "message"),
    [("Cat", 1.0, "label 'Cat' cannot be synthesised"), ("hum", 0.01, "duration_s 0.01")],
)
def test_what_cannot_be_made_is_refused(label: str, duration_s: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(label, 1, duration_s)


def test_training_and_validation_share_no_fundamental() -> None:
    rng = np.random.default_rng(0)
    train = [frequency_hz(rng, 50.0, 4000.0, held_out=False) for _ in range(500)]
    valid = [frequency_hz(rng, 50.0, 4000.0, held_out=True) for _ in range(500)]
    assert not any(held_out_strip(f) for f in train)
    assert all(held_out_strip(f) for f in valid)
    assert min(valid) < 100.0
    assert max(valid) > 2000.0


@pytest.mark.parametrize(("low_hz", "high_hz"), [(380.0, 4200.0), (15.0, 60.0), (12.0, 45.0)])
def test_every_range_has_strips_of_both_kinds(low_hz: float, high_hz: float) -> None:
    rng = np.random.default_rng(1)
    for held_out in (False, True):
        assert low_hz <= frequency_hz(rng, low_hz, high_hz, held_out=held_out) <= high_hz


def test_a_tone_is_the_sum_of_its_harmonics_below_the_limit() -> None:
    n, f0 = 16_000, 700.0
    amplitudes = 1.0 / np.arange(1, 21)
    tone = harmonic_tone(np.random.default_rng(2), np.full(n, f0), amplitudes, sample_rate=RATE)
    spectrum = np.abs(np.fft.rfft(tone)) / (n / 2)
    kept = int(0.47 * RATE / f0)
    expected = amplitudes[:kept] / np.sqrt(np.square(amplitudes[:kept]).sum() / 2)
    np.testing.assert_allclose(spectrum[700 : 700 * kept + 1 : 700], expected, rtol=2e-2, atol=2e-3)
    rest = np.delete(spectrum, np.arange(700, 700 * kept + 1, 700))
    assert rest.max() < 5e-3


def test_beeps_stand_where_they_are_said_to_stand() -> None:
    checked = 0
    for seed in range(40):
        audio, intervals = beeps(
            np.random.default_rng(seed), 4 * RATE, sample_rate=RATE, held_out=False
        )
        sounding = np.zeros(len(audio), dtype=bool)
        for start, stop in intervals:
            sounding[start:stop] = True
            assert np.abs(audio[start : min(start + 400, stop)]).max() > 0.0
            checked += 1
        silent = np.abs(audio[~sounding])
        assert not len(silent) or silent.max() <= 0.1 * np.abs(audio).max()
    assert checked > 100
