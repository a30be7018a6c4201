"""``streamsed-train compare``: train the recipes of a comparison and hold them side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def compare(
    comparison: Annotated[Path, typer.Argument(help="What to compare, a YAML file.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Data set in DESED's shape, with audio and metadata."),
    ] = None,
    bank: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Recording bank, to mix the comparison's own data from."),
    ] = None,
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

    The data is --data, or mixed from --bank to the runs' folder as the comparison says.

    A comparison that was stopped goes on when the same command is given again; what is done is
    not done anew. What each run says stands in its folder, in fit.log.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    from streamsed.errors import ConfigError  # noqa: PLC0415
    from train.comparison.plan import load_comparison  # noqa: PLC0415
    from train.comparison.results import page, part_counts  # noqa: PLC0415
    from train.comparison.training import Place  # noqa: PLC0415
    from train.comparison.training import compare as train_all  # noqa: PLC0415
    from train.data.bank import Bank  # noqa: PLC0415
    from train.data.sets.scenes import CACHE  # noqa: PLC0415
    from train.shipped import find_recipe  # noqa: PLC0415

    comparison = find_recipe(comparison)
    plan = load_comparison(comparison)
    folder, jobs = runs or Path("runs") / comparison.stem, jobs or os.cpu_count() or 1
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if (data is None) == (bank is None):
        raise ConfigError("give --data, a data set, or --bank, to mix one from")
    if bank is not None:
        data = folder / "data"
        count = plan.data_set.count if plan.data_set is not None else None
        with Progress(console=console) as bar:
            task = bar.add_task("mixing", total=count)
            plan.mix(
                data,
                bank=Bank.open(bank),
                cache=CACHE,
                jobs=jobs,
                progress=lambda count: bar.advance(task, count),
            )
    assert data is not None
    place = Place(data=data, runs=folder, cache=cache or folder / "mels")
    measured = {}
    total = len(list(plan.runs()))
    for run, figures in train_all(plan, place, jobs=jobs):
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
