"""The service under a systemd that was booted for it: installed, started, frozen, stopped."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from streamsed.client import CurveKeys, Subscriber, parse
from streamsed.detect.events import Kind, Reason
from streamsed.publish.archive import JOURNAL_NAME
from streamsed.publish.journal_reader import JournalReader
from streamsed.publish.keys import KeyPair, write_public
from streamsed.publish.messages import EventMessage, Heartbeat
from tests.bundles import SAMPLE_RATE, make_bundle, tones
from tests.service.daemons import events, spans
from tests.service.machine import (
    PATIENCE_S,
    Machine,
    NoMachineError,
    booted,
    install,
    lay_out,
    requirements,
)
from tests.sockets import AnyMessage, receive, receive_until
from tests.stream_servers import RtspServer, serving

FROZEN_S = 3
ROOM = {"type": "file", "name": "room", "path": "/srv/room.wav"}
# In the sandbox of the unit: what PortAudio needs, and no device file is in reach.
PROBE = """\
import os
from pathlib import Path
from sounddevice import _ffi
_ffi.callback("PaStreamCallback", lambda *_: 0)
assert os.getuid() != 0
assert Path(os.environ["STATE_DIRECTORY"]).stat().st_uid == os.getuid()
for path in ("/etc/streamsed/written", "/srv/written", "/usr/share/written"):
    try:
        Path(path).touch()
    except OSError:
        continue
    raise AssertionError(path + " can be written")
"""


@pytest.fixture(scope="module")
def address() -> str:
    """One whose next port, where subscribers make requests, is free as well."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
            with suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port + 1)):
                return f"tcp://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, address: str
) -> Iterator[Machine]:
    """A machine on which the service is installed; the installation is kept for the next time."""
    try:
        requirements()
    except NoMachineError as error:
        pytest.skip(str(error))
    assert request.config.cache is not None
    tree = request.config.cache.mkdir("machine")
    shutil.rmtree(tree / "var", ignore_errors=True)
    lay_out(tree)
    install(tree)
    make_bundle(tree / "srv/tones")
    # An event each second, and one that goes on.
    audio = np.tile(tones([("low", 0.2, 0.7), ("mid", 0.0, 1.0)], duration_s=1.0), 600)
    soundfile.write(tree / "srv/room.wav", audio, SAMPLE_RATE)
    (tree / "srv/probe.py").write_text(PROBE, encoding="utf-8")
    drop_in = tree / "etc/systemd/system/streamsed.service.d/test.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(
        f"[Service]\nWatchdogSec={FROZEN_S}\nRestartSec=0\n"
        "ExecStartPre=/opt/streamsed/bin/python -P /srv/probe.py\n",
        encoding="utf-8",
    )
    try:
        with booted(tree, tmp_path_factory.mktemp("machine") / "console") as running:
            yield running
    except NoMachineError as error:
        pytest.skip(str(error))


@pytest.fixture
def service(machine: Machine, address: str) -> Iterator[Machine]:
    """The machine with a configuration; at the end the service is stopped, and nothing is lost."""
    configure(machine, address)
    yield machine
    machine.run("systemctl", "stop", "streamsed")
    spans([m for m in journalled(machine) if isinstance(m, EventMessage)])


def configure(
    machine: Machine, address: str, *, sources: Sequence[dict[str, Any]] = (ROOM,), **publish: Any
) -> None:
    content = {
        "bundle": "/srv/tones",
        "sources": list(sources),
        "publish": {"bind": [address], "heartbeat_s": 0.2} | publish,
    }
    text = yaml.safe_dump(content)
    for folder in ("etc/streamsed", "srv/listener/.config/streamsed"):
        (machine.tree / folder).mkdir(parents=True, exist_ok=True)
        (machine.tree / folder / "config.yaml").write_text(text, encoding="utf-8")


def journalled(machine: Machine) -> list[AnyMessage]:
    """Return everything that the service has published, by its journal; no number is missing."""
    reader = JournalReader(machine.tree / "var/lib/private/streamsed" / JOURNAL_NAME)
    with closing(reader):
        stretch = reader.after(0, rows=100_000)
    assert not stretch.gaps
    numbers = [seq for seq, _, _ in stretch.rows]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers[-1] == stretch.through
    return [parse(body.encode()) for _, _, body in stretch.rows]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}"
        sleep(0.05)


