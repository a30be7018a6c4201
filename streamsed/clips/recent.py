"""RecentAudio: the last seconds of a source, kept as it came."""

from __future__ import annotations

from collections import deque

from streamsed.sources.block import Block


class RecentAudio:
    """Holds a source's blocks until they are dropped; copies nothing.

    Audio that comes a second time is kept as it came first. Where audio was lost there is a gap
    between blocks.
    """

    def __init__(self) -> None:
        self._blocks: deque[Block] = deque()

    @property
    def first_sample(self) -> int:
        """Index of the oldest sample; of the next one while there is none."""
        return self._blocks[0].first_sample if self._blocks else 0

    @property
    def end_sample(self) -> int:
        """Index one past the newest sample."""
        return self._blocks[-1].end_sample if self._blocks else 0

    def append(self, block: Block) -> None:
        """Add a block, whose samples are not written to afterwards."""
        repeated = max(0, self.end_sample - block.first_sample) if self._blocks else 0
        if repeated < len(block.samples):
            self._blocks.append(_part(block, block.first_sample + repeated, block.end_sample))

    def between(self, first: int, end: int) -> list[Block]:
        """Return views of what there is of the samples from ``first`` to before ``end``."""
        found = []
        for block in reversed(self._blocks):  # mostly the newest is wanted
            if block.end_sample <= first:
                break
            if block.first_sample < end:
                found.append(
                    _part(block, max(first, block.first_sample), min(end, block.end_sample))
                )
        found.reverse()
        return found

    def drop(self, before: int) -> None:
        """Forget blocks that lie wholly before a sample."""
        while self._blocks and self._blocks[0].end_sample <= before:
            self._blocks.popleft()


def _part(block: Block, first: int, end: int) -> Block:
    if (first, end) == (block.first_sample, block.end_sample):
        return block
    return Block(block.samples[first - block.first_sample : end - block.first_sample], first)
