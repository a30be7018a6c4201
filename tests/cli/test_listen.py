"""``streamsed listen``, against a publisher of the test."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from streamsed.cli.connection import Connection
from streamsed.detect.events import Kind, Reason, Score, Transition
from streamsed.detect.level import LevelReport
from streamsed.publish import message_builders
from streamsed.publish.authentication import Authentication
from streamsed.publish.keys import KeyPair
from streamsed.publish.messages import (
    BundleName,
    DaemonMessage,
    DaemonState,
    Heartbeat,
    NumberedMessage,
    SourceCondition,
    SourceState,
)
from streamsed.publish.publisher import Publisher
from streamsed.publish.stream_clock import StreamClock
from tests.cli.command import COMMAND, process
from tests.publish.journals import prepare
from tests.sockets import PATIENCE_S, RANDOM_PORT
from tests.subscribe.test_subscribers import Server, publish_all


@pytest.fixture(autouse=True)
def _numbers_from_one(state_of_its_own: Path) -> None:
    prepare(state_of_its_own)


BUNDLE = BundleName(name="tones", version="1")
CLOCK = StreamClock(started_at=datetime(2026, 1, 2, tzinfo=UTC), sample_rate=16000, real_time=True)


def heartbeat(last_seq: int, now: datetime) -> Heartbeat:
    condition = SourceCondition(source="kitchen", state=SourceState.RUNNING)
    return Heartbeat(
        last_seq=last_seq,
        interval_s=0.1,
        uptime_s=100.0,
        version="0",
        provider="CPUExecutionProvider",
        bundle=BUNDLE,
        sources=(condition,),
        requests_answered=False,
        published=now,
    )


def stopped(seq: int, now: datetime) -> DaemonMessage:
    return DaemonMessage(
        seq=seq,
        state=DaemonState.STOPPED,
        message="received SIGTERM",
        version="0",
        provider="CPUExecutionProvider",
        bundle=BUNDLE,
        published=now,
    )


def event(kind: Kind, source: str = "kitchen") -> message_builders.MessageBuilder:
    offset = kind is Kind.OFFSET
    transition = Transition(
        source=source,
        kind=kind,
        number=0,
        label="Dog",
        onset_sample=16000,
        offset_sample=32000 if offset else None,
        score=Score(current=0.5, peak=0.9, mean=0.7),
        reason=Reason.SILENCE if offset else None,
        decided_sample=40000,
    )
    return message_builders.event(transition, clock=CLOCK, bundle=BUNDLE)


class Speaker:
    """A publisher that knows when all of a listener's subscriptions have come."""

    def __init__(self, address: str = RANDOM_PORT) -> None:
        self._subscriptions = threading.Semaphore(0)
        self.publisher = Publisher(
            [address],
            heartbeat=heartbeat,
            heartbeat_s=0.1,
            on_subscriber=self._subscriptions.release,
        )
        self.address = self.publisher.endpoints[0]
        self.publisher.start()

    def await_subscriptions(self, count: int) -> None:
        for _ in range(count):
            assert self._subscriptions.acquire(timeout=PATIENCE_S)

    def publish(self, *builders: message_builders.MessageBuilder) -> None:
        for builder in builders:
            self.publisher.publish(builder)


@contextmanager
def speaking(address: str = RANDOM_PORT) -> Iterator[Speaker]:
    made = Speaker(address)
    try:
        yield made
    finally:
        made.publisher.close()


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    with speaking() as made:
        yield made


def test_lines_for_people(speaker: Speaker) -> None:
    lost = SourceCondition(source="kitchen", state=SourceState.LOST, message="unplugged")
    with process("listen", "--connect", speaker.address, "--until-stop") as listener:
        speaker.await_subscriptions(4)
        speaker.publish(
            event(Kind.ONSET), event(Kind.OFFSET), message_builders.status(lost), stopped
        )
        assert listener.wait() == 0
        onset, offset, status, daemon = listener.out.rest()
        assert listener.log.rest() == []
    clock = r"\d\d:\d\d:\d\d\.\d{3}"
    assert re.fullmatch(rf"{clock}  kitchen +Dog +onset +1\.000 s  score 0\.90", onset)
    assert re.fullmatch(
        rf"{clock}  kitchen +Dog +offset +2\.000 s  score 0\.90  after 1\.000 s, silence", offset
    )
    assert re.fullmatch(rf"{clock}  kitchen +lost: unplugged", status)
    assert daemon.endswith("received SIGTERM")


def level(peak: float, clipped: int) -> message_builders.LevelBuilder:
    report = LevelReport(
        source="kitchen",
        end_sample=16000,
        samples=16000,
        energy=16000 * (peak / 10) ** 2,
        peak=peak,
        clipped_samples=clipped,
        scores=np.array([0.25, 0.75], np.float32),
    )
    return message_builders.level_message(
        "kitchen", message_builders.level(report, clock=CLOCK, classes=["Dog", "Cat"])
    )


