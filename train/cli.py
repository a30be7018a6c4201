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


def main() -> None:
    """Run the command; an error that a user can mend is one line and exit code 2."""
    try:
        app()
    except StreamsedError as error:
        typer.echo(f"streamsed-train: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
