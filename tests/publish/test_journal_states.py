"""The journal in any order of writing, failing, crashing and starting again."""

from __future__ import annotations

import json
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
from streamsed.publish import journal_recorder
from streamsed.publish.journal import Journal
from streamsed.publish.journal_recorder import JOURNAL_NAME
from streamsed.publish.messages import EventMessage
from tests.publish.journals import crash, event, gaps, journaled, opened, status


class JournalStates(RuleBasedStateMachine):
    """Everything that was sent is in the file, or the file says that it may not be."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(journal_recorder, "_FIRST_RETRY_S", 0.0)
        self.patch.setattr(journal_recorder, "_LAST_RETRY_S", -1.0)
        self.folder = Path(tempfile.mkdtemp())
        self.sent: dict[int, str] = {}
        self.open: set[UUID] = set()

    @initialize()
    def start(self) -> None:
        self.recorder = opened(self.folder)
        self.send([])

    def send(self, drafts: list[journal_recorder.compose.Draft]) -> None:
        highest = max(self.sent, default=0)
        for entry in self.recorder.record([*self.recorder.take_interrupted(), *drafts]):
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
        drafts = []
        ending = set(self.open)
        for _ in range(count):
            what = data.draw(st.sampled_from(["onset", "offset", "status"]))
            if what == "onset":
                drafts.append(event(Kind.ONSET, uuid4()))
            elif what == "offset" and ending:
                drafts.append(event(Kind.OFFSET, ending.pop()))
            else:
                drafts.append(status())
        self.send(drafts)

    @rule()
    def fail_to_write(self) -> None:
        def failing(journal: Journal, *arguments: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Journal, "append", failing)
            self.send([status()])

    @rule()
    def beat(self) -> None:
        self.recorder.beat()
        self.send([])

    def keep_what_is_written(self) -> None:
        """Forget events that nobody can know of any more: the disk was full to the end."""
        held = [json.loads(body) for body in journaled(self.folder).values()]
        kinds = {(m["event_id"], m["kind"]) for m in held if "event_id" in m}
        self.open = {
            UUID(event_id)
            for event_id, kind in kinds
            if kind == "onset" and (event_id, "offset") not in kinds
        }

    @rule()
    def stop_and_start(self) -> None:
        self.recorder.close()
        self.keep_what_is_written()
        self.start()

    @rule()
    def crash_and_start(self) -> None:
        crash(self.recorder)
        self.keep_what_is_written()
        self.start()
        assert not self.open, "an onset without offset"

    @precondition(lambda self: self.sent)
    @rule()
    def damage_and_start(self) -> None:
        crash(self.recorder)
        for path in self.folder.glob(f"{JOURNAL_NAME}*"):
            path.unlink()
        (self.folder / JOURNAL_NAME).write_bytes(b"damaged" * 1000)
        self.open.clear()  # nobody can know of them any more
        self.start()

    @invariant()
    def nothing_is_missing(self) -> None:
        if self.recorder.condition.state is not journal_recorder.JournalState.ON:
            return
        found, holes = journaled(self.folder), gaps(self.folder)
        for seq, body in self.sent.items():
            assert found.get(seq, body) == body
            assert seq in found or any(first <= seq <= last for first, last in holes)

    def teardown(self) -> None:
        self.recorder.close()
        self.patch.undo()
        shutil.rmtree(self.folder)


TestJournalStates = JournalStates.TestCase
TestJournalStates.settings = settings(
    max_examples=40,
    phases=[Phase.generate],
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
