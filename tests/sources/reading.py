"""Reading a source to its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import SourceLost
from streamsed.sources.block import Block
from streamsed.sources.protocol import EndOfSource, Source

RATE = 16_000


@dataclass(frozen=True)
class Reading:
    """All that a source delivered, and how it ended."""

    blocks: list[Block]
    end: EndOfSource | SourceLost

    @property
    def samples(self) -> NDArray[np.float32]:
        """The blocks joined, which must have no gap."""
        index = 0
        for block in self.blocks:
            assert block.first_sample == index
            index = block.end_sample
        return np.concatenate([np.empty(0, np.float32), *(block.samples for block in self.blocks)])


def read_on(source: Source) -> Reading:
    """Read an open source to its end, and close it."""
    blocks: list[Block] = []
    try:
        while True:
            block = source.read(10.0)
            assert block is not None, "nothing within ten seconds"
            assert block.samples.dtype == np.float32
            assert block.samples.ndim == 1
            assert len(block.samples)
            blocks.append(block)
    except (EndOfSource, SourceLost) as end:
        return Reading(blocks, end)
    finally:
        source.close()


def read_all(source: Source, rate: int = RATE) -> Reading:
    """Open a source, read it to its end, and close it."""
    source.open(rate)
    return read_on(source)


def one_line(error: BaseException, *parts: str) -> bool:
    """Whether an error's message is a single line that has every one of the parts."""
    text = str(error)
    return "\n" not in text and all(part in text for part in parts)
