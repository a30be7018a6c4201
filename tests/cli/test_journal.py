"""``streamsed run`` and its journal: killed at any moment, on a disk that is full, on none."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamsed.client import EventMessage, Subscriber
from streamsed.detect.events import Kind, Reason
from streamsed.publish.messages import DaemonState, Heartbeat, JournalState
from tests.bundles import SAMPLE_RATE, tones
from tests.cli.command import Process, process
from tests.publish.journals import gaps, journaled, prepare
from tests.service.daemons import spans
from tests.sockets import PATIENCE_S, RANDOM_PORT, AnyMessage, receive_until


@pytest.fixture(autouse=True)
def _numbers_from_one(state_of_its_own: Path) -> None:
    prepare(state_of_its_own)


LIVE = "desk=pipe:s16le@16000,live"
RUN = ("run", "--bind", RANDOM_PORT, "--log-format", "json", "--source", LIVE)


def beeping(duration_s: int) -> bytes:
    """Ten short events a second."""
    beeps = [
        (label, t + offset, t + offset + 0.06)
        for t in (0.0, 0.2, 0.4, 0.6, 0.8)
        for label, offset in (("low", 0.02), ("high", 0.05))
    ]
    second = (tones(beeps, duration_s=1.0) * 32767).astype("<i2").tobytes()
    return duration_s * bytes(second)


def sounding(duration_s: int) -> bytes:
    """One event that goes on and on."""
    second = (tones([("low", 0.0, 1.0)], duration_s=1.0) * 32767).astype("<i2").tobytes()
    return duration_s * bytes(second)


def feed(daemon: Process, audio: bytes) -> threading.Thread:
    """Write audio until it ends or the daemon does, at ten times the speed of time."""
    pipe = daemon.stdin.fileno()

    def write() -> None:
        step = SAMPLE_RATE * 2 // 50
        with contextlib.suppress(BrokenPipeError):
            for first in range(0, len(audio), step):
                os.write(pipe, audio[first : first + step])
                time.sleep(0.002)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def numbered(messages: Sequence[AnyMessage]) -> dict[int, AnyMessage]:
    found = [message for message in messages if not isinstance(message, Heartbeat)]
    by_number = {message.seq: message for message in found}
    assert len(by_number) == len(found), "a number was used twice"
    return by_number


def test_killed_at_any_moment_nothing_is_lost(
    bundle: Path, tmp_path: Path, state_of_its_own: Path
) -> None:
    """One subscriber listens to all of it, and has everything once, in order."""
    address = f"ipc://{tmp_path}/socket"
    run = ("run", "--bind", address, "--log-format", "json", "--source", LIVE, "--bundle", bundle)
    chance = random.Random(1)  # noqa: S311
    beeps, sound = beeping(30), sounding(300)
    seen: list[AnyMessage] = []
    with Subscriber(address, topics=["event/", "status/", "heartbeat/"], since=0) as subscriber:
        for audio in (beeps, sound, beeps, sound):
            with process(*run) as daemon:
                feeder = feed(daemon, audio)
                seen += receive_until(
                    subscriber, lambda m: getattr(m, "state", None) is DaemonState.STARTED
                )
                seen += receive_until(subscriber, lambda m: getattr(m, "kind", None) is Kind.ONSET)
                time.sleep(chance.uniform(0.0, 0.3))
                daemon.signal(signal.SIGKILL)
                assert daemon.wait() == -signal.SIGKILL
                feeder.join(PATIENCE_S)
        with process(*run) as daemon:
            daemon.log.event("started")
            last = max(journaled(state_of_its_own))
            seen += receive_until(
                subscriber, lambda m: isinstance(m, Heartbeat) and m.last_seq >= last
            )
            daemon.signal(signal.SIGTERM)
            seen += receive_until(
                subscriber, lambda m: getattr(m, "state", None) is DaemonState.STOPPED
            )
            assert daemon.wait() == 0
    held = {seq: json.loads(body) for seq, body in journaled(state_of_its_own).items()}
    assert list(held) == list(range(1, len(held) + 1)), "numbers rise by one over all of it"
    had = [message for message in seen if not isinstance(message, Heartbeat)]
    assert [json.loads(message.frames()[1]) for message in had] == list(held.values())
    events = [
        EventMessage.model_validate(m) for m in held.values() if m["schema"] == "streamsed.event/1"
    ]
    spans(events)  # one offset for each onset
    assert any(event.reason is Reason.INTERRUPTED for event in events)


def test_a_full_disk_costs_no_event(bundle: Path, state_of_its_own: Path) -> None:
    """The daemon may write no file beyond its present size; then it may again."""
    with process(*RUN, "--bundle", bundle, "--wait-for-subscriber", "60") as daemon:
        (address,) = daemon.log.event("waiting_for_subscriber")["on"]
        with Subscriber(address, topics=[""]) as subscriber:
            feeder = feed(daemon, beeping(120))
            messages = receive_until(subscriber, lambda m: getattr(m, "kind", None) is Kind.OFFSET)
            pid, unlimited = daemon.popen.pid, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            messages += receive_until(
                subscriber,
                lambda m: isinstance(m, Heartbeat) and m.journal.state is JournalState.DEGRADED,
            )
            messages += receive_until(subscriber, lambda m: getattr(m, "kind", None) is Kind.OFFSET)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
            messages += receive_until(
                subscriber,
                lambda m: isinstance(m, Heartbeat) and m.journal.state is JournalState.ON,
            )
            daemon.signal(signal.SIGTERM)
            messages += receive_until(
                subscriber, lambda m: getattr(m, "state", None) is DaemonState.STOPPED
            )
            assert daemon.wait() == 0
        feeder.join(PATIENCE_S)
        logged = [json.loads(line)["event"] for line in [*daemon.log.seen, *daemon.log.rest()]]
    assert logged.count("journal_degraded") == 1
    assert logged.count("journal_restored") == 1
    held, sent = journaled(state_of_its_own), numbered(messages)
    assert list(sent) == list(range(min(sent), max(sent) + 1)), "publishing went on"
    assert held.keys() >= sent.keys(), "what was sent meanwhile was written later"
    assert gaps(state_of_its_own) == []


@pytest.mark.parametrize("path", ["/proc/nowhere", "/dev/null/state"])
def test_it_starts_without_a_place_to_write(
    bundle: Path, wav: Path, tmp_path: Path, path: str
) -> None:
    (tmp_path / "config.yaml").write_text(f"journal: {{path: {path}}}", encoding="utf-8")
    arguments = ("--bind", RANDOM_PORT, "--bundle", bundle, "--source", wav)
    with process("run", *arguments, "--log-format", "json", cwd=tmp_path) as daemon:
        assert daemon.wait() == 0
        lines = [json.loads(line) for line in daemon.log.rest()]
    (trouble,) = [line for line in lines if line.get("level") == "error"]
    assert trouble["event"] == "journal_degraded"
    assert trouble["path"].startswith(path)
    assert trouble["reason"]


def test_numbers_go_on_over_restarts(bundle: Path, wav: Path, state_of_its_own: Path) -> None:
    for _ in range(2):
        with process("run", "--bind", RANDOM_PORT, "--bundle", bundle, "--source", wav) as daemon:
            assert daemon.wait() == 0
    held = journaled(state_of_its_own)
    states = [json.loads(body).get("state") for body in held.values()]
    assert list(held) == list(range(1, len(held) + 1))
    assert states.count("started") == states.count("stopped") == 2


def test_a_second_daemon_on_the_same_state_is_told_of_journal_path(
    bundle: Path, tmp_path: Path
) -> None:
    """It runs without a journal until the other ends; with a folder of its own it has one."""
    run = (*RUN, "--bundle", bundle)
    config = tmp_path / "config.yaml"
    config.write_text(f"journal: {{path: {tmp_path / 'own'}}}\n", encoding="utf-8")
    with process(*run) as first:
        first.log.event("started")
        with process(*run) as second:
            assert "journal.path" in second.log.event("journal_degraded")["reason"]
            second.log.event("started")
        with process(*run, "--config", config) as third:
            third.log.event("started")
            assert not any("journal_degraded" in line for line in third.log.seen)
    assert (tmp_path / "own" / "journal.sqlite").is_file()
