"""The soft-label paper as a plan: floors, folds pooled, its page and its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import imread
from sed_scores_eval.segment_based import best_fscore

from streamsed.errors import ConfigError
from tests.train.kinds_of_data import small_recipe
from tests.train.soft_set import SCENES, write_soft_set
from tests.train.stage_run import StageRun
from train.data.crops import CropBatch
from train.data.events import Event, merge
from train.data.maestro import read_maestro
from train.experiments.engine import Engine
from train.experiments.plan import load_plan
from train.experiments.soft import SoftPage
from train.experiments.soft_scoring import OFFICIAL, SoftScores, official_f1mo, pooled
from train.experiments.soft_steps import ScoreFolds, read_pooled, second_labels
from train.layering import laid_over
from train.places import find
from train.recipe.schema import Recipe, dump_recipe, parse_recipe
from train.stages.validation import best_f1, f1_at

CLASSES = ("Speech", "Frying")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("soft")
    plan = load_plan(find("plans", "tiny-soft"))
    data = write_soft_set(folder / "data")
    made = Engine(plan, "tiny-soft", folder / "runs", {"data": data})
    assert not made.run(jobs=1, report=lambda *_: None)
    return made


def labels_of(engine: Engine, fold: int, part: str) -> dict[str, np.ndarray]:
    clips = read_maestro(
        engine.given["data"],
        fold=fold,
        part=part,  # type: ignore[arg-type]
        classes=CLASSES,
        scenes=tuple(SCENES),
    )
    return {clip.name: second_labels(clips, clip.name) for clip in clips.clips}


def test_always_positive_reaches_what_its_rates_say(engine: Engine) -> None:
    reached = read_pooled(engine.results().folders["always-positive"])
    every = [values for fold in range(1, 6) for values in labels_of(engine, fold, "test").values()]
    true = np.concatenate(every) >= 0.5
    wanted = 2 * true.sum(axis=0) / (len(true) + true.sum(axis=0))
    assert reached.seconds == len(true) == 40
    assert reached.f1mo == pytest.approx(wanted.mean())
    assert reached.per_class == pytest.approx(dict(zip(CLASSES, wanted.tolist(), strict=True)))


def test_the_scene_rate_oracle_knows_nothing_but_the_scene(engine: Engine) -> None:
    """Frying is never in the street: at its best threshold it has every second at home."""
    reached = read_pooled(engine.results().folders["scene-rate"])
    every = [
        values >= 0.5
        for fold in range(1, 6)
        for name, values in labels_of(engine, fold, "test").items()
        if name.startswith("home")
    ]
    frying = np.concatenate(every)[:, 1]
    wanted = 2 * frying.sum() / (len(frying) + frying.sum())
    assert reached.per_class["Frying"] >= wanted - 1e-9
    positive = read_pooled(engine.results().folders["always-positive"])
    assert reached.per_class["Frying"] > positive.per_class["Frying"]


def test_f1mo_is_what_the_challenges_own_call_returns() -> None:
    """Random scores with ties: the library's call, ours through it, and the fast form agree."""
    rng = np.random.default_rng(6)
    scores = {f"r{k}": rng.integers(0, 9, (12, 2)).astype(np.float32) / 9 for k in range(3)}
    labels = {name: rng.random((12, 2)).astype(np.float32) for name in scores}
    value, per_class = official_f1mo(scores, labels, classes=CLASSES)
    truth = {
        name: [
            (event.onset_s, event.offset_s, event.label)
            for event in merge(
                Event(label, float(second), second + 1.0)
                for second, row in enumerate(values)
                for label, each in zip(CLASSES, row, strict=True)
                if each >= 0.5
            )
        ]
        for name, values in labels.items()
    }
    tables = {
        name: pd.DataFrame(
            np.column_stack([np.arange(12.0), np.arange(1.0, 13.0), values]),
            columns=["onset", "offset", *CLASSES],
        )
        for name, values in scores.items()
    }
    durations = dict.fromkeys(scores, 12.0)
    wanted, *_ = best_fscore(tables, truth, durations, **OFFICIAL)
    assert value == pytest.approx(wanted["macro_average"])
    assert per_class == pytest.approx({label: wanted[label] for label in CLASSES})
    joined = [np.concatenate(list(of.values())) for of in (scores, labels)]
    assert best_f1(joined[0], joined[1]) == pytest.approx(value)


def test_f1_by_hand() -> None:
    """Two true seconds of four; the best threshold takes three, and the fixed one takes one."""
    scores = np.array([[0.6], [0.3], [0.4], [0.1]], np.float32)
    labels = np.array([[1.0], [0.7], [0.2], [0.0]], np.float32)
    assert best_f1(scores, labels) == pytest.approx(2 * 2 / (3 + 2))
    assert f1_at(scores, labels, 0.5) == pytest.approx(2 * 1 / (1 + 2))


def test_frames_of_a_fifth_are_pooled_to_seconds() -> None:
    rng = np.random.default_rng(7)
    fine = rng.random((23, 2)).astype(np.float32)
    labels = np.repeat(rng.random((5, 2)), 5, axis=0)[:23].astype(np.float32)
    scores = SoftScores({"a": fine}, {"a": labels}, 0.2, CLASSES)
    found, true = scores.seconds("a")
    assert found.shape == true.shape == (4, 2)
    np.testing.assert_array_equal(found[1], fine[5:10].max(axis=0))
    reached = pooled(scores, evaluated=("Frying",), folds={1: ["a"]}, parameters=3)
    assert reached.seconds == 4
    assert set(reached.per_class) <= {"Frying"}


