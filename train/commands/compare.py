"""``streamsed-train compare``: train the recipes of a comparison and hold them side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def compare(
    comparison: Annotated[Path, typer.Argument(help="What to compare, a YAML file.")],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Data set in DESED's shape, with audio, metadata.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the page here; else print it.")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs; else runs/NAME.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Mel bands, computed once; else in --runs.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, help="Runs at a time; 0 is one a processor core.")
    ] = 0,
) -> None:
    """Train every run of a comparison, measure it on validation clips, and write a page.

    A comparison that was stopped goes on when the same command is given again; what is done is
    not done anew. What each run says stands in its folder, in fit.log.
    """
    from rich.console import Console  # noqa: PLC0415

    from train.comparison.plan import load_comparison  # noqa: PLC0415
    from train.comparison.results import page, part_counts  # noqa: PLC0415
    from train.comparison.training import Place  # noqa: PLC0415
    from train.comparison.training import compare as train_all  # noqa: PLC0415

    plan = load_comparison(comparison)
    folder = runs or Path("runs") / comparison.stem
    place = Place(data=data, runs=folder, cache=cache or folder / "mels")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    measured = {}
    total = len(list(plan.runs()))
    for run, figures in train_all(plan, place, jobs=jobs or os.cpu_count() or 1):
        if figures is None:
            console.print(f"{folder / run.name}: stopped, to be resumed", markup=False)
            continue
        measured[run.name] = figures
        best = max(entry.reached.psds1 for entry in figures)
        console.print(
            f"{folder / run.name}: done, {len(measured)} of {total}; PSDS1 {best:.3f}",
            markup=False,
        )
    text = page(plan, measured, counts=part_counts(data))
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        typer.echo(f"{output}: {len(measured)} of {total} runs")
