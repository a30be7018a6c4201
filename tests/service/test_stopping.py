"""A stop is quick and complete, whatever hangs."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
import zmq

from streamsed.client import Subscriber
from streamsed.detect.events import Kind, Reason
from streamsed.publish.messages import SourceState
from streamsed.sources.block import Block
from streamsed.sources.file import AudioFile
from tests.bundles import tones
from tests.cli.command import process
from tests.service.daemons import (
    assert_close,
    configure,
    events,
    recording,
    running,
    spans,
    states,
    statuses,
)
from tests.sockets import PATIENCE_S, RANDOM_PORT, receive_until


@contextmanager
def hanging(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let a recording's reader hang after its first block; yields what is set when it does."""
    hangs, release, read = threading.Event(), threading.Event(), AudioFile.read
    blocks = 0

    def stuck(source: AudioFile, timeout_s: float) -> Block | None:
        nonlocal blocks
        if source.name == name:
            blocks += 1
            if blocks > 1:
                hangs.set()
                assert release.wait(PATIENCE_S)
        return read(source, timeout_s)

    monkeypatch.setattr(AudioFile, "read", stuck)
    try:
        yield hangs
    finally:
        release.set()


def test_a_reader_that_hangs_is_left_behind(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsed.service.daemon._DRAIN_S", 0.3)
    monkeypatch.setattr("streamsed.service.daemon._JOIN_S", 0.1)
    stuck = recording(tmp_path / "stuck.wav", tones([("low", 0.3, 3.0)], duration_s=3.0))
    fine = recording(
        tmp_path / "fine.wav", tones([("mid", 0.1, 99.0)], duration_s=99.0), paced=True
    )
    with (
        hanging("stuck", monkeypatch) as hangs,
        running(configure(bundle, [stuck, fine])) as run,
    ):
        assert hangs.wait(PATIENCE_S)
        messages = run.until(("source", "fine"), ("kind", Kind.ONSET))
        run.daemon.stop("received SIGTERM")
        messages += run.until_stopped()
    assert run.exit_code == 0
    assert_close(spans(events(messages, "stuck")), [("low", 0.3, 1.0)])
    assert len(spans(events(messages, "fine"))) == 1
    assert {e.reason for e in events(messages) if e.kind is Kind.OFFSET} == {Reason.SHUTDOWN}
    assert states(messages, "stuck")[-1] is SourceState.ENDED
    assert statuses(messages, "stuck")[-1].message == "reading hangs"
    assert statuses(messages, "fine")[-1].message is None


def test_more_audio_than_can_be_processed_is_given_up(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many sources at a stop: every event ends with it, and nothing counts as interrupted."""
    for limit in ("_DRAIN_S", "_GIVE_UP_S"):
        monkeypatch.setattr(f"streamsed.service.daemon.{limit}", 0.0)
    audio = tones([("low", 0.1, 60.0), ("mid", 0.1, 60.0)], duration_s=60.0)
    many = [recording(tmp_path / f"{number}.wav", audio) for number in range(40)]
    with running(configure(bundle, many)) as run:
        messages = run.until(("kind", Kind.ONSET))
        run.daemon.stop("received SIGTERM")
        messages += run.until_stopped()
    assert run.exit_code == 0
    found = events(messages)
    onsets = {e.event_id for e in found if e.kind is Kind.ONSET}
    offsets = [e for e in found if e.kind is Kind.OFFSET]
    assert {e.event_id for e in offsets} == onsets
    assert len(offsets) == len(onsets)
    assert {e.reason for e in offsets} <= {Reason.SHUTDOWN, Reason.END_OF_STREAM, Reason.SILENCE}


def test_a_subscriber_that_takes_nothing_does_not_hold_the_end_up(
    bundle: Path, tmp_path: Path
) -> None:
    """More is published than buffers hold, to one who never reads; the end waits ``linger_s``."""
    labels = ["low", "mid", "high"]
    audio = tones([(label, 0.2, 30.0) for label in labels], duration_s=30.0)
    config = {
        "bundle": str(bundle),
        "sources": [recording(tmp_path / "a.wav", audio)],
        "publish": {"bind": [RANDOM_PORT], "linger_s": 0.5, "wait_for_subscriber_s": PATIENCE_S},
        "detect": {"update_every_s": 0.016},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with (
        process("run", "--log-format", "json", cwd=tmp_path) as daemon,
        zmq.Context() as context,
        context.socket(zmq.SUB) as deaf,
    ):
        (address,) = daemon.log.event("waiting_for_subscriber")["on"]
        deaf.set(zmq.LINGER, 0)
        deaf.set(zmq.RCVHWM, 1)
        deaf.set(zmq.RCVBUF, 1024)
        deaf.subscribe("")
        deaf.connect(address)
        assert daemon.log.event("stopped")["reason"] == "every source has ended"
        stopped = time.monotonic()
        assert daemon.wait() == 0
        assert time.monotonic() - stopped > 0.4, "everything was taken: the test tests nothing"


def test_a_signal_while_a_reader_hangs_and_a_recording_waits(bundle: Path, tmp_path: Path) -> None:
    """The whole command: standard input never says anything, and a recording fills its queue."""
    long = tones([("low", 0.2, 600.0)], duration_s=600.0)
    recording(tmp_path / "long.wav", long)
    arguments = ("run", "--bind", RANDOM_PORT, "--log-format", "json", "--bundle", bundle)
    sources = ("--source", "-", "--source", tmp_path / "long.wav", "--wait-for-subscriber", "60")
    with process(*arguments, *sources) as daemon:
        (address,) = daemon.log.event("waiting_for_subscriber")["on"]
        with Subscriber(address, topics=[""]) as subscriber:
            messages = receive_until(subscriber, lambda m: getattr(m, "kind", "") is Kind.ONSET)
            daemon.signal(signal.SIGTERM)
            messages += receive_until(
                subscriber, lambda m: getattr(m, "message", None) == "received SIGTERM"
            )
            messages += receive_until(subscriber, lambda m: getattr(m, "state", "") == "stopped")
        assert daemon.wait() == 0
    assert len(spans(events(messages))) == 1
    assert events(messages)[-1].reason is Reason.SHUTDOWN
