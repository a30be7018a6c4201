"""Killed, and then its files are damaged: no number is used twice, each event has one offset."""

from __future__ import annotations

import pytest

from benchmarks import damage


@pytest.mark.parametrize("name", damage.DAMAGES)
def test_numbers_and_offsets_outlive_damage(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage, "RUNS", 2)
    monkeypatch.setattr(damage, "LONGEST_S", 0.05)
    counts = damage.DamageCounts()
    counts.add(damage.attempt(damage.DAMAGES[name], seed=1))
    assert counts.messages > 0
    assert not counts.wrong_cases, counts
