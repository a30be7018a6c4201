"""What processes of a pool do that the pool does not do for them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from multiprocessing import parent_process
from threading import Thread

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """End this process with its parent, however that ends: a pool's processes outlive its kill.

    Where the kernel can be asked to see to it, it is: a thread of this process waits as long as
    computing or a system call keeps it from running.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = parent_process()
    if parent is None:
        return
    if sys.platform == "linux" and os.getppid() != parent.pid:
        os._exit(1)  # it ended before it was asked
    Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
