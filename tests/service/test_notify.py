"""What the service manager receives: datagrams on a socket of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from streamsed.service.notify import Notifier
from streamsed.service.watchdog import Watchdog
from tests.service.systemd_socket import service_manager


@pytest.mark.parametrize("abstract", [False, True])
def test_states_are_told_on_paths_and_abstract_names(tmp_path: Path, abstract: bool) -> None:
    address = f"@streamsed-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with service_manager(address) as manager:
        notifier = Notifier.of_environment({"NOTIFY_SOCKET": address})
        notifier.loading("models/domestic")
        notifier.ready("1 source: 1 running")
        notifier.reloading()
        notifier.status("two\nlines")
        notifier.alive()
        notifier.stopping("received SIGTERM")
        notified = [manager.receive() for _ in range(6)]
        notifier.close()
        notifier.close()
        notifier.status("no socket, no datagram")
    assert notified[0] == {"STATUS": "loading models/domestic", "EXTEND_TIMEOUT_USEC": "600000000"}
    assert notified[1] == {"READY": "1", "STATUS": "1 source: 1 running"}
    assert notified[2] is not None
    now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert now_us - 60e6 < int(notified[2].pop("MONOTONIC_USEC")) <= now_us
    assert notified[2] == {"RELOADING": "1", "STATUS": "reloading"}
    assert notified[3:] == [
        {"STATUS": "two lines"},
        {"WATCHDOG": "1"},
        {"STOPPING": "1", "STATUS": "stopping: received SIGTERM"},
    ]


def test_without_a_listener_nothing_happens(tmp_path: Path) -> None:
    for environment in (
        {},
        {"NOTIFY_SOCKET": str(tmp_path / "gone")},
        {"NOTIFY_SOCKET": "vsock:2"},
    ):
        Notifier.of_environment(environment).ready("all is well")


def test_a_listener_that_is_slow_holds_nobody_up(tmp_path: Path) -> None:
    with service_manager(tmp_path / "notify") as manager:
        notifier = Notifier(str(tmp_path / "notify"))
        for _ in range(10_000):  # more than any socket buffers
            notifier.alive()
            notifier.status("going on")
        assert manager.drain()
        notifier.close()


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 7.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 7.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_set_up_by_the_environment(
    environment: dict[str, str], interval_s: float | None
) -> None:
    watchdog = Watchdog.of_environment(lambda: None, environment)
    assert watchdog.interval_s == interval_s


def test_it_beats_no_more_often_than_it_has_to(monkeypatch: pytest.MonkeyPatch) -> None:
    now, beats = [100.0], []
    monkeypatch.setattr("streamsed.service.watchdog.time.monotonic", lambda: now[0])
    watchdog = Watchdog(2.0, alive=lambda: beats.append(now[0]))
    for now[0] in (100.0, 101.0, 102.0, 103.9, 104.1):
        watchdog.beat()
    assert beats == [100.0, 102.0, 104.1]
    unwatched = Watchdog(None, alive=lambda: beats.append(0.0))
    unwatched.beat()
    assert len(beats) == 3