def test_the_page_has_rows_verdicts_losses_and_pictures(engine: Engine, tmp_path: Path) -> None:
    results = replace(engine.results(), pictures="PICTURES")
    page = engine.plan.page
    assert page is not None
    text = page.text(results)
    long = next(line for line in text.splitlines() if line.startswith("| Long |"))
    assert "| 0.500 |" in long
    assert "time_decimals=30" in text
    assert "- The future: Long" in text
    assert any(line.startswith("| long | 2 | 2 | labels |") for line in text.splitlines())
    assert any("scenes" in line for line in text.splitlines() if line.startswith("| causal |"))
    page.draw(results, tmp_path / "PICTURES")
    for name in ("losses.png", "embeddings.png", "attention.png"):
        assert f"(PICTURES/{name})" in text
        picture = imread(tmp_path / "PICTURES" / name)
        assert picture[..., :3].std() > 0.05, "a blank picture shows nothing"
    assert "PICTURES" not in page.text(engine.results())


def test_each_checkpoint_scores_its_own_folds_recordings(engine: Engine) -> None:
    folder = engine.results().folders["long-scores"]
    with np.load(folder / "scores.npz") as kept:
        names = {name.removeprefix("scores:") for name in kept.files if name[0] == "s"}
        for name in names:
            assert kept[f"scores:{name}"].shape == kept[f"labels:{name}"].shape == (64, 2)
    wanted = {name for fold in (1, 2) for name in labels_of(engine, fold, "test")}
    assert names == wanted


def test_the_papers_own_plans_can_be_read() -> None:
    for name in ("soft", "soft-small"):
        plan = load_plan(find("plans", name))
        assert isinstance(plan.page, SoftPage)
        titles = {getattr(step, "title", None) for step in plan.steps.values()}
        assert set(plan.page.published) <= titles
        assert plan.page.published["41 s, augmentation, sampler 0.5"] == 0.467


def test_wrong_plans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold \{fold\}"):
        ScoreFolds(checkpoints="a")
    with pytest.raises(ValueError, match="must be some of 1 to 5"):
        ScoreFolds(checkpoints="a-{fold}", folds=(6,))
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "title: t\nabout: a\nsteps: {x: {kind: floors, which: positive, title: X}}\n"
        "page: {kind: soft, comparisons: [{better: X, than: Y, of: z}], curves: [x]}\n"
    )
    with pytest.raises(ConfigError) as error:
        load_plan(plan)
    assert "'Y': no step that scores has this title" in str(error.value)
    assert "'x': no training has this name" in str(error.value)


def changed(changes: Mapping[str, Any]) -> Recipe:
    """Return a small recipe of the stage with changes laid over it."""
    return parse_recipe(laid_over(dump_recipe(small_recipe("soft")), changes), where="changed")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mixup": {"probability": 0.5}}, "mixes no clips"),
        ({"model": {"scenes": []}}, "needs model.scenes"),
        ({"model": {"scenes": ["street", "home"]}}, "must be data.scenes"),
        ({"data": {"fold": 6}}, "must be 1 to 5"),
        ({"model": {"classes": ["Speech", "door opens/closes"]}}, "'door opens-closes' would be"),
        ({"stage": {"gamma": -1}}, "must be 0 or more"),
        ({"stage": {"focal_alpha": 0.5}}, "quality_focal has none"),
        ({"augment": {"frame_shift": {}}}, "no augment.frame_shift"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        changed(changes)


def batch_of(run: StageRun, *, values: float = 0.7) -> CropBatch[torch.Tensor]:
    torch.manual_seed(2)
    return CropBatch(
        inputs=0.1 * torch.randn(2, 12 * 1024),
        values=torch.full((2, 4, 2), values),
        known=torch.tensor([[True] * 4, [True, True, False, False]]),
        inside=torch.ones(2, 12),
        scene=torch.tensor([1, -1]),
        names=("a", "b"),
        first=torch.zeros(2, dtype=torch.int64),
        step=0,
    )


def test_seconds_beyond_a_recording_and_unknown_scenes_count_for_nothing() -> None:
    run = StageRun(small_recipe("soft"))
    batch = batch_of(run)
    torch.manual_seed(0)
    terms = run.terms(batch)
    spoiled = batch.values.clone()
    spoiled[1, 2:] = 0.0
    torch.manual_seed(0)
    again = run.terms(replace(batch, values=spoiled))
    assert terms["labels"].item() == again["labels"].item()
    torch.manual_seed(0)
    unknown = run.terms(replace(batch, scene=torch.tensor([-1, -1])))
    assert unknown["scenes"].item() == 0.0
    assert terms["scenes"].item() > 0.0


def test_each_hop_is_compared_where_a_second_is_their_mean() -> None:
    """The loss of a mean prediction: over the hops of all seconds, by hand."""
    still = {"dropout": 0.0}
    recipe = changed(
        {
            "model": {"mean_prediction": True, "local": still, "context": still, **still},
            "stage": {"loss": "squared", "scene_weight": 0.0},
        }
    )
    run = StageRun(recipe)
    batch = batch_of(run)
    model = run.networks["student"]
    model.train()
    features = model.front_end.features(model.mels(batch.inputs))
    output = model.crop(features, batch.inside)
    hops = torch.sigmoid(output.extra["hops"])
    assert hops.shape == (2, 4, 4, 2)
    each = (hops - 0.7).square()
    wanted = torch.cat([each[0], each[1, :2]]).mean()
    torch.testing.assert_close(run.terms(batch)["labels"], wanted)
