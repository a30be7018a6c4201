"""The queue between reader and engine threads."""

from __future__ import annotations

from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.sources.block import Block
from streamsed.sources.queue import BlockQueue


def block(first: int, n: int) -> Block:
    """Samples whose values are their own indices."""
    return Block(np.arange(first, first + n, dtype=np.float32), first)


@given(
    bound=st.integers(1, 50),
    steps=st.lists(st.integers(0, 80), max_size=60),  # 0: get; otherwise: put so many samples
)
def test_a_live_queue_is_bounded_and_loses_only_the_oldest(bound: int, steps: list[int]) -> None:
    queue = BlockQueue(bound, live=True)
    put = got = end = 0
    for n in steps:
        if n:
            assert queue.put(block(put, n))
            put += n
        elif (oldest := queue.get(0)) is not None:
            assert oldest.first_sample >= end
            np.testing.assert_array_equal(
                oldest.samples, np.arange(oldest.first_sample, oldest.end_sample)
            )
            end = oldest.end_sample
            got += len(oldest.samples)
        assert queue.samples <= bound
        assert put == got + queue.samples + queue.dropped_samples
    newest = None
    while (oldest := queue.get(0)) is not None:
        newest = oldest
    assert newest is None or newest.end_sample == put


@given(bound=st.integers(1, 50), sizes=st.lists(st.integers(1, 80), max_size=30))
@settings(max_examples=30, deadline=None)
def test_any_other_queue_waits_and_loses_nothing(bound: int, sizes: list[int]) -> None:
    queue = BlockQueue(bound, live=False)

    def produce() -> None:
        first = 0
        for n in sizes:
            assert queue.put(block(first, n))
            first += n
        queue.close()

    producer = Thread(target=produce)
    producer.start()
    index = 0
    while not queue.drained:
        if (oldest := queue.get(10.0)) is not None:
            assert queue.samples <= bound
            assert oldest.first_sample == index
            index = oldest.end_sample
    producer.join(10.0)
    assert index == sum(sizes)
    assert queue.dropped_samples == 0


@pytest.mark.parametrize("live", [True, False])
def test_closing_refuses_more_and_keeps_what_is_there(live: bool) -> None:
    queue = BlockQueue(10, live=live)
    assert queue.put(block(0, 4))
    queue.close()
    queue.close()
    assert not queue.put(block(4, 4))
    assert not queue.drained
    assert queue.get(0) is not None
    assert queue.drained
    assert queue.get(60.0) is None


def test_closing_wakes_a_producer_and_a_consumer() -> None:
    full, empty = BlockQueue(1, live=False), BlockQueue(1, live=False)
    assert full.put(block(0, 1))
    results: list[object] = []
    threads = [
        Thread(target=lambda: results.append(full.put(block(1, 1)))),
        Thread(target=lambda: results.append(empty.get(60.0))),
    ]
    for thread in threads:
        thread.start()
    full.close()
    empty.close()
    for thread in threads:
        thread.join(10.0)
        assert not thread.is_alive()
    assert set(results) == {False, None}


def test_put_gives_up_after_its_time() -> None:
    queue = BlockQueue(1, live=False)
    assert queue.put(block(0, 1))
    assert not queue.put(block(1, 1), timeout_s=0)
    assert queue.samples == 1


def test_one_thread_waits_for_many_queues() -> None:
    ready = Event()
    queues = [BlockQueue(100, live=False, notify=ready.set) for _ in range(5)]

    def produce(queue: BlockQueue) -> None:
        for first in range(0, 1000, 10):
            assert queue.put(block(first, 10))
        queue.close()

    threads = [Thread(target=produce, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    ends = [0] * len(queues)
    while not all(queue.drained for queue in queues):
        assert ready.wait(10.0), "no notification of audio"
        ready.clear()
        for index, queue in enumerate(queues):
            while (oldest := queue.get(0)) is not None:
                assert oldest.first_sample == ends[index]
                ends[index] = oldest.end_sample
    for thread in threads:
        thread.join(10.0)
    assert ends == [1000] * len(queues)


def test_the_bound_is_at_least_one_sample() -> None:
    with pytest.raises(ValueError, match="max_samples"):
        BlockQueue(0, live=True)


def test_a_live_queue_waits_for_room_if_it_is_given_time() -> None:
    queue = BlockQueue(10, live=True)
    queue.put(block(0, 10))
    taker = Thread(target=lambda: queue.get(10.0))
    putter = Thread(target=lambda: queue.put(block(10, 5), 30.0))
    putter.start()
    taker.start()
    putter.join(20.0)
    taker.join(20.0)
    assert not putter.is_alive()
    assert queue.dropped_samples == 0
    assert queue.put(block(15, 10), 0.0)
    assert queue.dropped_samples == 5
