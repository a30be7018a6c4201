"""``streamsed-train recipe``: a paper's experiments, as a whole."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from streamsed.errors import ConfigError
from train.shipped import find_recipe

Device = Literal["auto", "cpu", "cuda"]


class Paper(StrEnum):
    """Papers whose experiments can be run."""

    JSS = "jss"


def recipe(
    paper: Annotated[Paper, typer.Argument(help="Whose experiments.")],
    grid: Annotated[bool, typer.Option("--grid", help="Run them; else they are listed.")] = False,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Data set in DESED's shape.")
    ] = None,
    fuss: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Mixtures in FUSS's shape; else those in --data."),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Instead of the paper's own grid.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the tables here; else print them.")
    ] = None,
    runs: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the runs.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop, to be resumed, after this.")] = None,
    device: Annotated[Device, typer.Option(help="To train and score with.")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that read clips.")] = 2,
) -> None:
    """Run all experiments of a paper and write its tables, with its own figures beside them.

    What is done is not done anew; what was stopped goes on when the same command is given again.
    """
    from rich.console import Console  # noqa: PLC0415

    from train.comparison.results import part_counts  # noqa: PLC0415
    from train.engine.machine import MachineConfig  # noqa: PLC0415
    from train.separation.experiments import Experiments, Measured, Unfinished  # noqa: PLC0415
    from train.separation.grid import load_grid  # noqa: PLC0415
    from train.separation.tables import page  # noqa: PLC0415

    file = find_recipe(plan or Path(paper) / "grid")
    loaded = load_grid(file)
    if not grid:
        for name in (*loaded.systems(), *loaded.fusions):
            typer.echo(name)
        return
    if data is None:
        raise ConfigError(f"{file}: learns from a data set in DESED's shape; give --data")
    counts = part_counts(data)
    experiments = Experiments(
        loaded,
        data=data,
        mixtures=fuss or data,
        runs=runs or Path("runs") / f"{paper}-grid",
        machine=MachineConfig(device=device, workers=workers),
        until=None if minutes is None else time.monotonic() + 60 * minutes,
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    measured: list[Measured] = []
    stopped = False
    try:
        for entry in experiments.measure():
            measured.append(entry)
            reached = entry.reached
            console.print(
                f"{entry.system} ({entry.selection}): PSDS1 {reached.psds1:.3f}, "
                f"PSDS2 {reached.psds2:.3f}, F1 {100 * reached.event_f1:.2f} %",
                markup=False,
            )
    except Unfinished as where:
        stopped = True
        console.print(f"{where}: stopped; the same command goes on", markup=False)
    text = page(loaded, measured, experiments.separated(), counts=counts)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        outcome = "to be resumed" if stopped else "done"
        typer.echo(f"{output}: {len(measured)} systems, {outcome}")
