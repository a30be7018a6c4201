"""Whether the data pipeline feeds the trainer: the share of its time that it does not wait.

    python benchmarks/training.py [BANK]     # minutes

Each recipe is trained for some steps, with two processes that read or mix clips: from files, from
mel bands that were computed once, and from scenes that are mixed anew. What the processes take to
start is left out. A GPU may still be computing while clips are waited for, so it is at least as
busy as that. Without a bank, a made-up one of noise and tones stands in.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from soundscapes import made_up_bank

from train.data.bank import Bank
from train.data.feature_cache import FeatureCache
from train.data.sets.clips import mel_extractor
from train.data.sets.desed import read_sets
from train.data.sets.scenes import CACHE, ScenesConfig
from train.data.soundscape import SoundscapeConfig
from train.data.soundscape_set import SoundscapeSet
from train.engine.fitting import fit_recipe
from train.layering import Plain
from train.recipe.schema import Recipe, load_recipe

RECIPES = ("streaming-lookahead", "domestic")
CLIPS = {"strong": 96, "weak": 120, "unlabelled": 96, "strong_validation": 24}
STEPS = 16


def short(name: str, cache: Path | None) -> Recipe:
    """Return a recipe for some steps."""
    recipe = load_recipe(Path("train/recipes") / f"{name}.yaml")
    changes: Plain = {"steps_per_epoch": STEPS}
    if isinstance(recipe.data, ScenesConfig):
        changes["held_out_clips"] = 8
    machine = replace(recipe.machine, workers=2, cache=cache)
    return replace(recipe, data=replace(recipe.data, **changes), epochs=1, machine=machine)


def measured(recipe: Recipe, source: Path, folder: Path) -> tuple[str, str]:
    """Train; return steps a second and the share of the time in which no clip was waited for."""
    trainer, _ = fit_recipe(recipe, data=source, folder=folder)
    took_s = trainer.worked_s + trainer.waited_s
    return f"{trainer.steps / took_s:.2f}", f"{trainer.worked_s / took_s:.1%}"


def main() -> None:
    """Measure all recipes, then how much of a kept data set's bands is computed again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bank", type=Path, nargs="?")
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    options = parser.parse_args()
    console = Console()
    table = Table("recipe", "clips", "steps a s", "busy", title=__doc__.split("\n")[0])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bank, data = options.bank or made_up_bank(folder / "bank"), folder / "data"
        opened, config = Bank.open(bank), SoundscapeConfig()
        SoundscapeSet(data, bank=opened, clips=CLIPS, config=config, seed=1, cache=CACHE).write()
        for name in options.recipes:
            mixes = isinstance(short(name, None).data, ScenesConfig)
            ways = {"mixed": None} if mixes else {"files": None, "kept bands": folder / "cache"}
            for way, cache in ways.items():
                source = bank if mixes else data
                cells = measured(short(name, cache), source, folder / "runs" / f"{name}-{way}")
                table.add_row(name, way, *cells)
                if cache is not None:
                    console.print(f"{name}: {again(short(name, cache), data)}")
    console.print(table)


def again(recipe: Recipe, data: Path) -> str:
    """Ask for a data set's bands once more, and count those that were there."""
    sets = read_sets(data, recipe)
    assert recipe.machine.cache is not None
    kept = FeatureCache(recipe.machine.cache, mel_extractor(recipe.model), sets.inputs.grid)
    began = time.perf_counter()
    missing = kept.add(sets.clips)
    found = len(sets.clips) - missing
    return f"{found} of {len(sets.clips)} clips kept, found in {time.perf_counter() - began:.2f} s"


if __name__ == "__main__":
    main()
