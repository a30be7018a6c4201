"""Gains: exact, bounded, and the same however samples come."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsed.sources.block import Block
from streamsed.sources.config import build_source
from streamsed.sources.gain import (
    FALL_DB,
    FORGET_DB,
    FRAME_S,
    MOST_DB,
    RISE_DB,
    TARGET_DBFS,
    AutoGain,
    MixLevel,
)
from streamsed.sources.kinds.file import FileSource
from tests.sources.reading import RATE, read_all

FRAME = round(FRAME_S * RATE)


def noise(seconds: float, dbfs: float, seed: int = 1) -> NDArray[np.float32]:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (10 ** (dbfs / 20) * samples).astype(np.float32)


def applied(gain: AutoGain, samples: NDArray[np.float32], *cuts: int) -> NDArray[np.float32]:
    """Apply a gain to samples cut into blocks at the given places."""
    gain.begin(RATE)
    places = sorted({0, *cuts, len(samples)})
    blocks = [Block(samples[a:b], a) for a, b in pairwise(places)]
    return np.concatenate([gain.apply(block).samples for block in blocks])


def reference(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """The definition, frame by frame, in double precision."""
    gain_db, loudest, before, now, out = 0.0, -np.inf, 1.0, 1.0, []
    for start in range(0, len(samples), FRAME):
        frame = samples[start : start + FRAME].astype(np.float64)
        out.append(frame * (before + (now - before) * (np.arange(len(frame)) + 1) / FRAME))
        before = now
        if len(frame) == FRAME and frame.any():
            loudest = max(10 * np.log10(np.mean(frame**2)), loudest - FORGET_DB)
            wanted = np.clip(TARGET_DBFS - loudest, 0.0, MOST_DB)
            gain_db += np.clip(wanted - gain_db, -FALL_DB, RISE_DB)
            now = 10 ** (gain_db / 20)
    return np.concatenate(out)


@given(st.lists(st.integers(1, 40_000), max_size=12))
def test_auto_depends_on_the_samples_alone(cuts: list[int]) -> None:
    samples = np.concatenate([noise(1.0, -70), np.zeros(5000, np.float32), noise(1.2, -30, 2)])
    samples = samples[:40_000]
    whole = applied(AutoGain(), samples)
    np.testing.assert_array_equal(applied(AutoGain(), samples, *cuts), whole)
    np.testing.assert_allclose(whole, reference(samples), rtol=1e-5, atol=1e-9)


def test_auto_is_slow_bounded_and_lets_go_of_what_was_loud() -> None:
    gain = AutoGain()
    applied(gain, noise(5.0, -90))
    assert gain.gain_db == pytest.approx(5.0 / FRAME_S * RISE_DB)
    applied(gain, noise(60.0, -90))
    assert gain.gain_db == MOST_DB
    applied(gain, noise(60.0, -30))
    assert gain.gain_db == 0.0, "what is loud enough stays as it is"
    quiet_after_loud = np.concatenate([noise(30.0, -70), noise(1.0, -20), noise(10.0, -70)])
    applied(gain, quiet_after_loud)
    assert gain.gain_db == 0.0
    applied(gain, np.zeros(60 * RATE, np.float32))
    assert gain.gain_db == 0.0, "zeros have no level"


def test_auto_goes_on_over_a_gap() -> None:
    gain = AutoGain()
    before = applied(gain, noise(10.0, -70))
    after = gain.apply(Block(noise(1.0, -70, 3), len(before) + 12_345))
    assert after.first_sample == len(before) + 12_345
    ratio = after.samples[0] / noise(1.0, -70, 3)[0]
    assert 20 * np.log10(ratio) == pytest.approx(gain.gain_db, abs=1.5 + FRAME_S * RISE_DB * 100)


def test_a_source_has_the_gain_that_is_configured(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(2.0, -50), 8000, subtype="FLOAT")

    def samples(**entry: object) -> NDArray[np.float32]:
        content = {"name": "a", "path": path, "paced": False, **entry}
        return read_all(build_source(FileSource.model_validate(content))).samples

    plain = samples()
    np.testing.assert_allclose(samples(gain_db=20), 10 * plain, rtol=1e-6)
    np.testing.assert_allclose(samples(gain_db=-6), plain * 10**-0.3, rtol=1e-6)
    np.testing.assert_array_equal(samples(gain_db="auto"), applied(AutoGain(), plain))
    playlist = tmp_path / "a.m3u"
    playlist.write_text("a.wav\na.wav\n")
    np.testing.assert_array_equal(
        samples(path=playlist, gain_db="auto"), applied(AutoGain(), np.tile(plain, 2))
    )


@pytest.mark.parametrize(
    ("channels", "expected_db"),
    [
        ([[1, 0], [1, 0]], 0.0),
        ([[1, 0], [0, 1]], -3.0),
        ([[1, 0], [0, 0]], -3.0),
        ([[1, 0], [-1, 0]], -120.0),
        ([[1, 0], [-0.99, 0]], -46.0),
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], -120.0),
    ],
)
def test_how_far_a_mix_lies_below_its_channels(
    channels: list[list[float]], expected_db: float
) -> None:
    sounds = np.stack([noise(3.0, -20), noise(3.0, -20, 2)], axis=1)
    frames = sounds @ np.array(channels, np.float32).T
    mix = MixLevel()
    assert mix.loss_db is None
    mix.add(frames, frames.mean(axis=1))
    assert mix.loss_db == pytest.approx(expected_db, abs=0.2)
    mix.add(frames * np.float32(1e-7), 0 * frames[:, 0])
    assert mix.loss_db == pytest.approx(expected_db, abs=0.2), "silence shows nothing"
