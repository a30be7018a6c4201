"""F1 of events, segments and tags: by hand, against the libraries and a slow reference."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from psds_eval import PSDSEval
from sed_eval.sound_event import EventBasedMetrics

from streamsed.evaluate.criteria import collar
from streamsed.evaluate.criteria.collar import event_counts, matched_counts
from streamsed.evaluate.criteria.error_counts import ErrorCounts, f1, macro
from streamsed.evaluate.criteria.intersection import intersection_counts
from streamsed.evaluate.criteria.segments import segment_counts
from streamsed.evaluate.criteria.tagging import tag_counts
from streamsed.evaluate.intervals import Intervals
from streamsed.evaluate.libraries import without_library_warnings
from streamsed.evaluate.tables import event_table
from tests.evaluate.drawn import CLASSES, RECORDINGS, duration_table, event_tables, shuffled

DURATIONS = dict.fromkeys(RECORDINGS, 10.0)
TRUTH = event_table(
    [("a", 1.0, 3.0, "Cat"), ("a", 5.0, 6.0, "Dog"), ("b", 2.0, 4.0, "Cat"), ("b", 7.0, 9.0, "Dog")]
)
NAN = float("nan")


def events_of(found: pd.DataFrame, truth: pd.DataFrame) -> ErrorCounts:
    return event_counts(found, truth, recordings=RECORDINGS, classes=CLASSES)


def matches_of(found: pd.DataFrame, truth: pd.DataFrame) -> ErrorCounts:
    return matched_counts(
        Intervals.of(found, recordings=RECORDINGS, classes=CLASSES),
        Intervals.of(truth, recordings=RECORDINGS, classes=CLASSES),
        recordings=len(RECORDINGS),
        classes=len(CLASSES),
    )


def intersections_of(found: pd.DataFrame, truth: pd.DataFrame) -> ErrorCounts:
    (counts,) = intersection_counts([found], truth, durations_s=DURATIONS, classes=CLASSES)
    return counts


def segments_of(found: pd.DataFrame, truth: pd.DataFrame) -> ErrorCounts:
    return segment_counts(found, truth, durations_s=DURATIONS, classes=CLASSES)


def tags_of(found: pd.DataFrame, truth: pd.DataFrame) -> ErrorCounts:
    return tag_counts(found, truth, recordings=RECORDINGS, classes=CLASSES)


EVERY_KIND = pytest.mark.parametrize(
    "count", [events_of, matches_of, intersections_of, segments_of, tags_of]
)


def same(one: ErrorCounts, other: ErrorCounts) -> None:
    np.testing.assert_array_equal(one.hits, other.hits)
    np.testing.assert_array_equal(one.wrong, other.wrong)
    np.testing.assert_array_equal(one.missed, other.missed)


FOUND = event_table(
    [
        ("a", 1.1, 3.1, "Cat"),
        ("a", 5.0, 5.9, "Dog"),
        ("b", 2.5, 4.0, "Cat"),  # outside the onset collar, but three quarters of the event
    ]
)


@pytest.mark.parametrize("count", [events_of, matches_of])
def test_events_by_hand(count) -> None:  # type: ignore[no-untyped-def]
    assert count(FOUND, TRUTH).f1() == pytest.approx([0.5, 2 / 3, NAN], nan_ok=True)


def test_intersections_by_hand() -> None:
    counts = intersections_of(FOUND, TRUTH)
    assert counts.f1() == pytest.approx([1.0, 2 / 3, NAN], nan_ok=True)


def test_segments_by_hand() -> None:
    # Cat: true in seconds 1 2 of a and 2 3 of b; found in 1 2 3 and 2 3. Dog: 5, 7 8; 5.
    counts = segments_of(FOUND, TRUTH)
    assert counts.hits.sum(axis=0).tolist() == [4, 1, 0]
    assert counts.wrong.sum(axis=0).tolist() == [1, 0, 0]
    assert counts.missed.sum(axis=0).tolist() == [0, 2, 0]


def test_tags_by_hand() -> None:
    counts = tags_of(FOUND, TRUTH)
    assert counts.f1() == pytest.approx([1.0, 2 / 3, NAN], nan_ok=True)


@pytest.mark.parametrize(
    ("onset", "offset", "hit"),
    [
        (1.19, 3.0, True),
        (1.21, 3.0, False),
        (0.81, 3.0, True),
        (0.79, 3.0, False),
        (1.0, 3.39, True),  # 20 % of two seconds
        (1.0, 3.41, False),
        (1.0, 2.61, True),
    ],
)
def test_collars(onset: float, offset: float, hit: bool) -> None:
    truth = event_table([("a", 1.0, 3.0, "Cat")])
    found = event_table([("a", onset, offset, "Cat")])
    for count in (events_of, matches_of):
        assert count(found, truth).hits.sum() == hit


def test_the_offset_collar_of_a_short_event_is_200_ms() -> None:
    truth = event_table([("a", 1.0, 1.3, "Cat")])
    for offset, hit in ((1.49, True), (1.51, False)):
        assert events_of(event_table([("a", 1.0, offset, "Cat")]), truth).hits.sum() == hit


def largest_matching(found: list[tuple[float, float]], true: list[tuple[float, float]]) -> int:
    """Try every way to give detections to true events."""

    def near(detection: tuple[float, float], event: tuple[float, float]) -> bool:
        reach = max(0.2, 0.2 * (event[1] - event[0]))
        return abs(detection[0] - event[0]) <= 0.2 and abs(detection[1] - event[1]) <= reach

    absent = (-100.0, -100.0)  # so that a detection may also be given to nothing
    return max(
        sum(near(one, other) for one, other in zip(found, order, strict=True))
        for order in permutations([*true, *[absent] * len(found)], len(found))
    )


spans = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 8)).map(
        lambda span: (span[0] * 0.07, (span[0] + span[1]) * 0.07)
    ),
    max_size=4,
)


@given(found=spans, true=spans)
def test_matching_is_the_largest_there_is(
    found: list[tuple[float, float]], true: list[tuple[float, float]]
) -> None:
    """Crowded events that compete for one another; they may even overlap."""
    detections = event_table(("a", *span, "Cat") for span in found)
    truth = event_table(("a", *span, "Cat") for span in true)
    hits = largest_matching(found, true)
    assert matches_of(detections, truth).hits[0, 0] == hits
    assert events_of(detections, truth).hits[0, 0] == hits


@given(found=event_tables(apart=False), truth=event_tables(apart=True))
@settings(max_examples=40)
def test_counts_are_those_of_sed_eval(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    counts = events_of(found, truth)
    same(counts, matches_of(found, truth))
    library = EventBasedMetrics(
        event_label_list=list(CLASSES), t_collar=0.2, percentage_of_length=0.2
    )
    for name in RECORDINGS:
        library.evaluate(
            truth[truth["filename"] == name].to_dict("records"),
            found[found["filename"] == name].to_dict("records"),
        )
    values = library.results_class_wise_metrics()
    expected = [values[label]["f_measure"]["f_measure"] for label in CLASSES]
    present = [label in set(truth["event_label"]) for label in CLASSES]
    # The library divides 0 by 0 where nothing was found of a class.
    expected = np.where(present, np.nan_to_num(np.array(expected, float)), np.nan)
    assert counts.f1() == pytest.approx(expected, nan_ok=True)
    for label, hits, wrong in zip(
        CLASSES, counts.hits.sum(axis=0), counts.wrong.sum(axis=0), strict=True
    ):
        assert values[label]["count"]["Nsys"] == hits + wrong


@given(
    found=event_tables(apart=False),
    truth=event_tables(apart=True),
    piece=st.integers(1, 5),
)
@settings(max_examples=40)
def test_a_recording_may_be_cut_into_pieces(
    found: pd.DataFrame, truth: pd.DataFrame, piece: int
) -> None:
    whole = events_of(found, truth)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collar, "_PIECE", piece)
        same(events_of(found, truth), whole)


@given(found=event_tables(apart=False), truth=event_tables(apart=True))
@settings(max_examples=25)
def test_intersection_f1_is_that_of_psds_eval(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    present = [label for label in CLASSES if (truth["event_label"] == label).any()]
    assume(present)
    library = PSDSEval(
        ground_truth=truth,
        metadata=duration_table(DURATIONS),
        dtc_threshold=0.5,
        gtc_threshold=0.5,
        cttc_threshold=0.3,
    )
    with without_library_warnings():
        _, expected = library.compute_macro_f_score(found[found["event_label"].isin(present)])
    values = dict(zip(CLASSES, intersections_of(found, truth).f1(), strict=True))
    for label in CLASSES:
        value = np.nan_to_num(expected[label]) if label in present else NAN
        assert values[label] == pytest.approx(value, nan_ok=True)


@given(found=event_tables(apart=False), truth=event_tables(apart=True))
@settings(max_examples=30)
def test_segments_are_those_of_a_second_by_second_look(
    found: pd.DataFrame, truth: pd.DataFrame
) -> None:
    def active(table: pd.DataFrame, name: str, second: int, label: str) -> bool:
        own = table[(table["filename"] == name) & (table["event_label"] == label)]
        inside = (own["onset"] < second + 1 - 1e-9) & (own["offset"] > second + 1e-9)
        return bool(inside.any())

    counts = segments_of(found, truth)
    r, c = 1, 2
    pairs = [
        (active(found, RECORDINGS[r], s, CLASSES[c]), active(truth, RECORDINGS[r], s, CLASSES[c]))
        for s in range(10)
    ]
    assert counts.hits[r, c] == pairs.count((True, True))
    assert counts.wrong[r, c] == pairs.count((True, False))
    assert counts.missed[r, c] == pairs.count((False, True))


@given(found=event_tables(apart=False), truth=event_tables(apart=True))
@settings(max_examples=30)
def test_tags_are_those_of_sets(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    counts = tags_of(found, truth)
    detected = set(zip(found["filename"], found["event_label"], strict=True))
    real = set(zip(truth["filename"], truth["event_label"], strict=True))
    for r, name in enumerate(RECORDINGS):
        for c, label in enumerate(CLASSES):
            at = (name, label)
            assert counts.hits[r, c] == (at in detected and at in real)
            assert counts.wrong[r, c] == (at in detected and at not in real)
            assert counts.missed[r, c] == (at not in detected and at in real)


@EVERY_KIND
@given(found=event_tables(apart=False), truth=event_tables(apart=True))
@settings(max_examples=8)
def test_order_of_rows_does_not_matter(count, found, truth) -> None:  # type: ignore[no-untyped-def]
    same(count(found, truth), count(shuffled(found), shuffled(truth)))


@EVERY_KIND
def test_perfect_detections_reach_one(count) -> None:  # type: ignore[no-untyped-def]
    assert count(TRUTH, TRUTH).f1() == pytest.approx([1.0, 1.0, NAN], nan_ok=True)


@EVERY_KIND
def test_nothing_found_is_zero(count) -> None:  # type: ignore[no-untyped-def]
    assert count(event_table([]), TRUTH).f1() == pytest.approx([0.0, 0.0, NAN], nan_ok=True)


@EVERY_KIND
def test_no_truth_at_all_is_undefined(count) -> None:  # type: ignore[no-untyped-def]
    assert np.isnan(count(TRUTH, event_table([])).f1()).all()
    assert np.isnan(count(event_table([]), event_table([])).f1()).all()


def test_the_macro_mean_leaves_out_what_is_undefined() -> None:
    assert macro(np.array([0.5, NAN, 1.0])) == pytest.approx(0.75)
    assert np.isnan(macro(np.array([NAN, NAN])))
    rows = macro(np.array([[0.5, NAN], [NAN, NAN]]))
    assert rows == pytest.approx([0.5, NAN], nan_ok=True)


def test_f1_of_counts() -> None:
    values = f1(np.array([2, 0, 0, 0]), np.array([1, 3, 3, 0]), np.array([1, 2, 0, 0]))
    assert values == pytest.approx([2 / 3, 0.0, NAN, NAN], nan_ok=True)