def test_levels_as_lines_for_people(speaker: Speaker) -> None:
    with process(
        *("listen", "--connect", speaker.address, "--until-stop", "--topic", "status/kitchen/")
    ) as listener:
        speaker.await_subscriptions(3)
        for remark in (level(1.0, 3), level(0.1, 0), level(0.0, 0)):
            speaker.publisher.publish_level(remark)
        loud, quiet, silent = (listener.out.next() or "" for _ in range(3))
        speaker.publish(stopped)
        assert listener.wait() == 0
    clock = r"\d\d:\d\d:\d\d\.\d{3}"
    scores = r"Cat 0\.75, Dog 0\.25"
    assert re.fullmatch(
        rf"{clock}  kitchen +-20\.0 dBFS  \[#{{13}}-{{7}}\]  peak   0\.0  {scores}  "
        "3 samples clipped",
        loud,
    )
    assert re.fullmatch(
        rf"{clock}  kitchen +-40\.0 dBFS  \[#{{7}}-{{6}} {{7}}\]  peak -20\.0  {scores}", quiet
    )
    assert re.fullmatch(
        rf"{clock}  kitchen +-inf dBFS  \[ {{20}}\]  peak  -inf  {scores}  digital silence", silent
    )


def test_json_as_it_came_and_topics(speaker: Speaker) -> None:
    with process(
        *("listen", "--connect", speaker.address, "--json", "--until-stop"),
        *("--topic", "event/kitchen/", "--topic", "heartbeat/"),
    ) as listener:
        speaker.await_subscriptions(3)
        speaker.publish(event(Kind.ONSET, "hall"), event(Kind.ONSET), stopped)
        assert listener.wait() == 0
        found = [json.loads(line) for line in listener.out.rest()]
    assert {m["schema"] for m in found} <= {"streamsed.event/1", "streamsed.heartbeat/1"}
    assert [m["source"] for m in found if m["schema"] == "streamsed.event/1"] == ["kitchen"]


def foreign(topic: str, payload: bytes) -> message_builders.MessageBuilder:
    """Return what no streamsed of this version says."""

    class Foreign:
        def frames(self) -> tuple[bytes, bytes]:
            return topic.encode(), payload

    return lambda seq, now: cast(NumberedMessage, Foreign())  # noqa: ARG005


FOREIGN = (
    foreign("event/kitchen/", b'{"schema": "streamsed.event/9"}'),
    foreign("status/daemon/", b"hello"),
    foreign("event/kitchen/", b""),
)


def test_what_it_cannot_read_is_said_once_and_skipped(speaker: Speaker) -> None:
    with process("listen", "--connect", speaker.address, "--until-stop") as listener:
        speaker.await_subscriptions(4)
        speaker.publish(*FOREIGN, event(Kind.ONSET), stopped)
        assert listener.wait() == 0
        assert ["Dog" in line for line in listener.out.rest()] == [True, False]
        (warning,) = listener.log.rest()
    assert "streamsed.event/9" in warning
    assert "no streamsed message" in warning


def test_json_is_passed_on_unread(speaker: Speaker) -> None:
    arguments = ("--json", "--until-stop", "--topic", "event/")
    with process("listen", "--connect", speaker.address, *arguments) as listener:
        speaker.await_subscriptions(3)
        speaker.publish(FOREIGN[0], event(Kind.ONSET), stopped)
        assert listener.wait() == 0
        assert listener.log.rest() == []
        schemas = [json.loads(line)["schema"] for line in listener.out.rest()]
    assert schemas == ["streamsed.event/9", "streamsed.event/1"]


def test_interrupting_is_no_error(speaker: Speaker) -> None:
    with process("listen", "--connect", speaker.address) as listener:
        speaker.await_subscriptions(4)
        speaker.publish(event(Kind.ONSET))
        assert listener.out.next() is not None
        listener.signal(signal.SIGINT)
        assert listener.wait() == 0
        assert listener.log.rest() == []


def test_a_reader_that_goes_away_is_no_error(speaker: Speaker) -> None:
    arguments = ("listen", "--connect", speaker.address, "--topic", "heartbeat/")
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as listener:
        assert listener.stdout is not None
        assert listener.stderr is not None
        assert listener.stdout.readline()
        listener.stdout.close()
        assert listener.wait(PATIENCE_S) == 0
        assert listener.stderr.read() == b""


