"""What measuring levels adds to detection, in a minute: the same rounds with and without, in turn.

A round is a step of every stream. Both kinds alternate, so that whatever else the machine does
falls on both; of each kind the fastest tenth counts, which was disturbed the least.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import streamsed.bundle
from streamsed.bench.throughput import Workload, one_core
from streamsed.detect.engine import Engine

BUNDLE = Path("models/domestic")
STREAMS = (1, 8, 32)
SECONDS = 20.0


def main() -> None:
    """Measure each number of streams for twenty seconds."""
    bundle = streamsed.bundle.load(BUNDLE)
    table = Table("streams", "without, ms a round", "with", "share of levels", title=__doc__)
    with one_core():
        for streams in STREAMS:
            works = [
                Workload(Engine(bundle, provider="cpu", threads=1), level_every_s=every_s)
                for every_s in (0.0, 1.0)
            ]
            seconds: tuple[list[float], list[float]] = ([], [])
            for work in works:
                work.grow(streams)
                work.round(streams)
            while sum(map(sum, seconds)) < SECONDS:
                for work, taken in zip(works, seconds, strict=True):
                    taken.append(work.round(streams))
            without, measured = (1e3 * float(np.quantile(taken, 0.1)) for taken in seconds)
            share = f"{measured / without - 1.0:.1%}"
            table.add_row(str(streams), f"{without:.3f}", f"{measured:.3f}", share)
    Console().print(table)


if __name__ == "__main__":
    main()
