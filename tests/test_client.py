"""What a program that subscribes or publishes may forget."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.sockets import PATIENCE_S

LEFT_IN_A_CYCLE = """
import gc
{imports}
class Cycle: pass
for _ in range(20):
    cycle = Cycle()
    cycle.itself, cycle.held = cycle, {made}
    del cycle
    gc.collect()
print("goes on")
"""
SUBSCRIBER = ("from streamsed.client import Subscriber", "Subscriber('tcp://127.0.0.1:9')")
PUBLISHER = (
    "from streamsed.publish.publisher import Publisher",
    "Publisher(['tcp://127.0.0.1:*'], heartbeat=None)",
)


@pytest.mark.parametrize(("imports", "made"), [SUBSCRIBER, PUBLISHER])
def test_a_socket_left_in_a_cycle_hangs_nobody(imports: str, made: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEFT_IN_A_CYCLE.format(imports=imports, made=made)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes on\n", "")
