"""A bundle of several members: what its card says of each of them alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamsed.bundle import load
from tests.train.tone_set import write_tone_set
from train.assemble import assemble
from train.engine.fitting import fit_recipe
from train.ensemble import Ensemble, read_ensemble
from train.held_out import HeldOut
from train.recipe.schema import load_recipe

RECIPE = Path("train/recipes/tiny-streaming-causal.yaml")
FIGURES = ("psds1", "psds2", "event_f1", "intersection_f1")


def test_each_member_is_measured_alone_as_in_a_bundle_of_its_own(tmp_path: Path) -> None:
    recipe, tones = load_recipe(RECIPE), write_tone_set(tmp_path / "tones")
    paths = []
    for epochs in (2, 4):
        shorter = replace(recipe, epochs=epochs)
        folder = tmp_path / f"m{epochs}"
        assert fit_recipe(shorter, data=tones, folder=folder)[1]
        paths.append(folder / "best.pt")
    ensemble, held_out = read_ensemble(paths), HeldOut(recipe, tones)
    together = assemble(ensemble, held_out, tmp_path / "both")
    card = (tmp_path / "both/card.md").read_text(encoding="utf-8")
    scores = load(tmp_path / "both").manifest.provenance.scores["alone"]
    names = [member.name for member in ensemble.members]
    assert list(scores) == names
    for member in ensemble.members:
        alone = Ensemble((replace(member, weight=1.0),))
        figures = assemble(alone, held_out, tmp_path / member.name).overall
        expected = [getattr(figures, key) for key in FIGURES]
        assert [scores[member.name][key] for key in FIGURES] == pytest.approx(expected, abs=6e-4)
        assert in_table(card, member.name) == pytest.approx(expected, abs=6e-4)
    rows = [in_table(card, name) for name in (*names, "all together")]
    assert len({tuple(row) for row in rows}) == 3, "or any figures would do"
    expected = [getattr(together.overall, key) for key in FIGURES]
    assert rows[2] == pytest.approx(expected, abs=6e-4)
    assert "all together" not in (tmp_path / names[0] / "card.md").read_text(encoding="utf-8")


def in_table(card: str, system: str) -> list[float]:
    """Return the figures of a system, as the table says them."""
    row = re.search(rf"^\| {system} \| ([\d. |]+) \|$", card[card.index("## What it") :], re.M)
    assert row is not None, system
    return np.array(row[1].split(" | "), float).tolist()
