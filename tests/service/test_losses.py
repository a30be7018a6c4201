"""Bursts of losses."""

from __future__ import annotations

from streamsed.service.losses import BurstChange, LossBurst


def test_a_burst_begins_once_and_ends_after_quiet_audio() -> None:
    burst = LossBurst(quiet_samples=100)
    assert burst.update(0, at_sample=0) is None
    assert burst.update(10, at_sample=50) is BurstChange.BEGUN
    assert burst.update(30, at_sample=120) is None
    assert (burst.in_burst, burst.bursts, burst.active) == (30, 1, True)
    assert burst.update(30, at_sample=219) is None
    assert burst.update(30, at_sample=220) is BurstChange.ENDED
    assert burst.update(30, at_sample=10_000) is None
    assert burst.update(31, at_sample=10_001) is BurstChange.BEGUN
    assert (burst.in_burst, burst.bursts, burst.total) == (1, 2, 31)


def test_a_restart_counts_on_and_ends_the_burst() -> None:
    burst = LossBurst(quiet_samples=100)
    assert burst.update(7, at_sample=1000) is BurstChange.BEGUN
    burst.restart(counter_too=True)
    assert not burst.active
    assert burst.update(0, at_sample=10) is None
    assert burst.update(3, at_sample=20) is BurstChange.BEGUN
    assert (burst.total, burst.in_burst, burst.bursts) == (10, 3, 2)
    burst.restart(counter_too=False)
    assert burst.update(3, at_sample=10) is None
    assert burst.total == 10
