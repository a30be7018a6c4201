"""A time limit for work in foreign code, which may never come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(
    limit_s: float, work: Callable[[], T], *, give_up: Callable[[], None] = lambda: None
) -> T:
    """Do something in a thread of its own, and wait for it so long; signals are handled meanwhile.

    Args:
        limit_s: how long.
        work: what.
        give_up: called when the time is over, to end the work if that can be done; its thread
            never keeps the process from ending.

    Returns:
        What ``work`` returned.

    Raises:
        TimeoutError: the time is over.
        BaseException: what ``work`` raised.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="limited", daemon=True)
    thread.start()
    try:
        thread.join(limit_s)
    except BaseException:
        give_up()
        raise
    if failures:
        raise failures[0]
    if not results:
        give_up()
        raise TimeoutError
    return results[0]
