"""Training and measuring of a comparison's runs, several at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from train.comparison.plan import Comparison, Run
from train.comparison.results import Measured, measure_run, validation_set
from train.engine.fitting import fit_recipe
from train.pool import end_with_parent

LOG = "fit.log"


@dataclass(frozen=True)
class Place:
    """Where a comparison's runs find their data and leave their results.

    Attributes:
        data: data set in DESED's shape.
        runs: folder of the comparison; each run has its own below it, with a log beside.
        cache: folder of mel bands, shared by all; None to compute them whenever a clip is read.
    """

    data: Path
    runs: Path
    cache: Path | None


def compare(
    comparison: Comparison, place: Place, *, jobs: int
) -> Iterator[tuple[Run, list[Measured] | None]]:
    """Train what is not trained yet and measure what is, ``jobs`` runs at a time.

    A run that was stopped goes on, and none outlives this process. Ctrl-C reaches all processes,
    and each leaves a state to go on from.

    Yields:
        Each run as it ends, with its figures; None if it was stopped before its end.

    Raises:
        StreamsedError: the data set is wrong, or a run cannot go on.
    """
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=end_with_parent
    ) as pool:
        waiting = {
            pool.submit(train_and_measure, run, place, comparison.rows[run.row].hearings): run
            for run in comparison.runs()
        }
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def train_and_measure(
    run: Run, place: Place, hearings: Sequence[int | None]
) -> list[Measured] | None:
    """Train one run to its end and measure it; return None if it was stopped before."""
    folder = place.runs / run.name
    recipe = replace(run.recipe, machine=replace(run.recipe.machine, cache=place.cache))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a", encoding="utf-8") as log, contextlib.redirect_stderr(log):
        _, done = fit_recipe(recipe, data=place.data, folder=folder)
        if not done:
            return None
        return measure_run(run, folder, validation_set(place.data, recipe), hearings=hearings)
