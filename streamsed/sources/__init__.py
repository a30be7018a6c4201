"""Audio sources: anything that delivers :class:`~streamsed.sources.block.Block`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamsed.exports import lazy

if TYPE_CHECKING:
    from streamsed.sources.block import Block
    from streamsed.sources.protocol import EndOfSource, Source
    from streamsed.sources.resampled import ResampledSource

__all__ = [
    "Block",
    "EndOfSource",
    "ResampledSource",
    "Source",
]

__getattr__ = lazy(
    __name__,
    {
        "Block": "streamsed.sources.block",
        "EndOfSource": "streamsed.sources.protocol",
        "ResampledSource": "streamsed.sources.resampled",
        "Source": "streamsed.sources.protocol",
    },
)
