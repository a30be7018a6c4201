"""Signals that come while the daemon loads: none is lost, and none shows a traceback."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.cli.command import PATIENCE_S, Process, process
from tests.sockets import RANDOM_PORT


def held(process_: Process) -> None:
    """Wait until the process has taken its signals, which is before it imports anything."""
    status = Path(f"/proc/{process_.popen.pid}/status")
    deadline = time.monotonic() + PATIENCE_S
    bit = 1 << (signal.SIGHUP - 1)
    while time.monotonic() < deadline:
        caught = next(x for x in status.read_text().splitlines() if x.startswith("SigCgt"))
        if int(caught.split()[1], 16) & bit:
            return
        time.sleep(0.005)
    raise AssertionError("SIGHUP is not caught")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_it_with_one_line(bundle: Path, number: signal.Signals) -> None:
    with process("run", "--bind", RANDOM_PORT, "--bundle", bundle, "--source", "x=-") as daemon:
        held(daemon)
        daemon.signal(number)
        assert daemon.wait() == -number
        assert daemon.log.rest() == [f"streamsed: stopped by {number.name} while loading"]


def test_a_hangup_reloads_once_it_runs(bundle: Path, tmp_path: Path) -> None:
    arguments = (
        "--bind",
        RANDOM_PORT,
        "--bundle",
        bundle,
        "--source",
        "desk=pipe:s16le@16000,live",
    )
    with process("run", *arguments, "--log-format", "json", cwd=tmp_path) as daemon:
        held(daemon)
        daemon.signal(signal.SIGHUP)
        assert daemon.log.event("reloading")
        assert daemon.log.event("reloaded")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
