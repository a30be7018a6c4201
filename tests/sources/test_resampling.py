"""The resampler keeps the sample clock."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsed.sources.block import Block
from streamsed.sources.resampling import Resampler

RATES = [8_000, 11_025, 22_050, 44_100, 48_000, 96_000]
OUT = 16_000
HOUR_40 = 40 * 3600


def joined(blocks: list[Block]) -> tuple[int, NDArray[np.float32]]:
    """First index and samples of blocks without a gap."""
    for one, other in pairwise(blocks):
        assert other.first_sample == one.end_sample
    return blocks[0].first_sample, np.concatenate([block.samples for block in blocks])


def tone(rate: int, first: int, n: int) -> NDArray[np.float32]:
    """1500.5 Hz as a function of absolute time, exact at any index."""
    period = 2 * rate  # samples after which the tone repeats
    phase = ((first + np.arange(n)) % period) * (3001 / period)
    return np.asarray(np.sin(2 * np.pi * phase), np.float32)


@given(
    rate=st.sampled_from(RATES),
    cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=20),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_blocks_give_what_one_call_gives(rate: int, cuts: list[int], seed: int) -> None:
    audio = np.random.default_rng(seed).standard_normal(sum(cuts)).astype(np.float32)
    resampler = Resampler(rate, OUT)
    blocks: list[Block] = []
    first = 0
    for cut in cuts:
        blocks += resampler.push(Block(audio[first : first + cut], first))
        first += cut
    blocks += resampler.flush()
    assert resampler.flush() == ()
    got = joined(blocks)[1] if blocks else np.empty(0, np.float32)
    assert len(got) == round(Fraction(len(audio) * OUT, rate))
    reference = soxr.resample(audio, rate, OUT)
    n = min(len(got), len(reference))  # lengths are rounded differently
    assert abs(len(got) - len(reference)) <= 1
    np.testing.assert_allclose(got[:n], reference[:n], atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_a_chirp_stays_where_it_is(rate: int) -> None:
    def chirp(at: int) -> NDArray[np.float32]:
        t = np.arange(at) / at
        audio = np.sin(2 * np.pi * (100 * t + 1200 * t**2)) * np.hanning(at)
        return np.asarray(audio, np.float32)

    resampler = Resampler(rate, OUT)
    audio = chirp(rate)
    blocks: list[Block] = []
    for first in range(0, rate, 500):
        blocks += resampler.push(Block(audio[first : first + 500], first))
    _, got = joined([*blocks, *resampler.flush()])
    lag = np.argmax(np.correlate(got, chirp(OUT), mode="full")) - (OUT - 1)
    assert lag == 0
    np.testing.assert_allclose(got, chirp(OUT), atol=1e-3)


@given(
    rate=st.sampled_from(RATES),
    start=st.integers(0, 100_000),
    gap=st.integers(1, 10_000),
    late=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_after_a_gap_the_clock_is_exact(rate: int, start: int, gap: int, late: bool) -> None:
    first = start + late * HOUR_40 * rate
    n = rate // 5
    resampler = Resampler(rate, OUT)
    before = [*resampler.push(Block(tone(rate, first, n), first))]
    second = first + n + gap
    both = [*before, *resampler.push(Block(tone(rate, second, n), second)), *resampler.flush()]
    limit = resampler.out_index(first + n)
    runs = [
        [block for block in both if block.first_sample < limit],
        [block for block in both if block.first_sample >= limit],
    ]
    for run, begin in zip(runs, (first, second), strict=True):
        index, samples = joined(run)
        assert index == round(Fraction(begin * OUT, rate))
        assert index + len(samples) == round(Fraction((begin + n) * OUT, rate))
        edge = 400  # where the filter sees the gap
        expected = tone(OUT, index, len(samples))
        np.testing.assert_allclose(samples[edge:-edge], expected[edge:-edge], atol=2e-4)


def test_an_hour_does_not_drift() -> None:
    rate, second = 44_100, np.zeros(44_100, np.float32)
    resampler = Resampler(rate, OUT)
    for index in range(3600):
        resampler.push(Block(second, index * rate))
    first = 3600 * rate
    _, got = joined([*resampler.push(Block(tone(rate, first, rate), first)), *resampler.flush()])
    expected = tone(OUT, 3600 * OUT, OUT)
    np.testing.assert_allclose(got[-OUT:][400:-400], expected[400:-400], atol=2e-4)


def test_equal_rates_copy_nothing() -> None:
    block = Block(np.ones(10, np.float32), 5)
    resampler = Resampler(OUT, OUT)
    assert resampler.push(block)[0] is block
    assert resampler.push(Block(np.empty(0, np.float32), 15)) == ()
    assert resampler.flush() == ()
