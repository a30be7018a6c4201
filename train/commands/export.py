"""``streamsed-train export`` and ``latency``: from checkpoints to a bundle, or its curve alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamsed.errors import ConfigError
from train.console import PrintableConsole, echo

if TYPE_CHECKING:
    from train.ensemble import Ensemble
    from train.held_out import HeldOut

CheckpointsArgument = Annotated[list[Path], typer.Argument(help="Checkpoints, one a member.")]
WeightsOption = Annotated[
    str | None, typer.Option(metavar="W,W...", help="Of the members in their mean; else equal.")
]
RecipeOption = Annotated[
    Path | None, typer.Option(help="Recipe that names what to fit on; else that of the run.")
]
DataOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Data set of the recipe; else that of the run.")
]
BankOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Bank of a recipe of scenes; else the run's.")
]


def export(
    checkpoints: CheckpointsArgument,
    output: Annotated[Path, typer.Option("-o", help="Folder of the bundle, e.g. models/NAME.")],
    latency: Annotated[
        float | None,
        typer.Option(metavar="S", help="Look ahead at most so far; else by the models."),
    ] = None,
    weights: WeightsOption = None,
    recipe: RecipeOption = None,
    data: DataOption = None,
    bank: BankOption = None,
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1",
    tag_threshold: Annotated[
        float | None,
        typer.Option(help="Gate every class by the mean of the members' tags; else no tags."),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML", help="Laid over the models, by kind: `mlfl: {detection: branch}`."
        ),
    ] = None,
) -> None:
    """Write checkpoints as a bundle: fitted, checked, measured, with a card.

    Thresholds and windows are fitted, and figures reported, on what the recipe names under
    postprocessing.
    """
    from train.assemble import assemble  # noqa: PLC0415

    ensemble, held_out = _read(
        checkpoints,
        weights,
        recipe,
        data,
        bank,
        latency=latency,
        tag_threshold=tag_threshold,
        models=models,
    )
    reached = assemble(ensemble, held_out, output, latency_s=latency, version=version).overall
    echo(
        f"{output}: PSDS1 {reached.psds1:.3f}, PSDS2 {reached.psds2:.3f}, "
        f"event F1 {reached.event_f1:.3f}, intersection F1 {reached.intersection_f1:.3f}"
    )


def latency(
    checkpoints: CheckpointsArgument,
    weights: WeightsOption = None,
    recipe: RecipeOption = None,
    data: DataOption = None,
    bank: BankOption = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the curve as well.")
    ] = None,
) -> None:
    """Show accuracy against look-ahead, which windowed models choose at export.

    Thresholds and windows are fitted once, with the look-ahead that the models have by default.
    """
    from rich.table import Table  # noqa: PLC0415

    from train.latency import FIGURES, curve_rows, draw_latency, latency_curve  # noqa: PLC0415
    from train.rules import fit_rules  # noqa: PLC0415

    ensemble, held_out = _read(checkpoints, weights, recipe, data, bank)
    if not ensemble.windowed:
        raise ConfigError(
            f"{checkpoints[0]}: the look-ahead is trained in and cannot be chosen; "
            "a windowed model would be right"
        )
    with tempfile.TemporaryDirectory() as folder:
        ensemble.write(Path(folder) / "unfitted", ensemble.look_ahead(None))
        fitted = fit_rules(Path(folder) / "unfitted", held_out)
    points = latency_curve(ensemble, held_out, postprocessing=fitted.rules)
    table = Table("look-ahead s", *FIGURES.values())
    for row in curve_rows(points):
        table.add_row(*row)
    PrintableConsole().print(table)
    if picture is not None:
        draw_latency(points, picture)


def _read(
    checkpoints: list[Path],
    weights: str | None,
    recipe: Path | None,
    data: Path | None,
    bank: Path | None,
    *,
    latency: float | None = None,
    tag_threshold: float | None = None,
    models: Path | None = None,
) -> tuple[Ensemble, HeldOut]:
    """Read what is exported, and find what it is fitted on; refuse before long work."""
    from train.data.sets.scenes import ScenesConfig  # noqa: PLC0415
    from train.ensemble import read_ensemble  # noqa: PLC0415
    from train.held_out import HeldOut  # noqa: PLC0415
    from train.layering import read_layered  # noqa: PLC0415
    from train.places import find  # noqa: PLC0415
    from train.recipe.schema import load_recipe  # noqa: PLC0415

    try:
        shares = None if weights is None else [float(weight) for weight in weights.split(",")]
    except ValueError as error:
        raise ConfigError(f"--weights {weights}: must be numbers, such as 0.5,0.5") from error
    changes = None if models is None else read_layered(models).content
    ensemble = read_ensemble(checkpoints, shares, tag_threshold=tag_threshold, changes=changes)
    ensemble.look_ahead(latency)
    run = ensemble.members[0].run
    if recipe is not None:
        chosen = load_recipe(find("recipes", recipe))
    elif run is not None:
        chosen = run.recipe
    else:
        raise ConfigError(f"{checkpoints[0]}: lies in no run's folder; give --recipe")
    if chosen.model.classes != ensemble.classes:
        raise ConfigError(f"{recipe}: has other classes than {checkpoints[0]}")
    name, given = ("bank", bank) if isinstance(chosen.data, ScenesConfig) else ("data", data)
    source = given or (run.source if run is not None and recipe is None else None)
    if source is None:
        raise ConfigError(f"recipe {chosen.name}: what it learned from is not known; give --{name}")
    return ensemble, HeldOut(chosen, source)
