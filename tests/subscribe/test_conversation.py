"""When a subscriber asks, and when it stops waiting for an answer."""

from __future__ import annotations

import json
from typing import Any

from streamsed.subscribe.conversation import Conversation
from streamsed.subscribe.delivery import Gap, GapReason


def body(**content: Any) -> bytes:
    return json.dumps(content).encode()


def beat(conversation: Conversation, now: float, *, last_seq: int, uptime_s: float) -> None:
    conversation.published([b"heartbeat/", body(last_seq=last_seq, uptime_s=uptime_s)], now)


def hear(conversation: Conversation, now: float, seq: int) -> None:
    conversation.published([b"event/kitchen/Dog/", body(seq=seq)], now)


def seqs(conversation: Conversation) -> list[int | Gap]:
    found = [
        said if isinstance(said, Gap) else json.loads(said[1])["seq"] for said in conversation.ready
    ]
    conversation.ready.clear()
    return found


def jumped() -> Conversation:
    """One that has heard 1 and 5, and has asked at time 0 what was between."""
    conversation = Conversation(["event/", "status/"], since=None)
    hear(conversation, 0.0, 1)
    hear(conversation, 0.0, 5)
    assert seqs(conversation) == [1]
    frames = conversation.request(0.0)
    assert frames is not None
    asked = json.loads(frames[2])
    assert (asked["get"], asked["seq"], asked["topics"]) == ("since", 1, ["event/", "status/"])
    return conversation


def answer(mark: bytes, **content: Any) -> list[bytes]:
    return [mark, b"", body(**({"missing": [], "messages": []} | content))]


def test_it_asks_once_and_again_if_there_is_no_answer() -> None:
    conversation = jumped()
    assert conversation.request(0.5) is None
    assert conversation.wait_s(0.5) == 0.5
    again = conversation.request(1.0)
    assert again is not None
    messages = [{"seq": seq} for seq in (2, 3, 4, 5)]
    conversation.answered(answer(b"other", through=5, last_seq=5, messages=messages), 1.1)
    assert seqs(conversation) == []
    conversation.answered(answer(again[0], through=5, last_seq=5, messages=messages), 1.2)
    assert seqs(conversation) == [2, 3, 4, 5]
    assert conversation.request(9.0) is None
    assert conversation.wait_s(9.0) is None


def test_a_daemon_that_is_heard_and_never_answers_is_given_up() -> None:
    conversation = jumped()
    for tenth in range(100):
        now = tenth / 10
        beat(conversation, now, last_seq=5, uptime_s=1000.0 + now)
        conversation.request(now)
        if now < 5.0:
            assert not conversation.ready
    assert seqs(conversation) == [Gap(1, 5, GapReason.UNANSWERED), 5]


def test_one_that_is_gone_is_waited_for() -> None:
    conversation = jumped()
    for second in range(1, 100):
        conversation.request(float(second))
    assert not conversation.ready
    frames = [b""]
    for tenth in range(30):  # back again, and its socket for requests not yet connected to
        beat(conversation, 100.0 + tenth / 10, last_seq=7, uptime_s=tenth / 10)
        frames = conversation.request(100.0 + tenth / 10) or frames
    assert not conversation.ready
    messages = [{"seq": seq} for seq in (2, 3, 4, 5, 6, 7)]
    conversation.answered(answer(frames[0], through=7, last_seq=7, messages=messages), 103.0)
    assert seqs(conversation) == [2, 3, 4, 5, 6, 7]


def test_an_answer_that_is_an_error_is_none() -> None:
    conversation = jumped()
    error = body(schema="streamsed.error/1", error="the journal cannot be read now")
    for second in range(1, 9):
        beat(conversation, float(second), last_seq=5, uptime_s=1000.0)
        if (frames := conversation.request(float(second))) is not None:
            conversation.answered([frames[0], b"", error], float(second))
        assert bool(conversation.ready) == (second >= 5)
    assert seqs(conversation) == [Gap(1, 5, GapReason.UNANSWERED), 5]


def test_nothing_is_asked_while_the_user_has_something_to_read() -> None:
    conversation = Conversation(["event/", "status/"], since=0)
    hear(conversation, 0.0, 1)
    hear(conversation, 0.0, 3)
    assert conversation.request(0.0) is None
    assert seqs(conversation) == [1]
    assert conversation.request(0.0) is not None


def test_who_wants_only_heartbeats_asks_nothing() -> None:
    conversation = Conversation(["heartbeat/"], since=None)
    for second in range(9):
        beat(conversation, second, last_seq=second, uptime_s=second)
        assert len(conversation.ready) == second + 1
    conversation.ready.clear()
    assert conversation.request(9.0) is None


def test_what_has_no_number_is_passed_on() -> None:
    conversation = Conversation([""], since=None)
    conversation.published([b"status/kitchen/level/", body(source="kitchen")], 0.0)
    conversation.published([b"event/x/", b"no JSON"], 0.0)
    assert [said[0] for said in conversation.ready if not isinstance(said, Gap)] == [
        "status/kitchen/level/",
        "event/x/",
    ]
