"""Start-up time of ten starts, and memory after an hour of audio."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from rich.console import Console

import streamsed.bundle
from streamsed.bench.live import footprint
from streamsed.cli.bench import footprint_table

BUNDLE = Path("models/domestic")
STARTS = 10
HOUR_S = 3600.0


def main() -> None:
    """Start a daemon again and again, then feed one an hour of audio at full speed."""
    bundle = streamsed.bundle.load(BUNDLE)
    starts = sorted(footprint(bundle, audio_s=20.0).start_up_s for _ in range(STARTS))
    console = Console()
    console.print(f"start-up: median {median(starts):.2f} s, slowest {starts[-1]:.2f} s")
    console.print(footprint_table(footprint(bundle, audio_s=HOUR_S)))


if __name__ == "__main__":
    main()
