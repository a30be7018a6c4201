"""Hysteresis, pauses, minimum and maximum durations, against the plain definition."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.detect.events import Kind, Reason
from streamsed.detect.hysteresis import FrameTransition, Hysteresis
from streamsed.detect.median import median_filter
from streamsed.detect.postprocessing import FrameRules
from streamsed.detect.reference import FrameEvent, find_events


def _rules(
    *,
    enter: float = 0.5,
    exit_: float = 0.5,
    median: int = 1,
    min_on: int = 1,
    min_off: int = 1,
    max_on: int | None = None,
    update: int = 0,
) -> FrameRules:
    return FrameRules(enter, exit_, median, min_on, min_off, max_on, update)


@dataclass
class _Emitted:
    """A change, and how many frames had been processed when it was decided."""

    change: FrameTransition
    frames: int


def _stream(
    scores: Sequence[float],
    rules: FrameRules,
    places: Sequence[int] | None = None,
    reason: Reason = Reason.END_OF_STREAM,
) -> list[_Emitted]:
    """Push filtered scores cut at ``places``, by default one by one, and end.

    What is decided by a score is published when half a window more has been processed.
    """
    hysteresis, half = Hysteresis(rules), rules.median // 2
    filtered = median_filter(scores, rules.median)
    cuts = range(len(scores)) if places is None else sorted(p % (len(scores) + 1) for p in places)
    emitted: list[_Emitted] = []
    for begin, end in pairwise([0, *cuts, len(scores)]):
        if begin == end or (not hysteresis.is_open and max(filtered[begin:end]) < rules.enter):
            continue  # the decoder does not push what cannot matter
        for change in hysteresis.push(begin, filtered[begin:end]):
            emitted.append(_Emitted(change, min(change.decided_frame + 1 + half, len(scores))))
            assert begin <= change.decided_frame < end
    emitted += [_Emitted(change, len(scores)) for change in hysteresis.end(reason)]
    return emitted


def _events(emitted: Sequence[_Emitted]) -> list[tuple[int, int, Reason]]:
    return [
        (s.change.first_frame, s.change.end_frame, s.change.reason)
        for s in emitted
        if s.change.end_frame is not None and s.change.reason is not None
    ]


def _scores(picture: str) -> list[float]:
    """``#`` is a frame above enter, ``-`` one between exit and enter, ``.`` one below exit."""
    return [{"#": 0.9, "-": 0.4, ".": 0.1}[frame] for frame in picture]


HYSTERETIC = _rules(enter=0.5, exit_=0.3)


@pytest.mark.parametrize(
    ("picture", "rules", "expected"),
    [
        ("..###..", _rules(), [(2, 5, Reason.SILENCE)]),
        ("..###", _rules(), [(2, 5, Reason.END_OF_STREAM)]),
        ("..--#--.", HYSTERETIC, [(4, 7, Reason.SILENCE)]),
        ("--.--", HYSTERETIC, []),
        # Pauses: min_off frames end an event, fewer do not, and - does not begin one anew.
        ("#..#...", _rules(min_off=3), [(0, 4, Reason.SILENCE)]),
        ("#...#...", _rules(min_off=3), [(0, 1, Reason.SILENCE), (4, 5, Reason.SILENCE)]),
        ("#..#..", _rules(min_off=3), [(0, 4, Reason.END_OF_STREAM)]),
        ("#.-...", _rules(enter=0.5, exit_=0.3, min_off=3), [(0, 1, Reason.SILENCE)]),
        # Shortness is judged after closing the pauses.
        ("#.", _rules(min_on=2), []),
        ("#.#..", _rules(min_on=3, min_off=2), [(0, 3, Reason.SILENCE)]),
        # The limit: an end at exactly onset + max_on, then a new event at once.
        ("###.", _rules(max_on=3), [(0, 3, Reason.MAX_DURATION)]),
        ("####.", _rules(max_on=3), [(0, 3, Reason.MAX_DURATION), (3, 4, Reason.SILENCE)]),
        ("####.", _rules(max_on=3, min_on=2), [(0, 3, Reason.MAX_DURATION)]),
        ("#####", _rules(max_on=2), [(0, 2, Reason.MAX_DURATION), (2, 4, Reason.MAX_DURATION),
                                     (4, 5, Reason.END_OF_STREAM)]),
        # A pause across the limit belongs to the event once the sound comes back, ...
        ("##..#..", _rules(max_on=3, min_off=3), [(0, 3, Reason.MAX_DURATION),
                                                  (3, 5, Reason.END_OF_STREAM)]),
        # ... and not if it does not.
        ("##...", _rules(max_on=3, min_off=3), [(0, 2, Reason.SILENCE)]),
    ],
)  # fmt: skip
def test_what_an_event_is(
    picture: str, rules: FrameRules, expected: list[tuple[int, int, Reason]]
) -> None:
    assert _events(_stream(_scores(picture), rules)) == expected


