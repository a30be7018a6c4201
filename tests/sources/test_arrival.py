"""The clock of what comes over a network: jitter is none of its business, losses are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.sources.arrival import (
    GAP_S,
    MOST_WAIT_S,
    STEADY_S,
    WINDOW_S,
    ArrivalClock,
    DelayEstimator,
)

RATE = 16_000


class Network:
    """Audio that arrives when the test says so, and what the clock makes of it."""

    def __init__(self) -> None:
        self.now = 5.0
        self.utc_ahead_s = 1_000_000.0
        self.samples = 0
        self.lost = 0
        self.clock = ArrivalClock(
            RATE, running=lambda: self.now, utc=lambda: self.now + self.utc_ahead_s
        )

    def arrive(self, audio_s: float, *, after_s: float) -> float:
        """Let audio come after a while; return when the clock says that sample 0 was recorded."""
        self.now += after_s
        self.samples += round(audio_s * RATE)
        lost = self.clock.arrived(self.samples)
        self.samples += lost
        self.lost += lost
        return self.clock.started_at.timestamp() - 1_000_005.0

    def flow(self, seconds: float, *, speed: float = 1.0) -> float:
        for _ in range(round(seconds / 0.1)):
            start = self.arrive(0.1 * speed, after_s=0.1)
        return start

    def error_s(self) -> float:
        """How wrong the time of what has just arrived is."""
        estimated_at = self.clock.started_at.timestamp() + self.samples / RATE
        return estimated_at - (self.now + self.utc_ahead_s)


def test_a_burst_at_the_beginning_is_old_audio() -> None:
    network = Network()
    assert network.arrive(1.0, after_s=3.0) == pytest.approx(2.0)
    for _ in range(4):
        start = network.arrive(1.0, after_s=0.0)
    assert start == pytest.approx(-2.0), "five seconds that are there at 3.0 s began at -2.0"
    assert network.arrive(1.0, after_s=1.0) == pytest.approx(-2.0)


def test_jitter_does_not_move_it() -> None:
    network = Network()
    first = network.arrive(1.0, after_s=1.0)
    network.arrive(1.0, after_s=1.8)
    network.arrive(1.0, after_s=0.2)
    assert network.arrive(1.0, after_s=1.0) == pytest.approx(first)
    assert network.lost == 0


def test_it_follows_a_clock_that_is_slow() -> None:
    network = Network()
    first = network.flow(1.0)
    last = network.flow(1000.0, speed=0.995)
    assert last - first == pytest.approx(5.0, abs=0.005 * 2 * WINDOW_S + 0.02)
    assert network.lost == 0


@pytest.mark.parametrize("lost_s", [1.5, 3.0, 30.0])
def test_a_pause_that_is_not_made_up_for_is_a_gap(lost_s: float) -> None:
    network = Network()
    start = network.flow(10.0)
    network.arrive(0.1, after_s=lost_s + 0.1)
    network.flow(10.0)
    assert network.lost == pytest.approx(lost_s * RATE, abs=100)
    assert network.flow(60.0) == pytest.approx(start, abs=0.02)
    assert network.error_s() == pytest.approx(0.0, abs=0.02)
    assert network.lost == pytest.approx(lost_s * RATE, abs=100)


@pytest.mark.parametrize("speed", [1.1, 2.0, 100.0])
def test_a_pause_that_is_made_up_for_is_none(speed: float) -> None:
    """As after a process was stopped for half a minute, and everything has waited."""
    network = Network()
    start = network.flow(10.0)
    network.now += 30.0
    for _ in range(round(30.0 / 0.1 / (speed - 1) * speed)):
        assert network.arrive(0.1, after_s=0.1 / speed) == pytest.approx(start)
    network.flow(60.0)
    assert network.lost == 0


def test_a_burst_after_a_pause_and_then_a_loss() -> None:
    """Of 30 s, 5 waited somewhere and 25 were dropped."""
    network = Network()
    network.flow(10.0)
    network.now += 30.0
    for _ in range(50):
        network.arrive(0.1, after_s=0.001)
    network.flow(20.0)
    assert network.lost == pytest.approx(25.0 * RATE, rel=0.01)
    assert network.error_s() == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("segment_s", [2.0, 6.0, 10.0])
def test_segments_are_no_gaps_and_a_missing_one_is(segment_s: float) -> None:
    network = Network()

    def segment(after_s: float) -> None:
        network.arrive(0.1, after_s=after_s)
        for _ in range(round(segment_s / 0.1) - 1):
            network.arrive(0.1, after_s=0.001)

    for _ in range(3):
        segment(0.0)
    for number in range(20):
        late_s = segment_s * 0.6 if number in {4, 5, 11} else 0.0
        network.now += late_s
        segment(segment_s - segment_s / 0.1 * 0.001)
        network.now -= late_s
    assert network.lost == 0
    network.now += segment_s
    for _ in range(8):
        segment(segment_s - segment_s / 0.1 * 0.001)
    assert network.lost == pytest.approx(segment_s * RATE, rel=0.05)


def test_a_loss_that_goes_on_is_counted_as_it_goes() -> None:
    """A server that drops a second of every ten."""
    network = Network()
    network.flow(10.0)
    for _ in range(20):
        network.flow(9.0)
        network.now += 1.0
    network.flow(40.0)
    assert network.lost == pytest.approx(20 * RATE, abs=1.5 * RATE)
    assert abs(network.error_s()) < GAP_S + 0.1


def test_a_server_that_is_slower_than_time() -> None:
    network = Network()
    for _ in range(30):
        network.flow(4.0, speed=0.5)
        assert abs(network.error_s()) < 7.0
    assert network.lost > 40 * RATE


def test_much_at_once_and_then_a_pause_is_no_loss() -> None:
    network = Network()
    network.arrive(30.0, after_s=0.5)
    network.now += 20.0
    network.flow(60.0)
    assert network.lost == 0


def test_a_clock_that_is_set_is_followed_at_once() -> None:
    network = Network()
    start = network.flow(10.0)
    network.utc_ahead_s += 3600.0
    assert network.flow(10.0) == pytest.approx(start + 3600.0)
    assert network.lost == 0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    block_s=st.sampled_from([0.05, 0.2, 1.0]),
    jitter_s=st.floats(0.0, 8.0),
    ahead_s=st.floats(0.0, 20.0),
)
def test_bounded_jitter_is_never_a_gap(
    seed: int, block_s: float, jitter_s: float, ahead_s: float
) -> None:
    """Audio is held back for as long as may be, comes together, and is in time for a moment."""
    draw = np.random.default_rng(seed)
    estimator, audio_s, came_s = DelayEstimator(), 0.0, 0.0
    free_at = 0.0
    for _ in range(round(90.0 / block_s)):
        audio_s += block_s
        if audio_s > free_at + draw.uniform(0.1, 4.0):
            free_at = audio_s + draw.uniform(0.0, jitter_s)
        came_s = max(came_s, audio_s - ahead_s, free_at - ahead_s, 0.0)
        assert estimator.came(came_s, audio_s) == 0.0
    assert -ahead_s - 0.01 <= estimator.origin_s <= -ahead_s + GAP_S


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    jitter_s=st.floats(0.0, 0.5),
    losses=st.lists(st.floats(GAP_S + 0.6, 60.0), min_size=1, max_size=4),
)
def test_what_is_lost_is_found_and_the_time_is_right_again(
    seed: int, jitter_s: float, losses: list[float]
) -> None:
    draw = np.random.default_rng(seed)
    estimator, audio_s, true_s, came_s, found_s = DelayEstimator(), 0.0, 0.0, 0.0, 0.0
    for lost_s in (0.0, *losses):
        true_s += lost_s
        for _ in range(round((STEADY_S + MOST_WAIT_S + 10.0) / 0.1)):
            audio_s += 0.1
            true_s += 0.1
            came_s = max(came_s, true_s + draw.uniform(0.0, jitter_s))
            missing_s = estimator.came(came_s, audio_s)
            audio_s += missing_s
            found_s += missing_s
        assert abs(audio_s + estimator.origin_s - true_s) <= jitter_s + 0.1
    assert found_s == pytest.approx(sum(losses), abs=(jitter_s + 0.1) * len(losses))
