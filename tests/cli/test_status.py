"""``streamsed status``: the table, and who answers."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from streamsed.cli.connection import Connection
from streamsed.cli.status_table import duration, render
from streamsed.detect.events import Kind
from streamsed.publish.daemon_status import (
    ClipsCondition,
    ClipsState,
    DaemonStatus,
    LatencyStatus,
    SourceStatus,
)
from streamsed.publish.messages import (
    BundleName,
    ClassScore,
    EventMessage,
    JournalCondition,
    JournalState,
    Level,
    Moment,
    SourceState,
)
from tests.cli.command import Process, execute, process
from tests.publish.journals import event

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def level(**changes: Any) -> Level:
    fields: dict[str, Any] = {
        "end": Moment(seconds=1.0, sample=16000, utc=NOW),
        "duration": 1.0,
        "rms_dbfs": -30.0,
        "peak_dbfs": -15.0,
        "clipped_samples": 0,
        "digital_silence": False,
        "top": (ClassScore(label="Dog", score=0.81), ClassScore(label="Cat", score=0.12)),
    }
    return Level(**(fields | changes))


def source(name: str, state: SourceState = SourceState.RUNNING, **changes: Any) -> SourceStatus:
    fields: dict[str, Any] = {"source": name, "state": state, "queued_s": 0.1, "level": None}
    return SourceStatus(**(fields | changes))


def status(*sources: SourceStatus) -> DaemonStatus:
    return DaemonStatus(
        version="0.1.0",
        uptime_s=3 * 86400 + 4 * 3600 + 59,
        provider="CPUExecutionProvider",
        bundle=BundleName(name="domestic", version="1"),
        last_seq=1042,
        real_time_factor=0.0123,
        onset_latency=LatencyStatus.of([0.7] * 99 + [1.4]),
        offset_latency=None,
        sources=sources,
        journal=JournalCondition(state=JournalState.DEGRADED, message="the disk is full"),
        clips=ClipsCondition(state=ClipsState.FAILING, message="so it is here"),
        asked=NOW,
    )


def lines(found: DaemonStatus) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render(found))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_table_for_people() -> None:
    head, figures, journal, clips, gap, columns, kitchen, hall, desk = lines(
        status(
            source("kitchen", level=level(), since=NOW - timedelta(minutes=5)),
            source("hall", SourceState.LOST, message="unplugged", dropped_samples=12),
            source(
                "desk",
                level=level(
                    rms_dbfs=None, peak_dbfs=None, digital_silence=True, top=(), clipped_samples=0
                ),
                reconnections=2,
                queued_s=4.96,
            ),
        )
    )
    assert head == ("streamsed 0.1.0, up 3 d 4 h, bundle domestic 1 on CPUExecutionProvider")
    assert figures == (
        "real-time factor 0.012; onsets 0.70 s late, 0.71 s at p99 of 100; offsets none yet; "
        "seq 1042"
    )
    assert journal == "journal degraded: the disk is full"
    assert clips == "clips failing: so it is here"
    assert gap == ""
    heads = re.split(" {2,}", columns)
    assert heads[:6] == ["source", "state", "level", "rms dBFS", "peak dBFS", "waits"]
    assert heads[6:] == ["open events", "top classes now", "remarks"]
    assert kitchen.split("  ", 1)[0] == "kitchen"
    for part in ("running 5 min", "[##########-----     ]", "-30.0", "-15.0", "0.1 s", "Dog 0.81"):
        assert part in kitchen
    assert "lost" in hall
    assert hall.endswith("unplugged, samples: 12 dropped")
    assert "-inf" in desk
    assert "5.0 s" in desk
    assert desk.endswith("digital silence, back 2 times")


def test_open_events_stand_beside_their_source() -> None:
    message = event(Kind.ONSET)(1, NOW)
    assert isinstance(message, EventMessage)
    onset = Moment(seconds=1.0, sample=16_000, utc=NOW - timedelta(seconds=75))
    opened = message.model_copy(update={"onset": onset})
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render(status(source("kitchen"), source("hall")), {"kitchen": (opened,)}))
    kitchen, hall = captured.get().splitlines()[-2:]
    assert "Dog 1 min 15 s" in kitchen
    assert "Dog" not in hall


def test_trouble_comes_first() -> None:
    stuck = status().model_copy(update={"trouble": "detection has not advanced for 34 s"})
    assert lines(stuck)[0] == "detection has not advanced for 34 s"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90000, "1 d 1 h")],
)
def test_time_spans_in_two_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_names_are_not_taken_for_markup() -> None:
    assert any("[bold]x" in line for line in lines(status(source("[bold]x", message="[/]"))))


@pytest.fixture
def daemon(bundle: Path, tmp_path: Path) -> Iterator[Process]:
    """A daemon that listens to a pipe which stays open."""
    with process("run", "--bundle", bundle, "--source", "desk=-", "--bind", ipc(tmp_path)) as made:
        made.log.event("started")
        yield made


def ipc(folder: Path) -> str:
    return f"ipc://{folder}/socket"


def test_the_running_daemon_answers(daemon: Process, tmp_path: Path) -> None:
    done = execute("status", "--connect", ipc(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "bundle tones 1 on CPUExecutionProvider" in done.stdout
    assert "desk    connecting" in done.stdout
    done = execute("status", "--connect", ipc(tmp_path), "--json")
    assert json.loads(done.stdout)["sources"][0]["source"] == "desk"
    done = execute("status", "--requests", f"{ipc(tmp_path)}-requests", "--json")
    assert done.returncode == 0


def test_watching_goes_on_while_the_daemon_is_away(daemon: Process, tmp_path: Path) -> None:
    with process("status", "--connect", ipc(tmp_path), "--watch") as watcher:
        seen = [watcher.out.next() or "" for _ in range(10)]
        assert sum("bundle tones 1" in line for line in seen) > 1, "one table after the other"
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        while "no answer from" not in (watcher.out.next() or ""):
            pass
        watcher.signal(signal.SIGINT)
        assert watcher.wait() == 0
        assert watcher.log.rest() == []


@pytest.mark.parametrize("options", [(), ("--json",), ("--watch",)])
def test_nobody_answers(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = execute("status", "--connect", ipc(tmp_path), *options)
    assert (done.returncode, done.stdout) == (1, "")
    why = Connection.UNREACHABLE.value
    assert done.stderr == f"streamsed: no answer from {ipc(tmp_path)}-requests: {why}\n"


def test_an_address_that_is_none() -> None:
    done = execute("status", "--connect", "127.0.0.1:5577")
    assert done.returncode == 2
    assert "write tcp://HOST:PORT or ipc:///PATH" in done.stderr
