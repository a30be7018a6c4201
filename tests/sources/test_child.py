"""Child processes: what they write, and that none is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import psutil
import pytest

from streamsed.sources.child import ChildProcess
from tests.children import PATIENCE_S, assert_gone


@contextmanager
def python(code: str) -> Iterator[ChildProcess]:
    child = ChildProcess(sys.executable, "-I", "-S", "-c", code)
    try:
        yield child
    finally:
        child.stop()


def read_all(child: ChildProcess) -> bytes:
    found = b""
    while data := child.read(PATIENCE_S):
        found += data
    assert data is not None, "nothing comes"
    return found


def test_what_it_writes_and_how_it_ends() -> None:
    code = "import sys; print('audio'); print('[x @ 0x1] why\\n', file=sys.stderr); sys.exit(3)"
    with python(code) as child:
        assert read_all(child) == b"audio\n"
        assert child.wait() == 3
        assert child.error_lines == ["[x @ 0x1] why"]


def test_complaints_without_end_neither_block_it_nor_fill_memory() -> None:
    code = "import sys\nfor i in range(200_000): print('line', i, file=sys.stderr)\nprint('done')"
    with python(code) as child:
        assert read_all(child) == b"done\n"
        assert child.wait() == 0
        assert child.error_lines[-1] == "line 199999"
        assert len(child.error_lines) < 1000


@pytest.mark.parametrize("stopped", [False, True])
def test_one_that_does_not_end_when_asked_is_killed(stopped: bool) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(1, flush=True)"
    )
    with python(f"{code}\ntime.sleep(600)") as child:
        assert child.read(PATIENCE_S) == b"1\n"
        if stopped:
            psutil.Process(child.pid).suspend()
    assert not psutil.pid_exists(child.pid)


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux signals to a child that its parent died"
)
def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    code = (
        "from streamsed.sources.child import ChildProcess\n"
        "child = ChildProcess('sleep', '600'); print(child.pid, flush=True); child.read(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        child, deadline = psutil.Process(pid), monotonic() + PATIENCE_S
        while child.name() != "sleep":
            assert monotonic() < deadline, "the program does not begin"
        child.suspend()  # so that nothing but a signal ends it
        parent.send_signal(signal.SIGKILL)
    assert_gone(child)