def test_started_when_it_is_ready(service: Machine, address: str) -> None:
    with Subscriber(address, topics=["heartbeat/"]) as subscriber:
        service.run("systemctl", "start", "streamsed")  # returns once it is ready
        assert service.property("ActiveState") == "active"
        busy = "1 source: 1 running; real-time factor 0."
        until(lambda: service.property("StatusText").startswith(busy), "a status")
        (heartbeat, *_) = receive_until(subscriber, lambda m: isinstance(m, Heartbeat))
        assert isinstance(heartbeat, Heartbeat)
    output = [json.loads(line) for line in service.journal() if line.startswith("{")]
    assert "started" in {entry["event"] for entry in output}


def test_a_frozen_service_is_killed_and_started_again(service: Machine, address: str) -> None:
    with Subscriber(address, topics=["event/"]) as subscriber:
        service.run("systemctl", "start", "streamsed")
        receive_until(subscriber, lambda m: getattr(m, "kind", "") is Kind.ONSET)
        frozen = service.property("MainPID")
        service.run("kill", "-STOP", frozen)
        until(lambda: service.property("NRestarts") == "1", "a restart")
        until(lambda: service.property("ActiveState") == "active", "it is ready again")
        assert service.property("MainPID") not in {frozen, "0"}
        receive_until(subscriber, lambda m: getattr(m, "kind", "") is Kind.OFFSET)
    ended = [e.reason for e in journalled(service) if getattr(e, "kind", "") is Kind.OFFSET]
    assert Reason.INTERRUPTED in ended, "what was open when it was killed has its offset"
    for output in ("Watchdog timeout", "publisher.py"):  # and where its threads were
        until(lambda output=output: any(output in line for line in service.journal()), output)


def test_a_missing_microphone_is_no_reason_to_kill_it(service: Machine, address: str) -> None:
    """No audio at all: detection has nothing to do, for longer than the watchdog waits."""
    configure(service, address, sources=[{"type": "microphone", "name": "mic"}])
    with Subscriber(address, topics=["heartbeat/"]) as subscriber:
        service.run("systemctl", "start", "streamsed")
        beats = receive_until(subscriber, lambda m: getattr(m, "uptime_s", 0.0) > 2.0 * FROZEN_S)
        assert service.property("StatusText").startswith("1 source: 1 lost")
    last = beats[-1]
    assert isinstance(last, Heartbeat)
    assert "no input device" in (last.sources[0].message or ""), "PortAudio works in the sandbox"
    assert service.property("NRestarts") == "0"


def test_a_network_stream_is_heard_in_the_sandbox(service: Machine, address: str) -> None:
    with serving(RtspServer(tones([], duration_s=1.0)[:, np.newaxis], SAMPLE_RATE)) as server:
        configure(service, address, sources=[{"type": "url", "name": "cam", "url": server.url}])
        service.run("systemctl", "start", "streamsed")
        received = "1 source: 1 running"
        until(
            lambda: service.property("StatusText").startswith(received),
            "audio of the stream arrives",
        )
        service.run("systemctl", "stop", "streamsed")
    assert service.property("Result") == "success"
    (ended,) = [m for m in journalled(service) if getattr(m, "source", "") == "cam"][-1:]
    assert getattr(ended, "state", "") == "ended", "nobody but the daemon ends its ffmpeg"


def test_reloaded_without_a_restart(service: Machine, address: str) -> None:
    """One source is added; the event of the other goes on, and its audio."""
    configure(service, address, wait_for_subscriber_s=PATIENCE_S)
    with Subscriber(address, topics=[""]) as subscriber:
        service.run("systemctl", "start", "streamsed")
        messages = receive_until(subscriber, lambda m: getattr(m, "label", "") == "mid")
        process = service.property("MainPID")
        both = [ROOM, ROOM | {"name": "hall"}]
        configure(service, address, sources=both, wait_for_subscriber_s=PATIENCE_S)
        service.run("systemctl", "reload", "streamsed")
        messages += receive_until(subscriber, lambda m: getattr(m, "source", "") == "hall")
        until(lambda: service.property("StatusText").startswith("2 sources: 2 running"), "both run")
        assert service.property("ActiveState") == "active"
        (service.tree / "etc/streamsed/config.yaml").write_text("queue_s: long\n", "utf-8")
        service.run("systemctl", "reload", "streamsed")
        messages += receive_until(subscriber, lambda m: getattr(m, "state", "") == "reload_refused")
        assert service.property("MainPID") == process
        service.run("systemctl", "stop", "streamsed")
        messages += receive_until(subscriber, lambda m: getattr(m, "state", "") == "stopped")
    assert len(spans(events(messages, "hall"))) >= 1
    (offset,) = [e for e in events(messages, "room") if (e.label, e.kind) == ("mid", Kind.OFFSET)]
    assert offset.reason is Reason.SHUTDOWN
    lows = [span for span in spans(events(messages, "room")) if span[0] == "low"]
    starts = [onset for _, onset, _ in lows]
    assert np.diff(starts) == pytest.approx(1.0, abs=0.05), "an event each second, none is missing"


