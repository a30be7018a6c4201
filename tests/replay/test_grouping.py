"""Sharing recordings out."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from streamsed.replay.grouping import BATCH, grouped
from streamsed.replay.recordings import Recording

LENGTHS = st.lists(st.none() | st.floats(0.1, 36_000.0), max_size=200)


def recordings(lengths_s: list[float | None]) -> list[Recording]:
    return [Recording(f"{i}.wav", Path(f"{i}.wav"), s, 1, 1) for i, s in enumerate(lengths_s)]


@given(LENGTHS, st.integers(1, 40))
def test_every_recording_is_in_one_group(lengths_s: list[float | None], processes: int) -> None:
    every = recordings(lengths_s)
    groups = grouped(every, processes=processes)
    assert sorted((r for g in groups for r in g), key=lambda r: r.name) == sorted(
        every, key=lambda r: r.name
    )
    assert all(groups)
    order = [float("inf") if r.duration_s is None else r.duration_s for g in groups for r in g]
    assert order == sorted(order, reverse=True)


@given(LENGTHS, st.integers(2, 40))
def test_no_group_keeps_one_process_busy_alone(
    lengths_s: list[float | None], processes: int
) -> None:
    left = sum(s or 0.0 for s in lengths_s)
    for group in grouped(recordings(lengths_s), processes=processes):
        length = sum(r.duration_s or 0.0 for r in group)
        share = left / processes / (1 if len(group) <= BATCH else 2)
        assert len(group) == 1 or length <= share + 1e-6
        assert len(group) <= BATCH or len(group) % BATCH == 0
        left -= length


def test_many_alike_recordings_fill_batches() -> None:
    groups = grouped(recordings([10.0] * 1168), processes=2)
    full = [group for group in groups if len(group) % BATCH == 0]
    assert sum(map(len, full)) > 0.95 * 1168
