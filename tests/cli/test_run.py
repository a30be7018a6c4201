"""``streamsed run`` as a process: events on the socket, signals, exit codes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import yaml

from streamsed.client import EventMessage, Subscriber
from streamsed.detect.events import Kind, Reason
from streamsed.publish.messages import DaemonMessage, DaemonState
from tests.bundles import SAMPLE_RATE, tones
from tests.children import assert_gone
from tests.cli.command import execute, process
from tests.pulse import PulseServer
from tests.service.daemons import assert_close, events, spans
from tests.sockets import RANDOM_PORT, receive_until
from tests.stream_servers import HttpServer, serving

RUN = ("run", "--bind", RANDOM_PORT, "--log-format", "json", "--wait-for-subscriber", "30")


def test_a_recording_to_its_end(bundle: Path, wav: Path) -> None:
    with process(*RUN, "--bundle", bundle, "--source", wav) as daemon:
        (address,) = daemon.log.event("waiting_for_subscriber")["on"]
        with Subscriber(address, topics=[""]) as subscriber:
            messages = receive_until(
                subscriber, lambda m: getattr(m, "state", None) is DaemonState.STOPPED
            )
        assert daemon.wait() == 0
        log = [json.loads(line) for line in daemon.log.rest()]
    assert_close(spans(events(messages)), [("low", 0.3, 0.7)])
    logged = {entry["event"]: entry for entry in log}
    assert "tones 1 from" in logged["bundle_loaded"]["runs"]
    assert logged["provider_chosen"]["runs"].startswith("CPUExecutionProvider")
    assert logged["source_configured"]["path"] == str(wav)
    assert logged["stopped"]["reason"] == "every source has ended"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_open_event(bundle: Path, number: signal.Signals) -> None:
    audio = tones([("low", 0.5, 9.0)], duration_s=1.5)
    samples = (audio * 32767).astype("<i2").tobytes()
    with process(*RUN, "--bundle", bundle, "--source", "desk=-") as daemon:
        (address,) = daemon.log.event("waiting_for_subscriber")["on"]
        with Subscriber(address, topics=[""]) as subscriber:
            daemon.stdin.buffer.write(samples)
            daemon.stdin.flush()
            messages = receive_until(subscriber, lambda m: getattr(m, "kind", "") is Kind.ONSET)
            daemon.signal(number)
            messages += receive_until(
                subscriber, lambda m: getattr(m, "state", None) is DaemonState.STOPPED
            )
        assert daemon.wait() == 0
    assert_close(spans(events(messages)), [("low", 0.5, 1.5)])
    assert events(messages)[-1].reason is Reason.SHUTDOWN
    last = messages[-1]
    assert isinstance(last, DaemonMessage)
    assert last.message == f"received {number.name}"


def test_a_signal_while_nobody_has_subscribed(bundle: Path, wav: Path) -> None:
    with process(*RUN, "--bundle", bundle, "--source", wav) as daemon:
        daemon.log.event("waiting_for_subscriber")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0


def test_a_source_that_was_cut_short_fails_the_run(bundle: Path, wav: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.wav"
    cut.write_bytes(wav.read_bytes()[:20_000])
    done = execute("run", "--bundle", bundle, "--source", cut, "--bind", RANDOM_PORT)
    assert done.returncode == 1
    log = [json.loads(line) for line in done.stderr.splitlines()]
    (lost,) = [entry for entry in log if entry["event"] == "source_lost"]
    assert "cut short" in lost["message"]


def test_the_configuration_in_the_working_directory_is_used(
    bundle: Path, wav: Path, tmp_path: Path
) -> None:
    content = {
        "bundle": str(bundle),
        "sources": [{"type": "file", "name": "a", "path": str(wav), "paced": False}],
        "publish": {"bind": [RANDOM_PORT]},
        "log": {"format": "console", "level": "warning"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    done = execute("run", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = execute("run", "--log-level", "info", cwd=tmp_path)
    assert "every source has ended" in done.stderr
    assert "\x1b" not in done.stderr, "no colours off a terminal"


def test_killed_it_leaves_no_ffmpeg_behind(bundle: Path) -> None:
    loop = tones([], duration_s=1.0)[:, np.newaxis]
    with serving(HttpServer(loop, SAMPLE_RATE)) as server:
        arguments = ("--bundle", bundle, "--source", f"cam={server.url}")
        with process("run", "--bind", RANDOM_PORT, "--log-format", "json", *arguments) as daemon:
            daemon.log.event("source_running")
            (ffmpeg,) = psutil.Process(daemon.popen.pid).children()
            ffmpeg.suspend()  # so that it does not end because nobody reads
            daemon.signal(signal.SIGKILL)
            daemon.wait()
            assert_gone(ffmpeg)
            assert "secret" not in "".join(daemon.log.seen)


def test_a_microphone_heard_over_the_socket(
    bundle: Path, tmp_path: Path, pulse: PulseServer
) -> None:
    """A recording is played into a sound server; PortAudio records it; the events arrive."""
    path = tmp_path / "played.wav"
    audio = tones([("low", 0.5, 1.2), ("high", 1.6, 2.2)], duration_s=2.6)
    soundfile.write(path, np.stack([audio, audio], axis=1), SAMPLE_RATE)
    with process(*RUN, "--bundle", bundle, "--source", "room=mic:pulse") as daemon:
        (address,) = daemon.log.event("waiting_for_subscriber")["on"]
        with Subscriber(address, topics=["event/", "status/"]) as subscriber:
            daemon.log.event("source_running")
            player = pulse.play(path)
            messages = receive_until(
                subscriber,
                lambda m: (
                    isinstance(m, EventMessage) and (m.label, m.kind) == ("high", Kind.OFFSET)
                ),
            )
            assert player.wait(30) == 0
            daemon.signal(signal.SIGTERM)
            assert daemon.wait() == 0
    found = spans(events(messages, "room"))
    began = found[0][1] - 0.5
    assert_close(
        [(label, on - began, off - began) for label, on, off in found],
        [("low", 0.5, 1.2), ("high", 1.6, 2.2)],
    )
    for event in events(messages):
        assert event.latency_ms is not None
        assert event.latency_ms > 0
