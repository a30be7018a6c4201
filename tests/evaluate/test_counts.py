"""Error counts, confusion and latency, by hand and against slow references."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from streamsed.evaluate.criteria.collar import event_counts
from streamsed.evaluate.criteria.confusion import confusion
from streamsed.evaluate.criteria.latency import message_latency
from streamsed.evaluate.evaluation import RecordingErrors
from streamsed.evaluate.intervals import Intervals
from streamsed.evaluate.metrics.counts import class_counts, errors_by_recording
from streamsed.evaluate.tables import event_table
from tests.evaluate.drawn import CLASSES, RECORDINGS, event_tables

TRUTH = event_table(
    [
        ("a", 1.0, 3.0, "Cat"),
        ("a", 5.0, 6.0, "Dog"),
        ("b", 2.0, 4.0, "Cat"),
        ("b", 3.0, 9.0, "Speech"),
    ]
)
FOUND = event_table(
    [
        ("a", 1.0, 3.0, "Cat"),  # right
        ("a", 2.5, 5.0, "Cat"),  # touches its class, and is wrong
        ("a", 7.0, 8.0, "Cat"),  # nothing sounds: a false alarm
        ("b", 2.5, 5.0, "Dog"),  # a cat for 1.5 s and speech for 2 s: a false alarm
    ]
)


def numbered(table: pd.DataFrame) -> Intervals:
    return Intervals.of(table, recordings=RECORDINGS, classes=CLASSES)


def test_counts_by_hand() -> None:
    counts = event_counts(FOUND, TRUTH, recordings=RECORDINGS, classes=CLASSES)
    classes = class_counts(counts, numbered(FOUND), numbered(TRUTH), classes=CLASSES, hours=0.5)
    cat, dog, speech = (classes[name] for name in CLASSES)
    assert (cat.truth, cat.found, cat.hits, cat.missed, cat.wrong) == (2, 3, 1, 1, 2)
    assert (cat.false_alarms, cat.false_alarms_per_hour) == (1, 2.0)
    assert (dog.truth, dog.found, dog.hits, dog.false_alarms) == (1, 1, 0, 1)
    assert (speech.truth, speech.found, speech.false_alarms_per_hour) == (1, 0, 0.0)
    assert errors_by_recording(counts, RECORDINGS) == (
        RecordingErrors("a", truth=2, hits=1, wrong=2),
        RecordingErrors("b", truth=2, hits=0, wrong=1),
        RecordingErrors("c", truth=0, hits=0, wrong=0),
        RecordingErrors("d", truth=0, hits=0, wrong=0),
    )


def test_confusion_by_hand() -> None:
    found = confusion(numbered(FOUND), numbered(TRUTH), CLASSES)
    assert found.labels == CLASSES
    assert found.counts.tolist() == [
        # Cat Dog Speech nothing
        [2, 0, 0, 1],  # the cat of b is missed
        [0, 0, 0, 1],
        [0, 1, 0, 1],
        [1, 0, 0, 0],
    ]


def overlap_s(one: pd.Series, other: pd.Series) -> float:
    if one["filename"] != other["filename"]:
        return 0.0
    return max(0.0, min(one["offset"], other["offset"]) - max(one["onset"], other["onset"]))


@given(found=event_tables(apart=False), truth=event_tables(apart=True))
@settings(max_examples=30)
def test_confusion_is_that_of_one_by_one(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    expected = np.zeros((4, 4), np.int64)
    for _, detection in found.iterrows():
        by_class = [0.0, 0.0, 0.0]
        for _, event in truth.iterrows():
            by_class[CLASSES.index(event["event_label"])] += overlap_s(detection, event)
        own = CLASSES.index(detection["event_label"])
        longest = int(np.argmax(np.round(by_class, 9)))
        row = own if by_class[own] > 0 else longest if by_class[longest] > 0 else 3
        expected[row, own] += 1
    for _, event in truth.iterrows():
        same = found[found["event_label"] == event["event_label"]]
        if not any(overlap_s(detection, event) > 0 for _, detection in same.iterrows()):
            expected[CLASSES.index(event["event_label"]), 3] += 1
    counts = confusion(numbered(found), numbered(truth), CLASSES).counts
    assert counts.sum(axis=0).tolist() == expected.sum(axis=0).tolist()
    assert counts.diagonal().tolist() == expected.diagonal().tolist()
    assert counts[3].tolist() == expected[3].tolist()
    assert counts[:, 3].tolist() == expected[:, 3].tolist()


@given(found=event_tables(apart=False), truth=event_tables(apart=True))
@settings(max_examples=30)
def test_counts_add_up(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    counts = event_counts(found, truth, recordings=RECORDINGS, classes=CLASSES)
    classes = class_counts(counts, numbered(found), numbered(truth), classes=CLASSES, hours=2.0)
    matrix = confusion(numbered(found), numbered(truth), CLASSES).counts
    for c, (label, one) in enumerate(classes.items()):
        assert one.found == (found["event_label"] == label).sum() == matrix[:, c].sum()
        assert one.truth == (truth["event_label"] == label).sum()
        assert one.false_alarms == one.found - matrix[c, c]
        assert one.false_alarms <= one.wrong
        assert one.false_alarms_per_hour == one.false_alarms / 2
    errors = errors_by_recording(counts, RECORDINGS)
    assert sum(e.hits for e in errors) == sum(c.hits for c in classes.values())
    assert sum(e.errors for e in errors) == sum(c.missed + c.wrong for c in classes.values())
    assert [e.errors for e in errors] == sorted((e.errors for e in errors), reverse=True)


def decided(rows: list[tuple[str, float, float, str, float, float]]) -> pd.DataFrame:
    columns = ["filename", "onset", "offset", "event_label", "onset_decided", "offset_decided"]
    return pd.DataFrame(rows, columns=columns)


def test_latency_by_hand() -> None:
    messages = decided(
        [
            ("a", 1.2, 2.0, "Cat", 1.7, 2.4),
            ("a", 2.2, 3.1, "Cat", 2.6, 3.5),  # the same true cat, in two
            ("a", 5.0, 5.5, "Cat", 5.4, 5.9),  # no cat there
            ("b", 1.0, 4.0, "Cat", 1.4, 4.5),  # early
            ("c", 3.0, 9.0, "Speech", 3.5, 9.5),  # not this recording's
        ]
    )
    latency = message_latency(messages, numbered(TRUTH), recordings=RECORDINGS, classes=CLASSES)
    assert latency["Cat"].onset_s == pytest.approx([0.7, -0.6])
    assert latency["Cat"].offset_s == pytest.approx([0.5, 0.5])
    for label in ("Dog", "Speech"):
        assert len(latency[label].onset_s) == len(latency[label].offset_s) == 0


def test_one_message_counts_for_one_event() -> None:
    """Cats at 1-3, 4-5 and 8-9; one detection spans the first two, the next begins in the second.

    The first detection has the first onset. The second cat's offset is that of the detection
    that began in it, and its onset is in none. The last cat is detected in two.
    """
    truth = event_table([("a", 1.0, 3.0, "Cat"), ("a", 4.0, 5.0, "Cat"), ("a", 8.0, 9.0, "Cat")])
    messages = decided(
        [
            ("a", 4.6, 5.2, "Cat", 4.9, 5.6),
            ("a", 0.8, 4.5, "Cat", 1.2, 4.8),
            ("a", 8.0, 8.4, "Cat", 8.3, 8.7),
            ("a", 8.6, 8.9, "Cat", 8.9, 8.9),
        ]
    )
    latency = message_latency(messages, numbered(truth), recordings=RECORDINGS, classes=CLASSES)
    assert latency["Cat"].onset_s == pytest.approx([0.2, 0.3])
    assert latency["Cat"].offset_s == pytest.approx([0.6, -0.1])


@given(found=event_tables(apart=False), truth=event_tables(apart=True))
@settings(max_examples=30)
def test_latency_is_that_of_one_by_one(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    messages = found.assign(
        onset_decided=found["onset"] + 0.3, offset_decided=found["offset"] + np.arange(len(found))
    )
    latency = message_latency(messages, numbered(truth), recordings=RECORDINGS, classes=CLASSES)

    def touching(table: pd.DataFrame, one: pd.Series) -> pd.DataFrame:
        same = (table["filename"] == one["filename"]) & (table["event_label"] == one["event_label"])
        return table[same & (table["onset"] < one["offset"]) & (table["offset"] > one["onset"])]

    onsets: dict[str, list[float]] = {label: [] for label in CLASSES}
    offsets: dict[str, list[float]] = {label: [] for label in CLASSES}
    for _, event in truth.iterrows():
        own = touching(messages, event).sort_values("onset")
        if own.empty:
            continue
        first, last = own.iloc[0], own.iloc[-1]
        if touching(truth, first)["onset"].min() == event["onset"]:
            onsets[event["event_label"]].append(first["onset_decided"] - event["onset"])
        if touching(truth, last)["offset"].max() == event["offset"]:
            offsets[event["event_label"]].append(last["offset_decided"] - event["offset"])
    for label in CLASSES:
        assert latency[label].onset_s == pytest.approx(onsets[label])
        assert latency[label].offset_s == pytest.approx(offsets[label])


def test_latency_of_a_message_that_never_came_is_not_counted() -> None:
    messages = decided([("a", 1.2, 3.0, "Cat", 1.7, np.nan)])
    latency = message_latency(messages, numbered(TRUTH), recordings=RECORDINGS, classes=CLASSES)
    assert latency["Cat"].onset_s == pytest.approx([0.7])
    assert len(latency["Cat"].offset_s) == 0


def test_latency_without_messages() -> None:
    latency = message_latency(decided([]), numbered(TRUTH), recordings=RECORDINGS, classes=CLASSES)
    assert all(len(latency[label].onset_s) == 0 for label in CLASSES)
