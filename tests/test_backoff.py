"""Back-off between attempts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamsed.backoff import FACTOR, JITTER, Backoff
from streamsed.config import RetryConfig

CONFIG = RetryConfig(first_s=0.5, most_s=6.0, healthy_s=10.0)


@given(st.lists(st.floats(0.0, 20.0), max_size=30))
def test_delays_double_up_to_a_limit_and_begin_anew_after_health(healthy: list[float]) -> None:
    backoff = Backoff(CONFIG)
    expected_s = CONFIG.first_s
    for healthy_for_s in healthy:
        if healthy_for_s >= CONFIG.healthy_s:
            expected_s = CONFIG.first_s
        delay_s = backoff.next_s(healthy_for_s=healthy_for_s)
        assert (1 - JITTER) * expected_s <= delay_s <= (1 + JITTER) * expected_s
        expected_s = min(expected_s * FACTOR, CONFIG.most_s)


def test_sources_lost_together_do_not_come_back_together() -> None:
    delays = {Backoff(CONFIG).next_s(healthy_for_s=0.0) for _ in range(20)}
    assert len(delays) == 20
