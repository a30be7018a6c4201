"""What detection counts of its own work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.service.counters import LATENCY_BOUNDS_S, Counters, Histogram
from tests.bundles import tones
from tests.service.daemons import configure, events, recording, running

SECONDS = st.floats(0.0, 20.0) | st.sampled_from(LATENCY_BOUNDS_S)


@given(values=st.lists(SECONDS))
def test_a_histogram_counts_as_one_does_by_hand(values: list[float]) -> None:
    histogram = Histogram(LATENCY_BOUNDS_S)
    for value in values:
        histogram.observe(value)
    up_to = [sum(value <= bound for value in values) for bound in LATENCY_BOUNDS_S]
    assert np.cumsum(histogram.counts).tolist() == [*up_to, len(values)]
    assert histogram.total == pytest.approx(sum(values))


def test_the_real_time_factor_is_that_of_the_last_minute() -> None:
    now = 0.0
    counters = Counters(clock=lambda: now)
    assert counters.real_time_factor() is None
    for second in range(200):
        now = float(second)
        counters.begin()
        for source in ("kitchen", "hall"):
            counters.count_audio(source, 1.0)
        now += 0.5 if second < 100 else 0.25
        counters.end()
        if second == 50:
            assert counters.real_time_factor() == pytest.approx(0.5)
    assert counters.real_time_factor() == pytest.approx(0.25), "the dear steps are long ago"


def test_a_daemon_counts_what_it_does(bundle: Path, tmp_path: Path) -> None:
    sounds = [("low", 0.2, 0.5), ("high", 0.6, 0.9), ("low", 1.0, 1.2)]
    source = recording(tmp_path / "kitchen.wav", tones(sounds, duration_s=1.5), paced=True)
    with running(configure(bundle, [source])) as run:
        messages = run.until_stopped()
        counters = run.daemon.counters
    assert counters.round_began is None
    assert counters.events == {"low": 2, "mid": 0, "high": 1}
    assert counters.processed_s["kitchen"] == pytest.approx(1.5, abs=0.02)
    assert sum(counters.steps.counts) >= 1.5 / 0.064
    assert 0.0 < counters.steps.total < counters.busy_s
    told_s = [event.latency_ms / 1e3 for event in events(messages) if event.latency_ms is not None]
    counted_s = [*counters.onset_latencies.recent_s, *counters.offset_latencies.recent_s]
    assert sorted(counted_s) == sorted(told_s)
    assert len(counted_s) == 6
    low = counters.onset_latencies.by_label["low"]
    assert sum(low.counts) == 2


def test_disabled_classes_and_recordings_are_not_timed(bundle: Path, tmp_path: Path) -> None:
    sounds = [("low", 0.2, 0.5), ("high", 0.6, 0.9)]
    source = recording(tmp_path / "kitchen.wav", tones(sounds, duration_s=1.5))
    detect = {"classes": {"high": {"enabled": False}}}
    with running(configure(bundle, [source], detect=detect)) as run:
        run.until_stopped()
        counters = run.daemon.counters
    assert counters.events == {"low": 1, "mid": 0}
    assert counters.onset_latencies.by_label == {}
