"""The journal in any order of writing, failing, crashing and starting again."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamsed.detect.events import Kind
from streamsed.publish import archive, message_builders
from streamsed.publish.archive import JOURNAL_NAME
from streamsed.publish.journal import Journal
from streamsed.publish.messages import EventMessage, JournalState
from tests.publish.journals import crash, event, flip, kept, opened, status


class JournalStates(RuleBasedStateMachine):
    """Everything that was sent is in the file, or the file says that it may not be."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(archive, "_FIRST_RETRY_S", 0.0)
        self.patch.setattr(archive, "_LAST_RETRY_S", -1.0)
        self.patch.setattr(archive, "_REST_S", -1.0)
        self.folder = Path(tempfile.mkdtemp())
        self.copy = self.folder.with_name(f"{self.folder.name}.copy")
        self.journal_is_whole = True
        self.sent: dict[int, str] = {}
        self.open: set[UUID] = set()

    @initialize()
    def start(self) -> None:
        self.sequencer = opened(self.folder)
        self.send([])

    def send(self, builders: list[message_builders.MessageBuilder]) -> None:
        highest = max(self.sent, default=0)
        for entry in self.sequencer.record([*self.sequencer.take_interrupted(), *builders]):
            assert entry.seq > highest, "a number is used twice, or falls"
            highest = entry.seq
            self.sent[entry.seq] = entry.body.decode()
            if isinstance(message := entry.message, EventMessage):
                if message.kind is Kind.OFFSET:
                    assert message.event_id in self.open, "a second offset"
                    self.open.remove(message.event_id)
                else:
                    self.open.add(message.event_id)

    @rule(count=st.integers(1, 4), data=st.data())
    def write(self, count: int, data: st.DataObject) -> None:
        builders = []
        ending = set(self.open)
        for _ in range(count):
            what = data.draw(st.sampled_from(["onset", "offset", "status"]))
            if what == "onset":
                builders.append(event(Kind.ONSET, uuid4()))
            elif what == "offset" and ending:
                builders.append(event(Kind.OFFSET, ending.pop()))
            else:
                builders.append(status())
        self.send(builders)

    @rule()
    def fail_to_write(self) -> None:
        def failing(journal: Journal, *arguments: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Journal, "append", failing)
            self.send([status()])

    @rule()
    def beat(self) -> None:
        self.sequencer.beat()
        self.send([])

    @rule()
    def stop_and_start(self) -> None:
        self.sequencer.close()
        self.start()
        assert not self.open, "an onset without offset"

    @rule()
    def crash_and_start(self) -> None:
        crash(self.sequencer)
        self.start()
        assert not self.open, "an onset without offset"

    @precondition(lambda self: self.sent)
    @rule()
    def damage_and_start(self) -> None:
        crash(self.sequencer)
        for path in self.folder.glob(f"{JOURNAL_NAME}*"):
            path.unlink()
        (self.folder / JOURNAL_NAME).write_bytes(b"damaged" * 1000)
        self.start()
        assert not self.open, "the ledger had them"

    @rule(place=st.integers(0, 10**6), bit=st.integers(0, 7), which=st.integers(0, 3))
    def flip_a_bit_and_start(self, place: int, bit: int, which: int) -> None:
        crash(self.sequencer)
        parts = sorted(p for p in self.folder.iterdir() if not p.name.endswith(".broken"))
        part = parts[which % len(parts)]
        flip(part, place, bit)
        self.start()
        if self.journal_is_whole:
            assert not self.open, "an onset without offset"
        self.open.clear()
        self.journal_is_whole &= part.name != JOURNAL_NAME

    @rule()
    def copy_the_journal(self) -> None:
        if self.sequencer.condition.state is JournalState.ON:
            shutil.rmtree(self.copy, ignore_errors=True)
            self.copy.mkdir()
            for path in self.folder.glob(f"{JOURNAL_NAME}*"):
                if path.is_file():
                    shutil.copy2(path, self.copy)

    @precondition(lambda self: self.copy.exists())
    @rule()
    def restore_the_journal_and_start(self) -> None:
        crash(self.sequencer)
        for path in self.folder.glob(f"{JOURNAL_NAME}*"):
            path.unlink()
        for path in self.copy.iterdir():
            shutil.copy2(path, self.folder)
        self.start()
        assert not self.open, "an onset without offset"

    @rule(beside=st.sampled_from(["-wal", "-shm", "", "ledger"]))
    def lose_a_file_and_start(self, beside: str) -> None:
        crash(self.sequencer)
        name = "journal.ledger.*" if beside == "ledger" else f"{JOURNAL_NAME}{beside}"
        for path in self.folder.glob(name):
            path.unlink()
        self.start()
        if beside != "ledger" or self.journal_is_whole:
            assert not self.open, "an onset without offset"
        self.open.clear()

    @invariant()
    def nothing_is_missing(self) -> None:
        if self.sequencer.condition.state is not JournalState.ON:
            return
        found, holes = kept(self.folder)
        for seq, body in self.sent.items():
            assert found.get(seq, body) == body
            assert seq in found or any(first <= seq <= last for first, last in holes), seq

    def teardown(self) -> None:
        self.sequencer.close()
        self.patch.undo()
        shutil.rmtree(self.folder)
        shutil.rmtree(self.copy, ignore_errors=True)


TestJournalStates = JournalStates.TestCase
TestJournalStates.settings = settings(
    max_examples=40,
    phases=[Phase.generate],
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