def test_an_onset_is_said_when_the_event_is_long_enough() -> None:
    emitted = _stream(_scores("..####...."), _rules(min_on=3, min_off=2))
    assert [(s.change.kind, s.frames) for s in emitted] == [(Kind.ONSET, 5), (Kind.OFFSET, 8)]


def test_updates_come_every_so_many_frames() -> None:
    emitted = _stream(_scores("." + "#" * 12 + "."), _rules(min_on=3, update=4))
    assert [(s.change.kind, s.frames) for s in emitted] == [
        (Kind.ONSET, 4),
        (Kind.UPDATE, 5),
        (Kind.UPDATE, 9),
        (Kind.UPDATE, 13),
        (Kind.OFFSET, 14),
    ]


def test_scores_are_of_the_event_so_far() -> None:
    onset, offset = _stream([0.1, 0.6, 1.0, 0.8, 0.2], _rules(min_on=2))
    assert onset.change.score.current == onset.change.score.peak == 1.0
    assert onset.change.score.mean == pytest.approx(0.8)
    assert offset.change.score.current == 0.8
    assert offset.change.score.peak == 1.0
    assert offset.change.score.mean == pytest.approx(0.8)


RULES = st.builds(
    _rules,
    enter=st.sampled_from([0.5, 0.6, 0.75]),
    exit_=st.sampled_from([0.25, 0.4, 0.5]),
    median=st.sampled_from([1, 3, 5, 9]),
    min_on=st.integers(1, 6),
    min_off=st.integers(1, 6),
    max_on=st.none() | st.integers(6, 15),
    update=st.integers(0, 4),
)
# Levels that stay for a while, as sounds do, and single frames that do not.
LEVELS = st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.6, 0.9, 1.0])
SCORES = st.lists(st.tuples(LEVELS, st.integers(1, 8)), max_size=25).map(
    lambda runs: [level for level, length in runs for _ in range(length)]
)


@settings(deadline=None, max_examples=400)
@given(SCORES, RULES, st.lists(st.integers(0, 200), max_size=12), st.sampled_from(Reason))
def test_streaming_equals_the_reference(
    scores: list[float], rules: FrameRules, places: list[int], reason: Reason
) -> None:
    emitted = _stream(scores, rules, places, reason)
    streamed = [
        FrameEvent(c.first_frame, c.end_frame, c.reason, peak=c.score.peak, mean=c.score.mean)
        for c in (s.change for s in emitted)
        if c.end_frame is not None and c.reason is not None
    ]
    assert streamed == [
        FrameEvent(e.first, e.end, e.reason, peak=e.peak, mean=pytest.approx(e.mean))
        for e in find_events(scores, rules, reason)
    ]


@settings(deadline=None, max_examples=200)
@given(SCORES, RULES, st.lists(st.integers(0, 200), max_size=12))
def test_changes_do_not_depend_on_the_cut(
    scores: list[float], rules: FrameRules, places: list[int]
) -> None:
    by_frame = [emitted.change for emitted in _stream(scores, rules)]
    assert [emitted.change for emitted in _stream(scores, rules, places)] == by_frame


@settings(deadline=None, max_examples=200)
@given(SCORES, RULES)
def test_every_onset_has_one_offset(scores: list[float], rules: FrameRules) -> None:
    is_open = None
    for emitted in _stream(scores, rules):
        if emitted.change.kind is Kind.ONSET:
            assert is_open is None
            is_open = emitted.change.first_frame
        else:
            assert emitted.change.first_frame == is_open
        if emitted.change.kind is Kind.OFFSET:
            is_open = None
    assert is_open is None
