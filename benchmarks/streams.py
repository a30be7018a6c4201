"""Streams that one core sustains, by the number that one inference computes together."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

import streamsed.bundle
from streamsed.bench.throughput import measure_throughput

BUNDLE = Path("models/domestic")
BATCHES = (1, 4, 8, 16, 32, 64)
BUDGET_S = 30.0


def main() -> None:
    """Measure each batch size for half a minute."""
    bundle = streamsed.bundle.load(BUNDLE)
    table = Table("batch", "streams by p99", "by processor", "p50 ms a round", "p99", title=__doc__)
    for batch in BATCHES:
        found = measure_throughput(bundle, budget_s=BUDGET_S, max_batch=batch)
        p50, p99 = (f"{1e3 * found.full.quantile(share):.1f}" for share in (0.5, 0.99))
        table.add_row(str(batch), str(found.sustained), str(found.by_processor), p50, p99)
    Console().print(table)


if __name__ == "__main__":
    main()
