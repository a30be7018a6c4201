"""Cursor sinks: everything once more after a failure, positions over restarts, gaps, the end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamsed.errors import SinkError
from streamsed.publish.daemon_status import SinkState
from streamsed.sinks.context import SinkContext
from streamsed.sinks.cursor import RecordedMessage
from streamsed.sinks.cursor_sink import CursorSink, SinkDelays
from tests.sinks.recording import Recording, wait_for
from tests.sockets import PATIENCE_S


class Outage:
    """What a sink delivers to, which can be away."""

    def __init__(self) -> None:
        self.away = threading.Event()
        self.seqs: list[int] = []

    def take(self, message: RecordedMessage) -> None:
        if self.away.is_set():
            raise SinkError("away: password=hunter2")
        self.seqs.append(message.seq)


class OneByOne(CursorSink):
    """Delivers each message for itself."""

    def __init__(self, context: SinkContext, outage: Outage, name: str = "one") -> None:
        super().__init__(name, context, kind="test", delays=SinkDelays(first_s=0.01, most_s=0.05))
        self.outage = outage

    def deliver(self, messages: Sequence[RecordedMessage]) -> None:
        for message in messages:
            self.outage.take(message)
            self.advance(message.seq)

    def probe(self) -> str:
        return "nowhere"


def test_what_an_outage_kept_back_is_delivered_once_in_order_after_it(tmp_path: Path) -> None:
    recording, outage, other = Recording(tmp_path), Outage(), Outage()
    first = recording.sequencer.last_seq
    sink = recording.add(OneByOne(recording.context, outage))
    recording.add(OneByOne(recording.context, other, "other"))
    recording.record(10)
    wait_for(lambda: len(outage.seqs) == 10)
    outage.away.set()
    recording.record(3000)  # more than are kept in memory
    wait_for(lambda: len(other.seqs) == 3010)  # that one fails is nothing to the other
    wait_for(lambda: sink.condition.state is SinkState.FAILING)
    assert sink.condition.waiting == 3000
    assert sink.condition.last_error is not None
    assert "hunter2" not in sink.condition.last_error
    outage.away.clear()
    wait_for(lambda: len(outage.seqs) == 3010)
    assert outage.seqs == list(range(first + 1, first + 3011))
    wait_for(lambda: sink.condition.state is SinkState.ON)
    assert sink.condition.delivered == 3010
    recording.close()


def test_a_restart_goes_on_from_the_position_and_a_first_start_begins_now(tmp_path: Path) -> None:
    recording, outage = Recording(tmp_path), Outage()
    recording.record(5)
    recording.add(OneByOne(recording.context, outage))
    recording.record(5)
    outage.away.set()
    recording.record(7)
    recording.close()
    delivered = len(outage.seqs)
    outage.away.clear()

    recording = Recording(tmp_path)
    last = recording.sequencer.last_seq
    recording.add(OneByOne(recording.context, outage))
    wait_for(lambda: len(outage.seqs) == 12)
    assert delivered <= 12
    assert outage.seqs == list(range(last - 11, last + 1))
    recording.close()


def test_what_no_journal_keeps_is_announced_as_a_gap() -> None:
    recording, outage = Recording(None), Outage()
    outage.away.set()
    sink = recording.add(OneByOne(recording.context, outage))
    recording.record(2500)
    outage.away.clear()
    wait_for(lambda: sink.condition.waiting == 0)
    assert sink.condition.missed >= 500
    assert sink.condition.missed + len(outage.seqs) >= 2500
    recording.close()


@pytest.mark.parametrize("content", ["", "{}", '{"seq": "x"}', '{"seq": 99999999999999999999}'])
def test_a_damaged_position_begins_now(tmp_path: Path, content: str) -> None:
    (tmp_path / "sinks").mkdir()
    (tmp_path / "sinks" / "one.json").write_text(content)
    recording, outage = Recording(tmp_path), Outage()
    recording.record(3)
    recording.add(OneByOne(recording.context, outage))
    recording.record(2)
    wait_for(lambda: len(outage.seqs) == 2)
    recording.close()


def test_the_end_waits_no_longer_than_asked(tmp_path: Path) -> None:
    class Hanging(OneByOne):
        def deliver(self, messages: Sequence[RecordedMessage]) -> None:
            del messages
            hanging.set()
            release.wait(PATIENCE_S)

    hanging, release = threading.Event(), threading.Event()
    recording = Recording(tmp_path)
    sink = recording.add(Hanging(recording.context, Outage()))
    recording.record(1)
    assert hanging.wait(PATIENCE_S)
    sink.close(0.1)
    assert sink.condition.waiting == 1
    release.set()
    recording.close()
