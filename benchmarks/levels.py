"""What measuring levels adds to detection: its share of the time of a round; half a minute.

A round is a step of every stream. The meter is timed inside the rounds, so that whatever else the
machine does falls on both.
"""

from __future__ import annotations

import time
from pathlib import Path

from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import streamsed.bundle
from streamsed.bench.throughput import Workload, one_core
from streamsed.detect.engine import Engine
from streamsed.detect.level import LevelMeter, LevelReport

BUNDLE = Path("models/domestic")
STREAMS = (1, 8, 32)
SECONDS = 10.0


class Stopwatch:
    """Times every measurement of a level while it is in place."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.chunks = 0
        self._add = LevelMeter.add
        LevelMeter.add = self._timed_add()  # type: ignore[method-assign]

    def _timed_add(self) -> object:
        def add(
            meter: LevelMeter, chunk: NDArray, scores: NDArray, *, end_sample: int
        ) -> LevelReport | None:
            begin = time.perf_counter()
            report = self._add(meter, chunk, scores, end_sample=end_sample)
            self.seconds += time.perf_counter() - begin
            self.chunks += 1
            return report

        return add

    def remove(self) -> None:
        """Put the meter back as it was."""
        LevelMeter.add = self._add  # type: ignore[method-assign]


def main() -> None:
    """Measure each number of streams for ten seconds."""
    bundle = streamsed.bundle.load(BUNDLE)
    table = Table("streams", "a round, ms", "a level, µs", "share of levels")
    with one_core():
        for streams in STREAMS:
            work = Workload(Engine(bundle, provider="cpu", threads=1))
            work.grow(streams)
            work.round(streams)
            watch, rounds, taken = Stopwatch(), 0, 0.0
            while taken < SECONDS:
                taken += work.round(streams)
                rounds += 1
            watch.remove()
            table.add_row(
                str(streams),
                f"{1e3 * taken / rounds:.2f}",
                f"{1e6 * watch.seconds / watch.chunks:.1f}",
                f"{watch.seconds / taken:.1%}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
