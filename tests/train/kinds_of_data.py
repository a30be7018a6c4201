"""Small data on disk for every registered kind, and small recipes of every registered stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.train.mixture_set import write_mixtures
from tests.train.soft_set import write_soft_set
from tests.train.tiny_bank import write_bank
from tests.train.tone_set import write_tone_set
from train.data.classes import CLASSES
from train.layering import laid_over
from train.models.registry import MODELS
from train.recipe.schema import Recipe, parse_recipe
from train.stages.registry import STAGES

WRITERS: Mapping[str, Callable[[Path], Path]] = {
    "desed": write_tone_set,
    "scenes": write_bank,
    "mixtures": write_mixtures,
    "pairs": write_tone_set,
    "maestro": write_soft_set,
}
"""A new kind of data needs a line here: what writes a small set of it below a folder."""

SIZES: Mapping[str, dict[str, Any]] = {
    "desed": {"strong": 2, "weak": 2, "unlabelled": 2, "weak_validation": 0.25},
    "scenes": {"batch": 2, "held_out_clips": 2},
    "mixtures": {"batch": 2},
    "pairs": {"batch": 2},
    "maestro": {"batch": 2},
}


def small_recipe(stage: str, **changes: object) -> Recipe:
    """Return a recipe of a stage of four steps."""
    made = STAGES.example(stage)()
    beside = made if isinstance(made, dict) else {}
    content = {
        "name": f"small-{stage}",
        "model": asdict(MODELS.example("causal_crnn")(CLASSES)),
        "stage": {"kind": stage},
        "epochs": 2,
        "machine": {"device": "cpu", "workers": 0, "threads": 1, "log_every": 1, "save_every": 1},
    }
    if "kind" in beside.get("model", {}):
        content.pop("model")
    content = laid_over(content, beside)
    data = dict(content.get("data", {}))
    kind = data.get("kind", "desed")
    length = (
        {}
        if kind in ("scenes", "maestro")
        else {"duration_s": 0.5 if kind == "mixtures" else 1.024}
    )
    content["data"] = {**SIZES[kind], **length, "steps_per_epoch": 2, **data}
    return parse_recipe(laid_over(content, changes), where=stage)
