"""The operating point, and detections as every library takes them."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.evaluate.metrics.detections import mended, merge_overlapping, operating_point
from streamsed.evaluate.tables import EVENT_COLUMNS, event_table
from tests.evaluate.drawn import CLASSES, perfect_data

Row = tuple[str, int, int, str]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 8), st.sampled_from(CLASSES)
        ),
        max_size=30,
    ),
    touching=st.booleans(),
)
def test_merged_events_sound_when_the_events_did(
    rows: list[tuple[str, int, int, str]], touching: bool
) -> None:
    table = event_table((name, on, on + length, label) for name, on, length, label in rows)
    merged = merge_overlapping(table, touching=touching)

    def seconds(events: pd.DataFrame) -> set[tuple[str, int, str]]:
        return {
            (row.filename, second, row.event_label)
            for row in events.itertuples()
            for second in range(int(row.onset), int(row.offset))
        }

    assert seconds(merged) == seconds(table)
    for _, own in merged.groupby(["filename", "event_label"]):
        ordered = own.sort_values("onset")
        gap = ordered["onset"].to_numpy()[1:] - ordered["offset"].to_numpy()[:-1]
        assert (gap > 0).all() if touching else (gap >= 0).all()
    if not touching:  # those that only touch stay two
        untouched = merge_overlapping(merged, touching=False)
        assert untouched.to_numpy().tolist() == merged.to_numpy().tolist()


def test_mending_says_what_it_did() -> None:
    table = event_table(
        [
            ("a", 1.0, 3.0, "Cat"),
            ("a", 2.0, 4.0, "Cat"),
            ("a", 2.0, 4.0, "Dog"),
            ("a", 5.0, 5.0, "Dog"),
            ("a", 6.0, 7.0, "Unicorn"),
        ]
    )
    events, notes = mended(table, CLASSES)
    assert events.to_numpy().tolist() == [["a", 1.0, 4.0, "Cat"], ["a", 2.0, 4.0, "Dog"]]
    assert len(notes) == 3
    assert "Unicorn" in notes[0]
    assert "without length" in notes[1]
    assert "merged" in notes[2]


def test_nothing_is_said_where_nothing_was_done() -> None:
    table = event_table([("a", 1.0, 3.0, "Cat"), ("a", 3.0, 4.0, "Cat")])
    events, notes = mended(table, CLASSES)
    assert len(events) == 2
    assert notes == ()


def test_given_events_are_the_operating_point_whatever_else_there_is() -> None:
    data = replace(perfect_data(), events=event_table([("a", 0.0, 1.0, "Dog")]))
    point = operating_point(data)
    assert point is not None
    assert point.threshold is None
    assert point.events[EVENT_COLUMNS].to_numpy().tolist() == [["a", 0.0, 1.0, "Dog"]]


def test_scores_alone_are_decided_at_one_half() -> None:
    point = operating_point(perfect_data())
    assert point is not None
    assert point.threshold == 0.5
    assert len(point.events) == 4


def test_of_operating_points_the_one_nearest_to_one_half_is_taken() -> None:
    points = {t: event_table([("a", t, 1.0, "Dog")]) for t in (0.1, 0.45, 0.9)}
    point = operating_point(replace(perfect_data(), scores=None, operating_points=points))
    assert point is not None
    assert point.threshold == 0.45
    assert point.events["onset"].tolist() == [pytest.approx(0.45)]


def test_without_detections_there_is_no_operating_point() -> None:
    assert operating_point(replace(perfect_data(), scores=None)) is None
