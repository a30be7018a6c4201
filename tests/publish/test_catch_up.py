"""Catching up: every message that is kept, once, in order, and what is kept no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.detect.events import Kind
from streamsed.errors import JournalError
from streamsed.publish import archive as archive_module
from streamsed.publish import catch_up as catch_up_module
from streamsed.publish import sequencer as sequencer_module
from streamsed.publish.archive import JOURNAL_NAME
from streamsed.publish.catch_up import CatchUp
from streamsed.publish.journal import Journal, Retention
from streamsed.publish.recent_messages import RECENT_MESSAGES, RecentMessages
from streamsed.publish.requests import SinceReply, SinceRequest
from streamsed.publish.sequencer import Sequencer
from tests.publish.journals import event, journal, opened, prepare, status


def since(catch_up: CatchUp, seq: int, *topics: str, **settings: Any) -> SinceReply:
    request = SinceRequest(get="since", seq=seq, topics=topics or ("",), **settings)
    return SinceReply.model_validate_json(catch_up.answer(request))


def pages(catch_up: CatchUp, seq: int, *topics: str, limit: int = 7) -> Iterator[SinceReply]:
    while True:
        reply = since(catch_up, seq, *topics, limit=limit)
        assert len(reply.messages) <= limit
        assert reply.through > seq or not reply.more, "no progress"
        yield reply
        seq = reply.through
        if not reply.more:
            return


def numbers(replies: Iterator[SinceReply]) -> list[int]:
    return [message.seq for reply in replies for message in reply.messages]


def fill(sequencer: Sequencer, count: int) -> None:
    for first in range(0, count, 2):
        sequencer.record([event(Kind.ONSET, source="hall"), status(str(first))])


@pytest.fixture
def sequencer(tmp_path: Path) -> Iterator[Sequencer]:
    made = opened(tmp_path)
    yield made
    made.close()


def test_from_memory_and_from_the_file_come_the_same(tmp_path: Path) -> None:
    sequencer = opened(tmp_path)
    fill(sequencer, 60)
    memory = list(pages(CatchUp(sequencer), 0))
    sequencer.close()
    again = opened(tmp_path)
    file = list(pages(CatchUp(again), 0))
    assert file == memory
    assert numbers(iter(file)) == list(range(1, 61))
    assert len(file) > 5
    again.close()


def test_messages_are_as_they_were_published(sequencer: Sequencer) -> None:
    entries = sequencer.record([event(Kind.ONSET), status("ü")])
    content = json.loads(CatchUp(sequencer).answer(SinceRequest(get="since", seq=0)))
    assert content["messages"] == [json.loads(entry.body) for entry in entries]


@pytest.mark.parametrize("restart", [False, True])
def test_topics(tmp_path: Path, restart: bool) -> None:
    sequencer = opened(tmp_path)
    fill(sequencer, 40)
    if restart:
        sequencer.close()
        sequencer = opened(tmp_path)
    catch_up = CatchUp(sequencer)
    assert numbers(pages(catch_up, 3, "event/hall/")) == list(range(5, 41, 2))
    assert numbers(pages(catch_up, 3, "event/hall/", "status/")) == list(range(4, 41))
    assert since(catch_up, 3, "event/hal/").messages == ()
    assert since(catch_up, 3, "event/hal/").through == 40
    sequencer.close()


def test_nothing_new(sequencer: Sequencer) -> None:
    fill(sequencer, 10)
    reply = since(CatchUp(sequencer), 10)
    assert (reply.messages, reply.through, reply.more, reply.missing) == ((), 10, False, ())


def test_who_knows_of_more_than_there_is_learns_that(sequencer: Sequencer) -> None:
    fill(sequencer, 10)
    assert since(CatchUp(sequencer), 5000).through == 10


def test_what_was_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sequencer = opened(tmp_path)
    with monkeypatch.context() as long_ago:
        long_ago.setattr(sequencer_module, "microseconds", lambda _: 0)
        fill(sequencer, 30)
    fill(sequencer, 70)
    sequencer.close()
    kept = Journal(tmp_path / JOURNAL_NAME)
    kept.tidy(Retention(keep_us=1, max_bytes=2**40), age_us=lambda us: 1000 - us, rows=1000)
    kept.close()
    again = opened(tmp_path)
    replies = list(pages(CatchUp(again), 20))
    assert [(m.first, m.last) for m in replies[0].missing] == [(21, 30)]
    left = [21, 23, 25, 27, 29, *range(31, again.last_seq + 1)]
    assert numbers(iter(replies)) == left, "with the onsets of what is open"
    assert since(CatchUp(again), 30).missing == ()
    again.close()


def test_while_the_journal_is_out_of_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "_FIRST_RETRY_S", 3600.0)
    sequencer = opened(tmp_path)
    fill(sequencer, 10)
    journal(sequencer)._connection.execute("PRAGMA max_page_count = 1").fetchall()
    sequencer.record([status("x" * 20_000)])
    fill(sequencer, RECENT_MESSAGES + 50)
    catch_up = CatchUp(sequencer)
    replies = list(pages(catch_up, 4, limit=1000))
    lost = range(11, sequencer.last_seq - RECENT_MESSAGES + 1)
    assert numbers(iter(replies)) == [*range(5, 11), *range(lost[-1] + 1, sequencer.last_seq + 1)]
    missing = [(m.first, m.last) for reply in replies for m in reply.missing]
    assert missing == [(lost[0], lost[-1])]
    sequencer.close()


def test_what_cannot_be_read_for_a_moment_is_not_said_to_be_missing(tmp_path: Path) -> None:
    sequencer = opened(tmp_path)
    fill(sequencer, 20)
    sequencer.close()
    again = opened(tmp_path)
    catch_up = CatchUp(again)
    path = tmp_path / JOURNAL_NAME
    path.rename(tmp_path / "away")
    with pytest.raises(JournalError, match="cannot be read now: "):
        since(catch_up, 3)
    assert since(catch_up, 20).through == 20, "that is in memory"
    (tmp_path / "away").rename(path)
    assert len(since(catch_up, 3).messages) >= 17
    again.close()


def test_without_a_journal_memory_is_all_there_is() -> None:
    sequencer = Sequencer()
    sequencer.open()
    began = sequencer.last_seq
    fill(sequencer, RECENT_MESSAGES + 100)
    catch_up = CatchUp(sequencer)
    reply = since(catch_up, began + 50)
    assert [(m.first, m.last) for m in reply.missing] == [(began + 51, began + 100)]
    assert numbers(pages(catch_up, began + 100, limit=1000)) == list(
        range(began + 101, sequencer.last_seq + 1)
    )
    assert since(catch_up, 7).missing[0].first == 8


@pytest.mark.parametrize("size", [10, 10_000])
def test_an_answer_is_bounded_in_bytes(
    sequencer: Sequencer, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(catch_up_module, "_BYTES", size)
    for _ in range(50):
        sequencer.record([status("x" * 1000)])
    replies = list(pages(CatchUp(sequencer), 0, limit=1000))
    assert len(replies) > 5
    assert numbers(iter(replies)) == list(range(1, 51))


@settings(max_examples=30)
@given(
    counts=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    recent=st.integers(1, 20),
    rows=st.integers(1, 12),
    limit=st.integers(1, 9),
    data=st.data(),
)
def test_any_page_size_from_any_number(
    tmp_path_factory: pytest.TempPathFactory,
    counts: list[int],
    recent: int,
    rows: int,
    limit: int,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catch_up_module, "_ROWS", rows)
        prepare(folder)
        sequencer = Sequencer(folder)
        sequencer.recent = RecentMessages(recent)
        sequencer.open()
        for count in counts:
            sequencer.record([status(topic) for topic in "x" * count])
        start = data.draw(st.integers(0, sum(counts)))
        found = numbers(pages(CatchUp(sequencer), start, limit=limit))
        assert found == list(range(start + 1, sum(counts) + 1))
        sequencer.close()
