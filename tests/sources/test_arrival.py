"""The clock of what comes over a network."""

from __future__ import annotations

import pytest

from streamsed.sources.arrival import PAUSE_S, WINDOW_S, ArrivalClock

RATE = 100


class Network:
    """Audio that arrives when the test says so, and what the clock makes of it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.heard_s = 0.0
        self._clock = ArrivalClock(RATE, clock=lambda: self.now)

    def arrive(self, audio_s: float, *, after_s: float) -> float:
        """Let audio come after a while; return when the clock says that sample 0 was heard."""
        self.now += after_s
        self.heard_s += audio_s
        self._clock.arrived(round(self.heard_s * RATE))
        return self._clock.started_at.timestamp() - 1_000_000.0


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


def test_it_follows_a_clock_that_is_slow() -> None:
    network = Network()
    first = network.arrive(1.0, after_s=1.0)
    for _ in range(1000):
        last = network.arrive(0.99, after_s=1.0)
    assert last - first == pytest.approx(10.0, abs=0.01 * 2 * WINDOW_S)


def test_after_a_pause_it_begins_anew() -> None:
    network = Network()
    network.arrive(1.0, after_s=1.0)
    assert network.arrive(1.0, after_s=PAUSE_S + 2.0) == pytest.approx(PAUSE_S + 1.0)
