"""The metric-learning paper as a plan: each step from what the one before made, to the tables."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from streamsed.errors import ConfigError
from tests.train.tone_set import write_tone_set
from train.checkpoint import load_model
from train.data.clips import Clip, ClipSet
from train.data.desed import Part, read_desed
from train.experiments.engine import Engine
from train.experiments.mlfl import MLFLPage
from train.experiments.page import Results
from train.experiments.plan import load_plan
from train.experiments.same_clips import SameClips
from train.experiments.score_steps import (
    Score,
    Scored,
    ScoreFile,
    read_scored,
    tag_thresholds,
    under_tags,
)
from train.experiments.scoring import Reached
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
    assert "nothing can be concluded from one seed" in page
    losses = [line for line in page.splitlines() if line.startswith("| mlfl | 2 |")]
    assert any("adaptation" in line for line in losses)


def test_a_branch_of_a_checkpoint_is_scored_by_what_is_laid_over_its_configuration(
    engine: Engine,
) -> None:
    folders = engine.results().folders
    of = {
        name: ScoreFile.load(folders[name] / "scores.npz").clips
        for name in ("mlfl-scores", "mlfl-branch")
    }
    assert of["mlfl-scores"].keys() == of["mlfl-branch"].keys()
    assert any(
        not np.allclose(of["mlfl-branch"][clip], of["mlfl-scores"][clip])
        for clip in of["mlfl-branch"]
    )
    with pytest.raises(ConfigError, match=r"no checkpoint of a streamsed model under .*surfaces"):
        load_model(folders["mlfl"] / "best.pt", changes={"detection": "surfaces"})
    with pytest.raises(ConfigError, match=r"under \{.projection.: 3\}"):
        load_model(folders["mlfl"] / "best.pt", changes={"projection": 3})


def test_a_class_scores_nothing_in_clips_without_its_tag(engine: Engine) -> None:
    folders = engine.results().folders
    every, tagged = (
        ScoreFile.load(folders[name] / "scores.npz").clips
        for name in ("mlfl-scores", "mlfl-tagged")
    )
    for name, scores in tagged.items():
        for column in range(scores.shape[1]):
            kept = scores[:, column].any()
            expected = every[name][:, column] if kept else np.zeros(len(scores))
            np.testing.assert_allclose(scores[:, column], expected, atol=1e-6)


def test_thresholds_of_tags_are_those_of_the_highest_f1() -> None:
    known = {"1": ("a",), "2": ("a", "b"), "3": ()}
    clips = tuple(Clip(name, Path(name), name, tags=labels) for name, labels in known.items())
    of = ClipSet("weak", "weak", ("a", "b"), clips)
    tags = {"1": [0.3, 0.6], "2": [0.4, 0.8], "3": [0.1, 0.2]}
    found = {name: np.array(row, np.float32) for name, row in tags.items()}
    above = tag_thresholds(found, of)
    assert 0.1 < above[0] < 0.3
    assert 0.6 < above[1] < 0.8
    gated = under_tags(dict.fromkeys(found, np.ones((5, 2), np.float32)), found, above=above)
    assert {name: scores[0].tolist() for name, scores in gated.items()} == {
        "1": [1.0, 0.0],
        "2": [1.0, 1.0],
        "3": [0.0, 0.0],
    }


@pytest.mark.parametrize(
    ("with_it", "without", "expected"),
    [
        (
            (0.3, 0.4),
            (0.2, 0.25),
            "gains +0.100, +0.150, +0.125 ± 0.318 (95 %): it helps in every seed.",
        ),
        ((0.3, 0.4), (0.4, 0.45), "it costs in every seed."),
        ((0.3, 0.4), (0.4, 0.3), "seeds disagree."),
        ((0.3, None), (0.2, 0.3), "gains +0.100; nothing can be concluded from one seed."),
        ((None, 0.3), (0.2, None), "- without it: not run."),
    ],
)
def test_a_part_helps_only_if_it_does_in_every_seed(
    engine: Engine,
    tmp_path: Path,
    with_it: tuple[float | None, ...],
    without: tuple[float | None, ...],
    expected: str,
) -> None:
    steps, folders = {}, {}
    for title, values in (("whole", with_it), ("without it", without)):
        for seed, value in enumerate(values):
            name = f"{title} {seed}"
            steps[name] = Score(checkpoint="any", title=title)
            if value is not None:
                folders[name] = tmp_path / name
                folders[name].mkdir()
                scored = Scored(Reached(value, 0.0, 0.0, 0.0), parameters=1)
                (folders[name] / "figures.json").write_text(json.dumps(asdict(scored)))
    paths = {"data": engine.given["data"]}
    page = MLFLPage(whole="whole", without=("without it",))
    assert expected in page.text(Results("T", "A", "plan", steps, folders, paths))


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
