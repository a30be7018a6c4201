"""What the service manager receives from a daemon, and what silences the watchdog."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamsed.publish.message_builders import MessageBuilder
from streamsed.publish.publisher import Publisher
from streamsed.service.notify import Notifier
from streamsed.service.pipeline import Pipeline
from tests.bundles import SAMPLE_RATE, tones
from tests.service.daemons import configure, events, recording, running, spans
from tests.service.holding import held_at, standard_input
from tests.service.systemd_socket import ServiceManager, service_manager
from tests.sockets import PATIENCE_S

PIPE = {"type": "pipe", "name": "pipe", "rate": SAMPLE_RATE, "format": "f32le"}
WATCHED_S = 0.4


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    """A service manager that watches the daemons of a test."""
    with service_manager(tmp_path / "notify") as listening:
        monkeypatch.setenv("NOTIFY_SOCKET", listening.address)
        monkeypatch.setenv("WATCHDOG_USEC", str(round(WATCHED_S * 1e6)))
        yield listening


@pytest.fixture
def notifier(manager: ServiceManager) -> Iterator[Notifier]:
    """Tells the service manager."""
    with closing(Notifier.of_environment()) as notified:
        yield notified


def test_from_ready_to_stopping(
    bundle: Path, manager: ServiceManager, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        standard_input(monkeypatch) as put,
        running(configure(bundle, [PIPE]), notifier=notifier) as run,
    ):
        run.until(("source", "pipe"))
        before = manager.drain()
        assert not [notice for notice in before if "READY" in notice], "ready without audio"
        put(tones([], duration_s=1.0))
        ready = manager.until_said("READY")[-1]
        assert ready["STATUS"].startswith("1 source: 1 running; real-time factor ")
        put(tones([], duration_s=1.0))
        status = manager.until_said("STATUS")[-1]["STATUS"]
        assert status.endswith("; dropped 0.0 s")
        run.daemon.stop("received SIGTERM")
        run.until_stopped()
    notice = manager.until_said("STOPPING")
    assert notice[-1]["STATUS"] == "stopping: received SIGTERM"
    assert not [notice for notice in manager.drain() if "STATUS" in notice], (
        "the end is the last word"
    )


def test_ready_without_audio_once_that_is_known(
    bundle: Path, manager: ServiceManager, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsed.service.daemon._FIRST_AUDIO_S", 0.1)
    with (
        standard_input(monkeypatch),
        running(configure(bundle, [PIPE]), notifier=notifier),
    ):
        ready = manager.until_said("READY")[-1]
    assert ready["STATUS"] == "1 source: 1 connecting; real-time factor unknown; dropped 0.0 s"


def test_a_source_without_audio_does_not_silence_the_watchdog(
    bundle: Path, manager: ServiceManager, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        standard_input(monkeypatch),
        running(configure(bundle, [PIPE]), notifier=notifier),
    ):
        for _ in range(5):
            manager.until_said("WATCHDOG", "1")


def test_a_step_that_hangs_silences_the_watchdog(
    bundle: Path, manager: ServiceManager, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(bundle, [PIPE])
    with (
        standard_input(monkeypatch) as put,
        held_at(20, Pipeline.of(config), monkeypatch) as held,
        running(config, notifier=notifier) as run,
    ):
        put(tones([], duration_s=1.0))
        manager.until_said("WATCHDOG")
        put(tones([], duration_s=1.0))
        assert held.reached.wait(PATIENCE_S)
        assert_unfed(manager)
        held.release.set()
        manager.until_said("WATCHDOG")
        run.daemon.stop("the test is over")
        run.until_stopped()


def test_a_publisher_that_takes_no_more_silences_the_watchdog(
    bundle: Path,
    tmp_path: Path,
    manager: ServiceManager,
    notifier: Notifier,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release, blocked, publish = threading.Event(), threading.Event(), Publisher.publish

    def stuck(publisher: Publisher, builder: MessageBuilder) -> None:
        if threading.current_thread().name == "detection":
            blocked.set()
            assert release.wait(PATIENCE_S)
        publish(publisher, builder)

    monkeypatch.setattr(Publisher, "publish", stuck)
    source = recording(tmp_path / "a.wav", tones([("low", 0.5, 1.0)], duration_s=2.0))
    with running(configure(bundle, [source]), notifier=notifier) as run:
        assert blocked.wait(PATIENCE_S)
        assert_unfed(manager)
        release.set()
        messages = run.until_stopped()
    assert len(spans(events(messages))) == 1


def assert_unfed(manager: ServiceManager) -> None:
    """Assert that the watchdog is not fed, though heartbeats and status go on (each 0.1 s)."""
    manager.drain()
    statuses = 0
    while statuses < 5 * WATCHED_S / 0.1:  # many times the limit
        notice = manager.receive()
        assert notice is not None, "not even heartbeats"
        assert "WATCHDOG" not in notice, "fed though detection hangs"
        statuses += "STATUS" in notice
