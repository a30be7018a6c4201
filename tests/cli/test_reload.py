"""``streamsed run`` on SIGHUP: the file is read anew, and the command line stays in force."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamsed.client import Subscriber
from streamsed.detect.events import Kind, Reason
from streamsed.publish.messages import DaemonMessage, DaemonState, EventMessage
from tests.bundle.test_odd_bundles import busy_s, changed, loop_while, processor_s
from tests.bundles import make_bundle, tones
from tests.cli.command import COMMAND, PATIENCE_S, Lines, Process, environment, process
from tests.service.daemons import events, recording, spans
from tests.sockets import RANDOM_PORT, AnyMessage, receive_until

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")


def write(path: Path, sources: list[dict[str, Any]], **settings: Any) -> None:
    content = {"sources": sources, "log": {"format": "json"}, **settings}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def reload(daemon: Process, subscriber: Subscriber) -> list[AnyMessage]:
    daemon.signal(signal.SIGHUP)
    outcomes = (DaemonState.RELOADED, DaemonState.RELOAD_REFUSED)
    return receive_until(subscriber, lambda m: isinstance(m, DaemonMessage) and m.state in outcomes)


def test_the_end_of_its_terminal_ends_it(bundle: Path, tmp_path: Path) -> None:
    room = recording(tmp_path / "room.wav", tones([], duration_s=99.0), paced=True)
    write(tmp_path / "config.yaml", [room], bundle=str(bundle), publish={"bind": [RANDOM_PORT]})
    near, far = os.openpty()
    try:
        command = [*COMMAND, "run"]
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment(), stdin=far, stderr=subprocess.PIPE, text=True
        ) as daemon:
            assert daemon.stderr is not None
            log = Lines(daemon.stderr)
            log.event("started")
            daemon.send_signal(signal.SIGHUP)
            assert log.event("stopped")["reason"] == "received SIGHUP"
            assert daemon.wait(PATIENCE_S) == 0
            log.rest()
    finally:
        os.close(near)
        os.close(far)


def test_the_file_is_read_anew(bundle: Path, tmp_path: Path) -> None:
    audio = tones([("low", 0.2, 99.0), ("mid", 0.2, 99.0)], duration_s=99.0)
    room = recording(tmp_path / "room.wav", audio, paced=True)
    path = tmp_path / "streamsed.yaml"
    write(path, [room])
    options = ("--bundle", bundle, "--bind", RANDOM_PORT, "--wait-for-subscriber", "60")
    with process("run", "-c", path, *options) as daemon:
        (address,) = daemon.log.event("waiting_for_subscriber")["on"]
        with Subscriber(address, topics=[""]) as subscriber:
            messages = receive_until(subscriber, lambda m: getattr(m, "label", "") == "mid")
            write(path, [room], detect={"classes": {"low": {"enter": 0.6}}}, queue_s=7)
            messages += reload(daemon, subscriber)
            assert messages[-1].message == "changed: detect.classes.low; needs a restart: queue_s"  # type: ignore[union-attr]
            if events(messages)[-1].reason is Reason.RELOAD:  # else it has begun anew already
                messages += receive_until(subscriber, lambda m: isinstance(m, EventMessage))

            path.write_text("sources: [", encoding="utf-8")
            messages += reload(daemon, subscriber)
            refused = daemon.log.event("reload_refused")["reason"]
            assert refused == messages[-1].message  # type: ignore[union-attr]
            assert refused.startswith(f"{path}:1: is no YAML")

            daemon.signal(signal.SIGTERM)
            messages += receive_until(subscriber, lambda m: getattr(m, "state", "") == "stopped")
        assert daemon.wait() == 0
    ends = [(e.label, e.reason) for e in events(messages) if e.kind is Kind.OFFSET]
    assert ends[0] == ("low", Reason.RELOAD)
    assert sorted(ends[1:]) == [("low", Reason.SHUTDOWN), ("mid", Reason.SHUTDOWN)]
    assert len(spans(events(messages))) == 3


def test_a_stop_does_not_wait_for_a_bundle_that_never_comes_back(
    bundle: Path, tmp_path: Path
) -> None:
    endless = changed(make_bundle(tmp_path / "endless"), loop_while("always"))
    room = recording(tmp_path / "room.wav", tones([], duration_s=99.0), paced=True)
    path = tmp_path / "streamsed.yaml"
    write(path, [room], bundle=str(bundle), publish={"bind": [RANDOM_PORT]})
    with process("run", "-c", path) as daemon:
        daemon.log.event("started")
        write(path, [room], bundle=str(endless), publish={"bind": [RANDOM_PORT]})
        daemon.signal(signal.SIGHUP)
        daemon.log.event("reloading")
        busy_s(daemon.popen.pid, processor_s(daemon.popen.pid) + 2.0)
        daemon.signal(signal.SIGTERM)
        assert daemon.log.event("stopped")["reason"] == "received SIGTERM"
        assert daemon.wait() == 0
