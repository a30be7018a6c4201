"""From a recipe, and a data set or a bank, to a finished run."""

from __future__ import annotations

from pathlib import Path

from train.data.sets.registry import DATA
from train.engine.folder import RunFolder, run_id
from train.engine.machine import make_fabric
from train.engine.stopping import StopRequest
from train.engine.trainer import Trainer
from train.places import runs_folder
from train.recipe.schema import Recipe
from train.stages.registry import STAGES
from train.writing import full_disk


def fit_recipe(
    recipe: Recipe,
    *,
    data: Path,
    folder: Path | None = None,
    runs: Path | None = None,
    until: float | None = None,
) -> tuple[Trainer, bool]:
    """Train a recipe; a run that was stopped goes on.

    Args:
        recipe: what is learned.
        data: the folder that its kind of data is read from: of a data set, of a recording bank for
            scenes, of mixtures in FUSS's shape.
        folder: of the run; by default that of its id below ``runs``.
        runs: folder of all runs; by default see :func:`train.places.runs_folder`.
        until: monotonic time after which it stops, to be resumed.

    Returns:
        The trainer, and whether the run is done.

    Raises:
        DataError: the data set or the bank is wrong.
        DiskFull: there is no space left; the run goes on from the state that it saved last.
        ConfigError: the folder is another run's, or the machine has no such device.
    """
    sets = DATA.maker(recipe.data.kind)(data, recipe)
    fabric = make_fabric(recipe.machine)
    place = RunFolder(folder or runs_folder(runs) / run_id(recipe, sets))
    if fabric.is_global_zero:
        place.claim(recipe, sets, data=data)
    fabric.barrier()
    stage = STAGES.maker(recipe.stage.kind)(recipe, fabric.device)
    trainer = Trainer(recipe, stage=stage, sets=sets, folder=place, fabric=fabric)
    stop = StopRequest(until)
    with stop.on_signals(), full_disk(place.path):
        done = trainer.fit(stop)
    fabric.barrier()
    return trainer, done
