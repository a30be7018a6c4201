"""Streaming resampling that keeps the sample clock."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

import numpy as np
import soxr
from numpy.typing import NDArray

from streamsed.sources.block import Block


class Resampler:
    """Carries blocks from a device's clock over to the delivered one.

    Output sample ``i`` lies at time ``i / out_rate``, where input sample ``j`` lies at
    ``j / in_rate``: soxr's linear-phase filter delay is taken out, and stays out over any length.
    An unbroken run of input samples ``[a, b)`` gives exactly the output samples
    ``[round(a * out_rate / in_rate), round(b * out_rate / in_rate))``, whatever the block sizes.

    A gap in the input ends a run and begins another, so that the output has the same gap.
    Equal rates pass blocks through untouched. Not thread-safe.
    """

    def __init__(self, in_rate: int, out_rate: int) -> None:
        self.in_rate = in_rate
        self.out_rate = out_rate
        # Every so many input samples an output sample falls exactly on an input sample.
        self._period = in_rate // gcd(in_rate, out_rate)
        self._stream = None if in_rate == out_rate else soxr.ResampleStream(in_rate, out_rate, 1)
        self._in_end: int | None = None  # end of the current run; None between runs
        self._run_start = 0  # first output sample of the current run
        self._out_next = 0  # index of the next sample that soxr returns

    def out_index(self, in_index: int) -> int:
        """Nearest output sample to an input sample; exact at any magnitude."""
        return round(Fraction(in_index * self.out_rate, self.in_rate))

    def push(self, block: Block) -> tuple[Block, ...]:
        """Resample one block of ``(n,)`` float32 at ``in_rate``; its index counts input samples."""
        if self._stream is None:
            return (block,) if len(block.samples) else ()
        blocks: list[Block] = []
        if block.first_sample != self._in_end:
            assert self._in_end is None or block.first_sample > self._in_end
            blocks += self.flush()
            blocks += self._begin(block.first_sample)
        samples = np.ascontiguousarray(block.samples, dtype=np.float32)
        blocks += self._emit(self._stream.resample_chunk(samples))
        self._in_end = block.end_sample
        return tuple(blocks)

    def flush(self) -> tuple[Block, ...]:
        """End the current run: return what the filter still holds. Without a run, nothing."""
        if self._stream is None or self._in_end is None:
            return ()
        tail = self._stream.resample_chunk(np.empty(0, np.float32), last=True)
        missing = self.out_index(self._in_end) - self._out_next
        # soxr's own rounding of the length may differ by a sample from ours.
        tail = np.pad(tail[:missing], (0, max(0, missing - len(tail))))
        self._stream.clear()
        self._in_end = None
        return self._emit(tail)

    def _begin(self, first: int) -> tuple[Block, ...]:
        """Start a run at input sample ``first``.

        The filter is started a little earlier, on zeros, at an input sample on which an output
        sample falls: so the phase of the output grid is exact and no input is lost.
        """
        assert self._stream is not None
        lead = first % self._period
        self._run_start = self.out_index(first)
        self._out_next = (first - lead) * self.out_rate // self.in_rate
        self._in_end = first
        if not lead:
            return ()
        return self._emit(self._stream.resample_chunk(np.zeros(lead, np.float32)))

    def _emit(self, samples: NDArray[np.float32]) -> tuple[Block, ...]:
        """Place soxr's output on the output clock, without what precedes the run."""
        first = self._out_next
        self._out_next += len(samples)
        early = max(0, self._run_start - first)
        if early >= len(samples):
            return ()
        return (Block(samples[early:], first + early),)
