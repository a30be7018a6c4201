"""When a subscriber asks, and when it stops waiting for an answer."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from streamsed.client import AsyncSubscriber, Subscriber
from streamsed.errors import PublishError
from streamsed.subscribe.delivery import Gap, GapReason
from streamsed.subscribe.session import SubscriberSession


def body(**content: Any) -> bytes:
    return json.dumps(content).encode()


def beat(session: SubscriberSession, now: float, *, last_seq: int, uptime_s: float) -> None:
    session.published([b"heartbeat/", body(last_seq=last_seq, uptime_s=uptime_s)], now)


def deliver(session: SubscriberSession, now: float, seq: int) -> None:
    session.published([b"event/kitchen/Dog/", body(seq=seq)], now)


def seqs(session: SubscriberSession) -> list[int | Gap]:
    found = [
        item if isinstance(item, Gap) else json.loads(item[1])["seq"] for item in session.ready
    ]
    session.ready.clear()
    return found


def jumped() -> SubscriberSession:
    """One that has received 1 and 5, and has asked at time 0 what was between."""
    session = SubscriberSession(["event/", "status/"], since=None)
    deliver(session, 0.0, 1)
    deliver(session, 0.0, 5)
    assert seqs(session) == [1]
    frames = session.request(0.0)
    assert frames is not None
    asked = json.loads(frames[2])
    assert (asked["get"], asked["seq"], asked["topics"]) == ("since", 1, ["event/", "status/"])
    return session


def answer(mark: bytes, **content: Any) -> list[bytes]:
    return [mark, b"", body(**({"missing": [], "messages": []} | content))]


def test_it_asks_once_and_again_if_there_is_no_answer() -> None:
    session = jumped()
    assert session.request(0.5) is None
    assert session.wait_s(0.5) == 0.5
    again = session.request(1.0)
    assert again is not None
    messages = [{"seq": seq} for seq in (2, 3, 4, 5)]
    session.answered(answer(b"other", through=5, last_seq=5, messages=messages), 1.1)
    assert seqs(session) == []
    session.answered(answer(again[0], through=5, last_seq=5, messages=messages), 1.2)
    assert seqs(session) == [2, 3, 4, 5]
    assert session.request(9.0) is None
    assert session.wait_s(9.0) > 9.0, "but for a connection that is silent"


def test_a_daemon_that_is_heard_and_never_answers_is_given_up() -> None:
    session = jumped()
    for second in range(100):
        now = float(second)
        beat(session, now, last_seq=5, uptime_s=1000.0 + now)
        session.request(now)
        if now < 60.0:
            assert not session.ready
    assert seqs(session) == [Gap(1, 5, GapReason.UNANSWERED), 5]


def test_an_answer_that_is_late_is_as_good() -> None:
    session = SubscriberSession(["event/", "status/"], since=1)
    asked = []
    for second in range(50):  # each answer takes 20 seconds
        beat(session, float(second), last_seq=5, uptime_s=1000.0 + second)
        if (frames := session.request(float(second))) is not None:
            asked.append((second + 20, frames[0], json.loads(frames[2])["seq"]))
        if asked and asked[0][0] == second:
            _, mark, since = asked.pop(0)
            messages = [{"seq": seq} for seq in range(since + 1, min(since + 3, 6))]
            through = messages[-1]["seq"] if messages else 5
            reply = answer(mark, through=through, last_seq=5, messages=messages)
            session.answered(reply, float(second))
    assert seqs(session) == [2, 3]
    for second in range(50, 100):
        beat(session, float(second), last_seq=5, uptime_s=1000.0 + second)
        if (frames := session.request(float(second))) is not None:
            asked.append((second + 20, frames[0], json.loads(frames[2])["seq"]))
        if asked and asked[0][0] <= second:
            _, mark, since = asked.pop(0)
            messages = [{"seq": seq} for seq in range(since + 1, 6)]
            reply = answer(mark, through=5, last_seq=5, messages=messages)
            session.answered(reply, float(second))
    assert seqs(session) == [4, 5]


def test_a_daemon_without_a_socket_for_requests_is_not_waited_for() -> None:
    session = jumped()
    content = body(last_seq=5, uptime_s=1000.0, requests_answered=False)
    session.published([b"heartbeat/", content], 1.0)
    session.request(1.0)
    assert seqs(session) == [Gap(1, 5, GapReason.UNANSWERED), 5]


@pytest.mark.parametrize(
    ("topics", "since", "why"),
    [
        ([], None, "topics"),
        (["event/"] * 101, None, "topics"),
        (["event/", "x" * 301], None, "topics"),
        ("event/", None, "write a list"),
        ([5], None, "topics"),
        (["\udc80"], None, "cannot subscribe"),
        (["event/"], -1, "seq"),
        (["event/"], 2**63, "seq"),
    ],
)
def test_what_no_request_can_be_made_of_is_refused(topics: Any, since: Any, why: str) -> None:
    with pytest.raises(PublishError, match=why):
        Subscriber("tcp://127.0.0.1:1", topics=topics, since=since)
    with pytest.raises(PublishError, match=why):
        AsyncSubscriber("tcp://127.0.0.1:1", topics=topics, since=since)


def test_one_that_is_gone_is_waited_for() -> None:
    session = jumped()
    for second in range(1, 100):
        session.request(float(second))
    assert not session.ready
    frames = [b""]
    for tenth in range(30):  # back again, and its socket for requests not yet connected to
        beat(session, 100.0 + tenth / 10, last_seq=7, uptime_s=tenth / 10)
        frames = session.request(100.0 + tenth / 10) or frames
    assert not session.ready
    messages = [{"seq": seq} for seq in (2, 3, 4, 5, 6, 7)]
    session.answered(answer(frames[0], through=7, last_seq=7, messages=messages), 103.0)
    assert seqs(session) == [2, 3, 4, 5, 6, 7]


def test_an_answer_that_is_an_error_is_none() -> None:
    session = jumped()
    error = body(schema="streamsed.error/1", error="the journal cannot be read now")
    for second in range(1, 90):
        beat(session, float(second), last_seq=5, uptime_s=1000.0)
        if (frames := session.request(float(second))) is not None:
            session.answered([frames[0], b"", error], float(second))
        if second < 60:
            assert not session.ready
    assert seqs(session) == [Gap(1, 5, GapReason.UNANSWERED), 5]


def test_nothing_is_asked_while_the_user_has_something_to_read() -> None:
    session = SubscriberSession(["event/", "status/"], since=0)
    deliver(session, 0.0, 1)
    deliver(session, 0.0, 3)
    assert session.request(0.0) is None
    assert seqs(session) == [1]
    assert session.request(0.0) is not None


def test_who_wants_only_heartbeats_asks_nothing() -> None:
    session = SubscriberSession(["heartbeat/"], since=None)
    for second in range(9):
        beat(session, second, last_seq=second, uptime_s=second)
        assert len(session.ready) == second + 1
    session.ready.clear()
    assert session.request(9.0) is None


def test_what_has_no_number_is_passed_on() -> None:
    session = SubscriberSession([""], since=None)
    session.published([b"status/kitchen/level/", body(source="kitchen")], 0.0)
    session.published([b"event/x/", b"no JSON"], 0.0)
    assert [item[0] for item in session.ready if not isinstance(item, Gap)] == [
        "status/kitchen/level/",
        "event/x/",
    ]


def test_a_late_answer_to_a_request_for_all_there_is_hides_no_gap() -> None:
    """It leaves out what came before the beginning of a daemon that has begun anew."""
    session = SubscriberSession(["event/", "status/"], since=0)
    first = session.request(0.0)
    assert first is not None
    session.published([b"event/", body(seq=1)], 0.1)
    assert seqs(session) == [1]
    session.answered(answer(first[0], through=99, last_seq=100, messages=[]), 0.2)
    again = session.request(0.2)
    assert again is not None
    assert json.loads(again[2])["seq"] == 1
    missing = [{"first": 2, "last": 99}]
    reply = answer(again[0], through=100, last_seq=100, messages=[{"seq": 100}], missing=missing)
    session.answered(reply, 0.3)
    assert seqs(session) == [Gap(1, 100, GapReason.REMOVED), 100]


def test_a_connection_that_is_silent_is_made_anew() -> None:
    """Three heartbeats long, and only while there is nothing to be read."""
    session = SubscriberSession(["event/"], since=None)
    assert not session.is_silent(100.0)
    assert session.wait_s(107.0) == 8.0
    assert session.is_silent(115.0)
    assert not session.is_silent(116.0), "just made anew"
    session.published([b"heartbeat/", body(last_seq=0, uptime_s=1.0, interval_s=10.0)], 117.0)
    assert not session.is_silent(200.0), "nobody has read for long"
    assert not session.is_silent(229.0)
    assert session.is_silent(230.0)


def test_no_heartbeat_makes_it_wait_for_ever() -> None:
    session = SubscriberSession(["event/"], since=None)
    for interval_s in (1e308, math.inf, math.nan, -1.0):
        session.published([b"heartbeat/", body(uptime_s=1.0, interval_s=interval_s)], 0.0)
        assert 15.0 <= session.wait_s(0.0) <= 86_400.0
