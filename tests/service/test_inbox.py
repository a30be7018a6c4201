"""The inbox: nothing is missed, and it does not grow while nobody looks."""

from __future__ import annotations

import threading

from streamsed.service.inbox import Inbox
from tests.sockets import PATIENCE_S


def test_each_is_named_once_in_order_of_arrival() -> None:
    inbox: Inbox[str] = Inbox()
    for _ in range(10_000):  # while the one who takes is held up
        inbox.put("b")
        inbox.put("a")
    assert len(inbox) == 2
    assert inbox.take(wait=True) == ["b", "a"]
    assert inbox.take(wait=False) == []


def test_nothing_that_is_put_while_it_is_taken_is_missed() -> None:
    inbox: Inbox[int] = Inbox()
    count, putters = 4000, 3
    seen: set[int] = set()

    def put(putter: int) -> None:
        for number in range(putter, count, putters):
            inbox.put(number)

    def take() -> None:
        while len(seen) < count:
            seen.update(inbox.take(wait=True))

    threads = [threading.Thread(target=put, args=(i,), daemon=True) for i in range(putters)]
    threads.append(threading.Thread(target=take, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(seen) == count
