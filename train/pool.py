"""What processes of a pool do that the pool does not do for them."""

from __future__ import annotations

import os
from multiprocessing import parent_process
from threading import Thread


def end_with_parent() -> None:
    """End this process with its parent, however that ends: no pool tells one that it was killed."""
    Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
