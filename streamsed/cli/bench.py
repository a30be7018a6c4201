"""``streamsed bench``: what this machine can do with a bundle."""

from __future__ import annotations

from statistics import median, quantiles
from typing import TYPE_CHECKING, Annotated

import typer

from streamsed.cli.options import BundleOption
from streamsed.printable import printable

if TYPE_CHECKING:
    from rich.table import Table

    from streamsed.bench.live import Footprint, OnsetLatency
    from streamsed.bench.throughput import Throughput

_DISTURBED = 0.05


def bench(
    *,
    bundle: BundleOption = None,
    seconds: Annotated[
        float, typer.Option(min=1.0, max=3600.0, help="About how long to measure.")
    ] = 25.0,
) -> None:
    """Measure streams a core, latency, start-up time and memory on this machine's CPU.

    Thresholds are set to 0 for it, so that any audio gives events; everything else is as in the
    bundle. Longer is steadier; other work on the machine makes the figures worse.
    """
    from rich.console import Console

    import streamsed.bundle
    from streamsed.bench.live import footprint, onset_latencies
    from streamsed.bench.throughput import measure_throughput
    from streamsed.bundle import DEFAULT_BUNDLE, find_bundle

    loaded = streamsed.bundle.load(find_bundle(bundle or DEFAULT_BUNDLE))
    manifest = loaded.manifest
    console = Console(highlight=False)
    head = f"bundle {manifest.name} {manifest.version}, {len(manifest.classes)} classes"
    console.print(printable(head), markup=False)
    with console.status("streams on one core") as status:
        throughput = measure_throughput(loaded, budget_s=0.5 * seconds)
        console.print(throughput_table(throughput))
        status.update("latency of onsets")
        console.print(latency_table(onset_latencies(loaded, seconds=2.0 + 0.3 * seconds)))
        status.update("start-up and memory")
        console.print(footprint_table(footprint(loaded, audio_s=24.0 * seconds)))


def throughput_table(throughput: Throughput) -> Table:
    """Streams that one core sustains, and how long their rounds take."""
    table = _table(f"One core, a hop of {throughput.hop_s:g} s", "", "streams", "p50 ms", "p99 ms")
    rows = (
        ("one stream", 1, throughput.single),
        ("sustained: p99 within the hop", throughput.sustained, throughput.full),
    )
    for name, streams, measured in rows:
        p50, p99 = (f"{1e3 * measured.quantile(share):.2f}" for share in (0.5, 0.99))
        table.add_row(name, str(streams), p50, p99)
    table.add_row("by processor time alone", str(throughput.by_processor), "", "")
    lost = 1.0 - throughput.full.processor_share
    if lost > _DISTURBED:
        table.caption = (
            f"Others had the core for {lost:.0%} of the time: measure on an idle machine."
        )
    return table


def latency_table(onsets: list[OnsetLatency]) -> Table:
    """From the onset in the audio to the message at a subscriber, by class; medians."""
    from rich.markup import escape

    parts = ("look_ahead_s", "median_s", "min_on_s", "hop_s", "compute_s", "transport_s", "total_s")
    table = _table(
        "Latency of an onset in ms: medians, and the 99th percentile of the total",
        "class",
        *("look\nahead", "half\nmedian", "min\non", "hop", "com-\npute", "send", "total"),
        "p99",
    )
    for label in sorted({onset.label for onset in onsets}):
        mine = [onset for onset in onsets if onset.label == label]
        middle = [1e3 * median(getattr(o, part) for o in mine) for part in parts]
        shown = (
            f"{ms:.1f}" if part in ("compute_s", "transport_s") else f"{ms:.0f}"
            for part, ms in zip(parts, middle, strict=True)
        )
        totals = [o.total_s for o in mine]
        p99 = quantiles(totals, n=100)[-1] if len(totals) > 1 else totals[0]
        table.add_row(escape(printable(label)), *shown, f"{1e3 * p99:.0f}")
    return table


def footprint_table(found: Footprint) -> Table:
    """Start-up time and memory of a daemon with one source."""
    table = _table("A daemon with one source", "", "")
    table.add_row("process start to the first block's events", f"{found.start_up_s:.2f} s")
    minutes = found.audio_s / 60.0
    table.add_row(f"resident after {minutes:.0f} min of audio", f"{found.resident_mb:.0f} MB")
    table.add_row("speed", f"{found.speed:.0f} x real time")
    return table


def _table(title: str, *columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        show_header=any(columns),
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    return table
