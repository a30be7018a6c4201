"""Latency of onsets at a subscriber, over two minutes."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

import streamsed.bundle
from streamsed.bench.live import onset_latencies
from streamsed.cli.bench import latency_table

BUNDLE = Path("models/domestic")
SECONDS = 120.0


def main() -> None:
    """Feed a daemon in real time and print the table of ``streamsed bench``."""
    bundle = streamsed.bundle.load(BUNDLE)
    Console().print(latency_table(onset_latencies(bundle, seconds=SECONDS)))


if __name__ == "__main__":
    main()
