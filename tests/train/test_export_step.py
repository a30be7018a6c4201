"""Bundles as steps of plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsed.bundle import load
from streamsed.errors import ConfigError
from tests.train.test_ensemble import save
from tests.train.tiny_models import tiny_model
from tests.train.tone_set import write_tone_set
from train.experiments.export_steps import Export
from train.experiments.plan import load_plan
from train.experiments.step import Machine, Place
from train.models.registry import build

RECIPE = Path("train/recipes/tiny-streaming-causal.yaml")

PLAN = """\
title: T
about: A
steps:
  one: {kind: fit, recipe: tiny-streaming-causal}
  bundle:
    kind: export
    checkpoints: {one/student: 1.0}
    recipe: tiny-streaming-causal
"""


@pytest.mark.slow
def test_a_plan_ends_in_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    step = load_plan(tmp_path / "plan.yaml").steps["bundle"]
    assert isinstance(step, Export)
    assert {need.of: need.kind for need in step.needs().values()} == {
        "one/student": "checkpoint",
        "data": "data",
    }
    needs = {
        "checkpoint.one/student": save(tmp_path / "one", build(step.loaded.model).eval()),
        "data": write_tone_set(tmp_path / "data"),
    }
    (tmp_path / "bundle").mkdir()  # what a stopped export left is replaced
    assert step.run(Place(tmp_path, needs, Machine()))
    bundle = tmp_path / step.yields()["bundle"].path
    assert load(bundle).manifest.version == step.version
    assert (bundle / "card.md").is_file()


def test_what_decides_a_bundle_is_not_what_its_members_are_called() -> None:
    one, other = (
        Export(checkpoints={name: 1.0}, recipe=RECIPE, version=version)
        for name, version in (("a", "1"), ("b", "1"))
    )
    assert one.identity() == other.identity()
    assert one.identity() != Export(checkpoints={"a": 1.0}, recipe=RECIPE, version="2").identity()
    assert one.identity() != Export(checkpoints={"a": 0.5}, recipe=RECIPE).identity()


def test_members_of_other_classes_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, tiny_model("causal"))
    step = Export(checkpoints={"a": 1.0}, recipe=RECIPE)
    with pytest.raises(ConfigError, match="has other classes than"):
        step.run(Place(tmp_path, {"checkpoint.a": path, "data": tmp_path}, Machine()))
    with pytest.raises(ConfigError, match="one or more"):
        Export(checkpoints={}, recipe=RECIPE).check()
