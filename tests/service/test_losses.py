"""Bursts of losses."""

from __future__ import annotations

from streamsed.service.losses import Change, LossBurst


def test_a_burst_begins_once_and_ends_after_quiet_audio() -> None:
    burst = LossBurst(quiet_samples=100)
    assert burst.update(0, at_sample=0) is None
    assert burst.update(10, at_sample=50) is Change.BEGUN
    assert burst.update(30, at_sample=120) is None
    assert (burst.in_burst, burst.bursts, burst.active) == (30, 1, True)
    assert burst.update(30, at_sample=219) is None
    assert burst.update(30, at_sample=220) is Change.ENDED
    assert burst.update(30, at_sample=10_000) is None
    assert burst.update(31, at_sample=10_001) is Change.BEGUN
    assert (burst.in_burst, burst.bursts, burst.total) == (1, 2, 31)
