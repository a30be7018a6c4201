"""``streamsed-train``: fit models and export them as bundles."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from streamsed.errors import (
    BundleError,
    ConfigError,
    DataError,
    ProviderError,
    SourceError,
    SourceLost,
    StreamsedError,
)
from train.commands.export import export, latency
from train.commands.fit import fit
from train.commands.join import join
from train.commands.plan import compare, plan, recipe
from train.commands.pseudo_label import pseudo_label
from train.commands.regraph import regraph
from train.commands.separate import separate
from train.commands.soundscapes import soundscapes
from train.console import echo
from train.extra import missing, missing_packages_message
from train.postprocess.choices import DEFAULT_ETA, Censored, ObjectiveName, WindowMethod
from train.writing import DiskFull

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

_AT_START = (ConfigError, BundleError, ProviderError, SourceError, DataError)


@app.callback()
def _root() -> None:
    """Build streamsed's model bundles."""


@app.command()
def calibrate(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    recordings: Annotated[
        list[Path],
        typer.Option(help="Validation recordings: a file, folder or list; repeatable."),
    ],
    ground_truth: Annotated[
        Path, typer.Option(metavar="TSV", help="Their events: filename onset offset event_label.")
    ],
    objective: Annotated[
        ObjectiveName, typer.Option(help="What is fitted for.")
    ] = ObjectiveName.EVENT_F1,
    limit: Annotated[
        float | None,
        typer.Option(help="For false-alarms: the most an hour that each class may give."),
    ] = None,
    windows: Annotated[
        WindowMethod,
        typer.Option(
            help="Median windows: tried out, from event durations up to their knee "
            "(event-specific) or all (average), or as they are."
        ),
    ] = WindowMethod.SEARCH,
    training_labels: Annotated[
        Path | None,
        typer.Option(metavar="TSV", help="Labels of the training recordings, for windows."),
    ] = None,
    training_durations: Annotated[
        Path | None,
        typer.Option(
            metavar="TSV",
            help="Lengths of the recordings in --training-labels: events that fill theirs are "
            "noted, or left out.",
        ),
    ] = None,
    eta: Annotated[
        float, typer.Option(help="A window as a share of the mean duration.")
    ] = DEFAULT_ETA,
    censored: Annotated[
        Censored, typer.Option(help="Events that fill their recording, for windows.")
    ] = Censored.KEEP,
    folds: Annotated[
        int, typer.Option(help="Parts for the cross-validated figures; 0 for none.")
    ] = 2,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a new bundle, a folder.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Change the bundle in place.")] = False,
    version: Annotated[
        str | None, typer.Option(help="Version of the bundle that is written; else as it was.")
    ] = None,
) -> None:
    """Fit thresholds, hysteresis, durations and windows on recordings; show before and after.

    The recordings are replayed through the live pipeline. Nothing is written without -o or
    --write.
    """
    from train.postprocess.calibration import CalibrationConfig  # noqa: PLC0415
    from train.postprocess.command import Request, run  # noqa: PLC0415
    from train.postprocess.windows import Rule, WindowConfig  # noqa: PLC0415

    if output is not None and write:
        raise ConfigError("-o and --write exclude each other; give one")
    rule = Rule.MEAN if windows is WindowMethod.AVERAGE else Rule.KNEE
    run(
        Request(
            bundle=bundle,
            recordings=recordings,
            ground_truth=ground_truth,
            config=CalibrationConfig(
                objective=objective, limit_per_hour=limit, windows=windows, folds=folds
            ),
            window_config=WindowConfig(rule=rule, eta=eta, censored=censored),
            training_labels=training_labels,
            training_durations=training_durations,
            target=bundle if write else output,
            version=version,
        )
    )


app.command()(export)
app.command()(fit)
app.command()(latency)
app.command()(compare)
app.command()(join)
app.command()(plan)
app.command()(pseudo_label)
app.command()(recipe)
app.command()(regraph)
app.command()(separate)
app.command()(soundscapes)


def main() -> None:
    """Run the command; an error is a line, or one for each mistake.

    Exit code 2 if a user can mend it and try again, 1 if it failed on the way.
    """
    asks_for_help = len(sys.argv) < 2 or "--help" in sys.argv
    if not asks_for_help and (packages := missing()):
        _end([missing_packages_message(packages)], code=2)
    try:
        app()
    except StreamsedError as error:
        at_start = isinstance(error, _AT_START) and not isinstance(error, SourceLost | DiskFull)
        lines = error.mistakes if isinstance(error, ConfigError) else (str(error),)
        _end(lines, code=2 if at_start else 1)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("streamsed", "train"):
            raise
        _end([missing_packages_message([error.name])], code=2)


def _end(lines: Sequence[str], *, code: int) -> NoReturn:
    for line in lines:
        echo(f"streamsed-train: {' '.join(line.splitlines())}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