def test_it_survives_a_restart_of_the_daemon(speaker: Speaker) -> None:
    with process("listen", "--connect", speaker.address, "--until-stop") as listener:
        speaker.await_subscriptions(4)
        speaker.publish(event(Kind.ONSET))
        assert "onset" in (listener.out.next() or "")
        speaker.publisher.close()
        with speaking(speaker.address) as second:
            second.await_subscriptions(4)
            second.publish(event(Kind.OFFSET), stopped)
            assert listener.wait() == 0
        assert "offset" in listener.out.rest()[0]


def test_a_daemon_that_goes_without_a_word(speaker: Speaker) -> None:
    with process("listen", "--connect", speaker.address, "--until-stop") as listener:
        speaker.await_subscriptions(4)
        speaker.publish(event(Kind.ONSET))
        assert listener.out.next() is not None
        speaker.publisher.close()
        assert listener.wait() == 1
        *_, gone, _, ended = listener.log.rest()
        assert gone == no_messages(speaker.address, Connection.UNREACHABLE)
        assert speaker.address in ended


def no_messages(address: str, why: Connection) -> str:
    return f"streamsed: no messages from {address}: {why.value}"


def test_a_daemon_that_comes_late(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/late"
    with process("listen", "--connect", address, "--until-stop") as listener:
        assert listener.log.next() == no_messages(address, Connection.UNREACHABLE)
        assert listener.log.next() == "streamsed: trying on"
        with speaking(address) as late:
            late.await_subscriptions(4)
            late.publish(event(Kind.ONSET), stopped)
            assert listener.wait() == 0
        assert listener.log.rest() == [f"streamsed: messages come from {address}"]
        assert "onset" in listener.out.rest()[0]


@pytest.mark.parametrize("given", [None, "unknown", "of another server"])
def test_a_daemon_that_refuses(tmp_path: Path, given: str | None) -> None:
    """Without keys, with one that it does not know, and with the wrong one of the daemon."""
    (tmp_path / "clients").mkdir()
    server, own, other = (new_pair(tmp_path, name) for name in ("server", "own", "other"))
    shutil.copy(own.with_suffix(".key"), tmp_path / "clients")
    options: tuple[Path | str, ...] = ()
    if given == "unknown":
        options = ("--server-key", server.with_suffix(".key"), "--key", other)
    elif given == "of another server":
        options = ("--server-key", other.with_suffix(".key"), "--key", own)
    publisher = Publisher(
        [RANDOM_PORT],
        heartbeat=heartbeat,
        heartbeat_s=0.1,
        authentication=Authentication.read(secret_key=server, clients=tmp_path / "clients"),
    )
    publisher.start()
    address = publisher.endpoints[0]
    why = Connection.REFUSED_WITH_KEYS if given else Connection.REFUSED_WITHOUT_KEYS
    try:
        with process("listen", "--connect", address, *options) as listener:
            assert listener.log.next() == no_messages(address, why)
            listener.signal(signal.SIGINT)
            assert listener.wait() == 0
    finally:
        publisher.close()


def new_pair(folder: Path, name: str) -> Path:
    """Return the file of a new secret key; the public one is beside it."""
    KeyPair.generate().write(folder, name)
    return folder / f"{name}.key_secret"


def test_going_on_from_a_number(tmp_path: Path) -> None:
    """What came before it listened, and what a daemon before this one published, too."""
    server = Server(tmp_path / "journal")
    server.address = f"ipc://{tmp_path}/socket"
    server.requests = f"ipc://{tmp_path}/socket-requests"
    listen = ("listen", "--connect", server.address, "--json", "--until-stop", "--since", "2")
    with server.running() as publisher:
        publish_all(publisher, 4)
        publisher.publish(stopped)
    with server.running() as publisher, process(*listen) as listener:
        assert [json.loads(listener.out.next() or "")["seq"] for _ in range(3)] == [3, 4, 5]
        publish_all(publisher, 2)
        publisher.publish(stopped)
        assert listener.wait() == 0, "not at the end of the daemon before"
        assert [json.loads(line)["seq"] for line in listener.out.rest()] == [6, 7, 8]
        assert listener.log.rest() == []


def test_what_the_journal_no_longer_has_is_said(tmp_path: Path) -> None:
    server = Server(tmp_path / "journal")
    server.address = f"ipc://{tmp_path}/socket"
    server.requests = f"ipc://{tmp_path}/socket-requests"
    shutil.rmtree(tmp_path / "journal")
    with server.running() as publisher:
        publish_all(publisher, 1)
        first = publisher.last_seq
        with process("listen", "--connect", server.address, "--since", "2") as listener:
            expected = f"messages 3 to {first - 1}: the daemon's journal no longer has them"
            assert listener.log.next() == f"streamsed: {expected}"
            assert "running: here" in (listener.out.next() or "")