def test_stopped_with_the_offset_of_what_is_open(service: Machine, address: str) -> None:
    configure(service, address, wait_for_subscriber_s=PATIENCE_S)
    with Subscriber(address, topics=[""]) as subscriber:
        service.run("systemctl", "start", "streamsed")
        messages = receive_until(subscriber, lambda m: getattr(m, "label", "") == "mid")
        service.run("systemctl", "stop", "streamsed")
        messages += receive_until(subscriber, lambda m: getattr(m, "state", "") == "stopped")
    assert spans(events(messages)), "every onset has its offset"
    (offset,) = [e for e in events(messages) if (e.label, e.kind) == ("mid", Kind.OFFSET)]
    assert offset.reason is Reason.SHUTDOWN
    assert service.property("ActiveState") == "inactive"
    assert service.property("Result") == "success"


def test_its_key_comes_as_a_credential(service: Machine, address: str) -> None:
    """The service's user cannot read the key where it lies, and is handed it by systemd."""
    server, laptop = KeyPair.generate(), KeyPair.generate()
    keys = service.tree / "etc/streamsed/keys"
    shutil.rmtree(keys, ignore_errors=True)
    server.write(keys, "server")
    write_public(keys / "clients/laptop.key", laptop.public)
    drop_in = service.tree / "etc/systemd/system/streamsed.service.d/keys.conf"
    drop_in.write_text(
        "[Service]\nLoadCredential=server.key_secret:/etc/streamsed/keys/server.key_secret\n"
    )
    curve = {
        "secret_key": "/run/credentials/streamsed.service/server.key_secret",
        "clients": "/etc/streamsed/keys/clients",
    }
    configure(service, address, curve=curve)
    try:
        service.run("systemctl", "daemon-reload")
        service.run("systemctl", "start", "streamsed")
        with Subscriber(address, keys=CurveKeys(server=server.public, own=laptop)) as subscriber:
            receive(subscriber)
    finally:
        service.run("systemctl", "stop", "streamsed")
        drop_in.unlink()
        service.run("systemctl", "daemon-reload")


def test_in_a_session_of_a_user(machine: Machine, address: str) -> None:
    """The user unit, under a service manager as a session has one."""
    configure(machine, address)
    runtime, user = "/run/user/1000", ("systemd-run", "--quiet", "--uid=1000")
    environment = (f"--setenv=XDG_RUNTIME_DIR={runtime}", "--setenv=HOME=/srv/listener")
    machine.run("chown", "-R", "1000:1000", "/srv/listener")
    machine.run("install", "--directory", "--owner=1000", "--mode=700", runtime)
    machine.run(
        *user, "--property=Delegate=yes", *environment, "/usr/lib/systemd/systemd", "--user"
    )

    def systemctl(*command: str) -> str:
        systemctl_user = ("systemctl", "--user", *command)
        return machine.run(*user, "--pipe", "--wait", *environment, *systemctl_user, check=False)

    until(lambda: systemctl("is-system-running").strip() == "running", "the session runs")
    with Subscriber(address, topics=["event/"]) as subscriber:
        systemctl("start", "streamsed")
        receive_until(subscriber, lambda m: getattr(m, "kind", "") is Kind.ONSET)
    assert "StatusText=1 source: 1 running" in systemctl("show", "streamsed")
    assert (machine.tree / "srv/listener/.config/streamsed/config.yaml").exists()
    systemctl("stop", "streamsed")
    assert "Result=success" in systemctl("show", "streamsed")
