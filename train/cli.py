"""``streamsed-train``: fit models and export them as bundles."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from streamsed.errors import StreamsedError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

BankOption = Annotated[Path, typer.Option(help="Recording bank: a folder with bank.tsv.")]
RecipeOption = Annotated[Path, typer.Option(help="Recipe whose scenes are mixed.")]
ScenesOption = Annotated[int, typer.Option(min=1, help="Scenes of each validation set.")]
WorkersOption = Annotated[int, typer.Option(min=0, help="Processes that mix scenes.")]


@app.callback()
def _root() -> None:
    """Build streamsed's model bundles."""


@app.command()
def fit(
    recipe: Annotated[Path, typer.Argument(help="Recipe, a YAML file.")],
    bank: BankOption,
    output: Annotated[Path | None, typer.Option("-o", help="Folder of the run.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop, to be resumed, after this.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    workers: WorkersOption = 2,
) -> None:
    """Train the models of a recipe; a run that was stopped goes on where it was."""
    import torch  # noqa: PLC0415  (seconds to import; --help should not wait)

    from train.data.bank import Bank  # noqa: PLC0415
    from train.fit import Run  # noqa: PLC0415
    from train.recipe import load_recipe  # noqa: PLC0415

    until = time.monotonic() + minutes * 60 if minutes else None
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_recipe(recipe)
    recordings = Bank.open(bank)
    recordings.preload()
    folder = output or Path("runs") / loaded.name
    run = Run(loaded, bank=recordings, folder=folder, device=device, workers=workers)
    done = run.fit(until=until)
    outcome = "done" if done else "to be resumed"
    typer.echo(f"{folder}: step {run.step} of {loaded.training.steps}, {outcome}")


@app.command()
def export(
    checkpoints: Annotated[list[Path], typer.Argument(help="Checkpoints, one a member.")],
    output: Annotated[Path, typer.Option("-o", help="Folder of the bundle, e.g. models/NAME.")],
    bank: BankOption,
    recipe: RecipeOption = Path("train/recipes/domestic.yaml"),
    scenes: ScenesOption = 500,
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1",
) -> None:
    """Calibrate checkpoints on validation scenes and write them as a bundle."""
    from train.assemble import assemble  # noqa: PLC0415
    from train.checkpoint import load_model  # noqa: PLC0415
    from train.data.bank import Bank  # noqa: PLC0415
    from train.recipe import load_recipe  # noqa: PLC0415

    assemble(
        [(path.name.split(".")[0], load_model(path)) for path in checkpoints],
        folder=output,
        recipe=load_recipe(recipe),
        recipe_file=str(recipe),
        bank=Bank.open(bank),
        scenes=scenes,
        version=version,
    )


@app.command()
def measure(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    bank: BankOption,
    recipe: RecipeOption = Path("train/recipes/domestic.yaml"),
    scenes: ScenesOption = 500,
) -> None:
    """Print what a bundle reaches on validation scenes, as its card does."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from train import measure as measuring  # noqa: PLC0415
    from train.assemble import REPORT_SEED, validation_scenes  # noqa: PLC0415
    from train.data.bank import Bank  # noqa: PLC0415
    from train.recipe import load_recipe  # noqa: PLC0415

    mixed = validation_scenes(Bank.open(bank), load_recipe(recipe), seed=REPORT_SEED, count=scenes)
    figures = measuring.measure(bundle, mixed)
    table = Table(
        "class", "events", "event F1", "intersection F1", "PSDS1", "PSDS2", "false alarms/h"
    )
    for label, f in figures.classes.items():
        values = (f.event_f1, f.intersection_f1, f.psds1, f.psds2)
        cells = [f"{value:.3f}" for value in values]
        table.add_row(label, str(f.events), *cells, f"{f.false_alarms_per_hour:.1f}")
    totals = (figures.event_f1, figures.intersection_f1, figures.psds1, figures.psds2)
    table.add_section()
    table.add_row("all (macro F1, PSDS)", "", *(f"{value:.3f}" for value in totals), "")
    Console().print(table)


def main() -> None:
    """Run the command; an error that a user can mend is one line and exit code 2."""
    try:
        app()
    except StreamsedError as error:
        typer.echo(f"streamsed-train: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
