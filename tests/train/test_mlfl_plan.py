"""The metric-learning paper as a plan: each step from what the one before made, to the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamsed.errors import ConfigError
from tests.train.tone_set import write_tone_set
from train.data.desed import Part, read_desed
from train.experiments.engine import Engine
from train.experiments.plan import load_plan
from train.experiments.same_clips import SameClips
from train.experiments.score_steps import ScoreFile, read_scored
from train.experiments.selection import FuseBest
from train.experiments.step import Machine, Place
from train.places import find

PARTS: tuple[Part, ...] = ("strong", "weak", "strong_validation")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("mlfl")
    plan = load_plan(find("plans", "tiny-mlfl"))
    made = Engine(plan, "tiny-mlfl", folder / "runs", {"data": write_tone_set(folder / "data")})
    undone = made.run(jobs=1, report=lambda *_: None)
    assert not undone
    return made


def test_the_best_are_fused_by_their_rank_on_the_other_part(engine: Engine) -> None:
    folders, scores = engine.results().folders, {}
    ranks = {}
    for seed in (1, 2):
        scores[seed] = ScoreFile.load(folders[f"tag-cnn-{seed}-scores"] / "scores.npz").clips
        reached = read_scored(folders[f"tag-cnn-{seed}-ranked"]).reached
        ranks[seed] = reached.psds1 + reached.psds2
    best = 1 if ranks[1] >= ranks[2] else 2
    first = ScoreFile.load(folders["result4"] / "scores.npz").clips
    both = ScoreFile.load(folders["result3"] / "scores.npz").clips
    for name, values in first.items():
        np.testing.assert_allclose(values, scores[best][name], atol=1e-6)
        np.testing.assert_allclose(both[name], (scores[1][name] + scores[2][name]) / 2, atol=1e-6)


def test_the_page_has_the_papers_figures_beside_and_names_what_helps(engine: Engine) -> None:
    assert engine.plan.page is not None
    page = engine.plan.page.text(engine.results())
    assert "| Result1 | - / 0.401 | - / 0.597 | - / 0.550 |" in page
    assert "/ 0.392 |" in next(line for line in page.splitlines() if "| Result3 |" in line)
    assert "- without: PSDS1 + PSDS2 + F1" in page
    losses = [line for line in page.splitlines() if line.startswith("| mlfl | 2 |")]
    assert any("adaptation" in line for line in losses)


def test_the_papers_own_plans_can_be_read() -> None:
    for name in ("mlfl", "mlfl-small"):
        assert load_plan(find("plans", name)).page is not None


def test_more_weights_than_systems_are_refused() -> None:
    with pytest.raises(ValueError, match="no more than there are systems"):
        FuseBest(systems={"a": "b"}, weights=(1.0, 1.0))


def test_a_page_without_data_is_one_line(tmp_path: Path) -> None:
    plan = load_plan(find("plans", "mlfl-small"))
    assert plan.page is not None
    with pytest.raises(ConfigError, match="nothing is done"):
        plan.page.text(Engine(plan, "mlfl-small", tmp_path, {"bank": tmp_path}).results())


def test_one_set_of_clips_serves_every_purpose(tmp_path: Path) -> None:
    data = write_tone_set(tmp_path / "data")
    assert SameClips().run(Place(tmp_path, {"data": data}, Machine()))
    parts = {part: read_desed(tmp_path / "same", part) for part in PARTS}
    original = read_desed(data, "strong")
    for part in ("strong", "strong_validation"):
        assert [clip.events for clip in parts[part].clips] == [c.events for c in original.clips]
    assert [clip.labels for clip in parts["weak"].clips] == [c.labels for c in original.clips]
    assert load_plan(find("plans", "overfit")).steps["same"] == SameClips()
