"""A disk that hangs: messages and heartbeats go on, it is reported, and a stop takes seconds."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from streamsed.client import Subscriber
from streamsed.publish.messages import Heartbeat, JournalState
from tests.cli.command import process
from tests.cli.test_journal import RUN, beeping, feed
from tests.publish.journals import gaps, journaled, prepare
from tests.sockets import PATIENCE_S, AnyMessage, receive_until

HANGING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_while_held(void) {
    const char *hold = getenv("HOLD");
    while (hold && access(hold, F_OK) == 0) usleep(10000);
}
int fsync(int fd) {
    wait_while_held();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
int fdatasync(int fd) {
    wait_while_held();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose flushes do not return while a file is there."""
    folder = tmp_path_factory.mktemp("hanging")
    (folder / "hanging.c").write_text(HANGING, encoding="ascii")
    made = folder / "hanging.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", made, folder / "hanging.c", "-ldl"], check=True)
    return made


def test_publishing_goes_on_and_the_journal_catches_up(
    bundle: Path, tmp_path: Path, library: Path, state_of_its_own: Path
) -> None:
    prepare(state_of_its_own)
    hold = tmp_path / "hold"
    (tmp_path / "config.yaml").write_text("metrics: {bind: 127.0.0.1:0}", encoding="utf-8")
    variables = {"LD_PRELOAD": str(library), "HOLD": str(hold)}
    with process(*RUN, "--bundle", bundle, cwd=tmp_path, variables=variables) as daemon:
        page = daemon.log.event("serving_metrics")["on"] + "/healthz"
        address = daemon.log.event("listening")["on"][0]
        feeder = feed(daemon, beeping(120))
        with Subscriber(address, topics=["event/", "status/", "heartbeat/"]) as subscriber:
            messages = receive_until(subscriber, lambda m: getattr(m, "kind", None) == "offset")
            first = messages[-1].seq
            hold.touch()
            silence_s, began = 0.0, time.monotonic()
            state = JournalState.ON
            while state is JournalState.ON or time.monotonic() - began < 8.0:
                before = time.monotonic()
                messages.append(beat := next_heartbeat(subscriber, messages))
                silence_s = max(silence_s, time.monotonic() - before)
                state = beat.journal.state
                assert time.monotonic() - began < PATIENCE_S
            assert "does not answer" in str(beat.journal.message)
            with urllib.request.urlopen(page) as answer:  # noqa: S310 - http
                assert "does not answer" in json.load(answer)["journal"]
            last = max(m.seq for m in messages if not isinstance(m, Heartbeat))
            messages += receive_until(subscriber, lambda m: getattr(m, "seq", 0) > last)
            hold.unlink()
            messages += receive_until(
                subscriber,
                lambda m: isinstance(m, Heartbeat) and m.journal.state is JournalState.ON,
            )
            daemon.signal(signal.SIGTERM)
            messages += receive_until(subscriber, lambda m: getattr(m, "state", None) == "stopped")
        assert daemon.wait() == 0
        feeder.join(PATIENCE_S)
    assert silence_s < 5.0, "the heartbeat goes on"
    sent = [m.seq for m in messages if not isinstance(m, Heartbeat) and m.seq >= first]
    assert sent == list(range(first, max(sent) + 1))
    assert journaled(state_of_its_own).keys() >= set(sent)
    assert gaps(state_of_its_own) == []


def next_heartbeat(subscriber: Subscriber, messages: list[AnyMessage]) -> Heartbeat:
    messages += receive_until(subscriber, lambda m: isinstance(m, Heartbeat))
    beat = messages.pop()
    assert isinstance(beat, Heartbeat)
    return beat


def test_it_stops_and_uses_no_number_again(
    bundle: Path, tmp_path: Path, library: Path, state_of_its_own: Path
) -> None:
    hold = tmp_path / "hold"
    variables = {"LD_PRELOAD": str(library), "HOLD": str(hold)}
    with process(*RUN, "--bundle", bundle, variables=variables) as daemon:
        address = daemon.log.event("listening")["on"][0]
        feed(daemon, beeping(120))
        with Subscriber(address, topics=["event/", "status/", "heartbeat/"]) as subscriber:
            receive_until(subscriber, lambda m: getattr(m, "kind", None) == "offset")
            hold.touch()
            messages = receive_until(
                subscriber,
                lambda m: isinstance(m, Heartbeat) and m.journal.state is JournalState.DEGRADED,
            )
            daemon.signal(signal.SIGTERM)
            began = time.monotonic()
            messages += receive_until(subscriber, lambda m: getattr(m, "state", None) == "stopped")
        daemon.wait()
        assert time.monotonic() - began < 20.0, "what systemd gives"
    last = max(m.seq for m in messages if not isinstance(m, Heartbeat))
    hold.unlink()
    with process(*RUN, "--bundle", bundle) as daemon:
        address = daemon.log.event("listening")["on"][0]
        with Subscriber(address, topics=["heartbeat/"]) as subscriber:
            (*_, beat) = receive_until(subscriber, lambda m: isinstance(m, Heartbeat))
        assert isinstance(beat, Heartbeat)
        assert beat.last_seq > last
