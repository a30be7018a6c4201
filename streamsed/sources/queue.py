"""BlockQueue: audio across one thread boundary, bounded by samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition
from time import monotonic

from streamsed.sources.block import Block


class BlockQueue:
    """First in, first out, never more than ``max_samples`` samples.

    When it is full, a ``live`` queue drops its oldest blocks and counts their samples; the jump
    in ``first_sample`` shows the consumer where. Any other queue makes :meth:`put` wait, and so
    does a live one that is given time.

    Every method may be called from any thread; order is kept for one producer and one consumer.
    A consumer of many queues gives all of them the same ``notify`` (such as the ``set`` of one
    Event), clears the event, polls every queue with ``get(0)``, and waits for the event only
    if all were empty.

    Attributes:
        max_samples: the bound.
        live: which of the two behaviours.
    """

    def __init__(
        self, max_samples: int, *, live: bool, notify: Callable[[], object] | None = None
    ) -> None:
        """Make an empty queue.

        Args:
            max_samples: at least 1.
            live: whether to drop the oldest audio rather than wait.
            notify: called after every block put and on close, without the queue's lock; must
                not block.
        """
        if max_samples < 1:
            raise ValueError(f"max_samples must be at least 1, not {max_samples}")
        self.max_samples = max_samples
        self.live = live
        self._notify = notify or (lambda: None)
        self._changed = Condition()
        self._blocks: deque[Block] = deque()
        self._samples = 0
        self._dropped_samples = 0
        self._closed = False

    def put(self, block: Block, timeout_s: float | None = None) -> bool:
        """Append a block; cut in parts where it is longer than the whole queue.

        Args:
            block: not empty.
            timeout_s: how long to wait for space. None is for ever, and not at all if live.

        Returns:
            Whether all of it was taken: False when the queue is closed, or the time is over and
            the queue is not live.
        """
        deadline = None if timeout_s is None else monotonic() + timeout_s
        for start in range(0, len(block.samples), self.max_samples):
            samples = block.samples[start : start + self.max_samples]
            if not self._put_part(Block(samples, block.first_sample + start), deadline):
                return False
            self._notify()
        return True

    def _put_part(self, part: Block, deadline: float | None) -> bool:
        room = self.max_samples - len(part.samples)
        with self._changed:
            while self._samples > room and not self._closed:
                left_s = None if deadline is None else deadline - monotonic()
                if self.live and (left_s is None or left_s <= 0):
                    self._dropped_samples += len(self._pop().samples)
                elif left_s is not None and left_s <= 0:
                    return False
                else:
                    self._changed.wait(left_s)
            if self._closed:
                return False
            self._blocks.append(part)
            self._samples += len(part.samples)
            self._changed.notify_all()
        return True

    def get(self, timeout_s: float) -> Block | None:
        """Remove and return the oldest block.

        Returns None when none came within ``timeout_s`` seconds, or the queue is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._closed, timeout_s)
            if not self._blocks:
                return None
            block = self._pop()
            self._changed.notify_all()
            return block

    def close(self) -> None:
        """Take no more blocks, and wake all who wait; what is queued can still be got."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._notify()

    @property
    def samples(self) -> int:
        """Samples queued now."""
        return self._samples

    @property
    def dropped_samples(self) -> int:
        """Samples dropped so far because the queue was full; 0 for ever unless live."""
        return self._dropped_samples

    @property
    def drained(self) -> bool:
        """Whether the queue is closed and everything was got."""
        with self._changed:
            return self._closed and not self._blocks

    def _pop(self) -> Block:
        block = self._blocks.popleft()
        self._samples -= len(block.samples)
        return block
