"""The joint framework's stage: what each network learns from, and in which epoch."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.train.stage_run import EPOCH_STEPS, StageRun
from tests.train.tone_set import write_tone_set
from train.data.sets.registry import DATA
from train.engine.fitting import fit_recipe
from train.engine.training_log import read_history
from train.layering import laid_over, read_layers
from train.recipe.schema import Recipe, parse_recipe
from train.stages.guided import GuidedConfig


def recipe(**changes: Any) -> Recipe:
    content = laid_over(read_layers(Path("train/recipes/joint/tiny-joint.yaml")), changes)
    return parse_recipe(content, where="tiny-joint")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tone_set(tmp_path_factory.mktemp("joint"))


@pytest.fixture(scope="module")
def batch(data: Path) -> Any:
    sets = DATA.maker("desed")(data, recipe())
    return sets.batches()[0].map(torch.from_numpy)


def gradients(run: StageRun, terms: dict[str, Any], name: str) -> dict[str, bool]:
    """Return which networks a term has gradients in."""
    for network in run.networks.values():
        network.zero_grad(set_to_none=True)
    terms[name].backward(retain_graph=True)
    return {
        key: any(p.grad is not None and bool(p.grad.any()) for p in network.parameters())
        for key, network in run.networks.items()
    }


def test_tags_of_the_other_have_no_gradients(batch: Any) -> None:
    run = StageRun(recipe())
    terms = run.terms(batch)
    assert gradients(run, terms, "guided") == {"student": True, "teacher": False}
    assert gradients(run, terms, "guiding") == {"student": False, "teacher": True}
    assert gradients(run, terms, "tfd") == {"student": True, "teacher": False}
    both = StageRun(recipe(stage={"distillation": {"gradients": "both"}}))
    assert gradients(both, both.terms(batch), "tfd") == {"student": True, "teacher": True}


def test_the_teacher_learns_from_its_student_later(batch: Any) -> None:
    run = StageRun(recipe(stage={"alpha": {"start_epochs": 2, "base": 0.5}}))
    at = [run.terms(batch, step=step) for step in (1, 2 * EPOCH_STEPS, 3 * EPOCH_STEPS)]
    assert [terms["guiding"].item() > 0.0 for terms in at] == [False, False, True]
    assert all(terms["guided"].item() > 0.0 for terms in at)


def test_the_papers_alpha_and_beta() -> None:
    """1 - 0.996^(e - 30), about 0.49 at the end of 200 epochs; exp(-5 (1 - e/50)^2)."""
    stage = parse_recipe(read_layers(Path("train/recipes/joint/joint.yaml")), where="joint").stage
    assert isinstance(stage, GuidedConfig)
    assert stage.focal is not None
    assert (stage.focal.gamma, stage.focal.from_epoch) == (2.0, 15.0)
    weights = {
        epoch: (
            stage.alpha.weight_at(epoch * EPOCH_STEPS, epoch_steps=EPOCH_STEPS),
            stage.beta.weight_at(epoch * EPOCH_STEPS, epoch_steps=EPOCH_STEPS),
        )
        for epoch in (15, 30, 50, 200)
    }
    ramped = [math.exp(-5.0 * (1.0 - epoch / 50.0) ** 2) for epoch in (15, 30)]
    alphas, betas = zip(*weights.values(), strict=True)
    assert alphas == pytest.approx((0.0, 0.0, 1.0 - 0.996**20, 0.494), abs=1e-3)
    assert betas == pytest.approx((*ramped, 1.0, 1.0))


def test_beta_weighs_what_is_distilled(batch: Any) -> None:
    run = StageRun(recipe(stage={"beta": {"ramp_epochs": 2}}))
    first, last = (run.terms(batch, step=step)["tfd"].item() for step in (1, 2 * EPOCH_STEPS))
    assert first / last == pytest.approx(math.exp(-5.0 * 0.95**2), rel=0.05)


def test_each_learns_the_others_tags_of_all_clips_or_of_those_without_tags(batch: Any) -> None:
    known = batch.targets["weak"].known
    assert known.any()
    assert not known.all()
    found = {}
    for name in ("all", "unlabelled"):
        run = StageRun(recipe(stage={"consistency": name}))
        found[name] = run.terms(batch)["guided"].item()
        rows = torch.ones_like(known) if name == "all" else ~known
        prepared, padding = run.prepare(batch)
        student = run.stage.run(run.networks, "student", prepared, padding)
        teacher = run.stage.run(run.networks, "teacher", prepared, None)
        tags = (teacher.extra["tags"] > 0.0).float()
        expected = F.binary_cross_entropy_with_logits(student.extra["tags"][rows], tags[rows])
        assert found[name] == pytest.approx(expected.item(), rel=1e-3)
    assert found["all"] != found["unlabelled"]


def test_clips_of_known_events_are_in_no_loss_of_tags(batch: Any) -> None:
    """The paper's weak losses are of the weakly labelled clips."""
    run = StageRun(recipe())
    weak = batch.targets["weak"]
    tags = weak.values.clone()
    tags[batch.targets["strong"].known] = 1.0
    changed = replace(batch, targets={**batch.targets, "weak": replace(weak, values=tags)})
    for name in ("student_weak", "teacher_weak"):
        torch.testing.assert_close(run.terms(changed)[name], run.terms(batch)[name])


@pytest.mark.parametrize("from_epoch", [0.5, 1.0])
def test_the_loss_changes_with_epoch_tau(batch: Any, from_epoch: float) -> None:
    """Cross-entropy, then the focal form, of frames and clips of both networks."""
    torch.manual_seed(0)
    values = {}
    tau = round(from_epoch * EPOCH_STEPS) + 1
    focal = {"gamma": 2.0, "from_epoch": from_epoch}
    for form, step in (("adaptive", tau - 1), ("adaptive", tau), ("lin", tau)):
        run = StageRun(recipe(stage={"focal": {"form": form, **focal}}))
        values[form, step] = run.terms(batch, step=step)
    plain = values["adaptive", tau - 1]
    for name in ("student_strong", "student_weak", "teacher_strong", "teacher_weak"):
        adaptive, lin = (values[form, tau][name] for form in ("adaptive", "lin"))
        assert lin < adaptive < plain[name]
    never = StageRun(recipe(stage={"focal": None}))
    torch.testing.assert_close(never.terms(batch)["student_strong"], plain["student_strong"])


def test_each_kind_of_distillation_is_a_switch(batch: Any) -> None:
    keys = {
        "mse": "dfd_mse",
        "distances": "dfd_d",
        "targets": "tfd",
        "unlabelled_distances": "dfd_d_wu",
    }
    for key, term in keys.items():
        weights = {**dict.fromkeys(keys, 0.0), key: 1.0}
        terms = StageRun(recipe(stage={"distillation": weights})).terms(batch)
        assert terms.keys() & set(keys.values()) == {term}
        assert terms[term].item() > 0.0


def test_events_outside_strongly_labelled_clips_are_not_distilled(batch: Any) -> None:
    run = StageRun(recipe())
    strong = batch.targets["strong"]
    nothing = replace(strong, known=torch.zeros_like(strong.known))
    without = replace(batch, targets={**batch.targets, "strong": nothing})
    assert run.terms(without)["tfd"].item() == 0.0


def test_it_learns_and_its_embeddings_do_not_collapse(data: Path, tmp_path: Path) -> None:
    """Distilled ten times as strongly as the paper's plan does, both ways."""
    made = recipe(
        stage={"distillation": {"targets": 10.0, "mse": 10.0, "gradients": "both"}},
        data={"steps_per_epoch": 8},
        machine={"log_every": 4},
    )
    _, done = fit_recipe(made, data=data, folder=tmp_path)
    assert done
    history = read_history(tmp_path)
    losses = [record["losses"] for record in history if record["kind"] == "losses"]
    assert losses[-1]["student_strong"] < losses[0]["student_strong"]
    figures = [record["figures"] for record in history if record["kind"] == "validation"]
    for name in ("student", "teacher"):
        for each in figures:
            assert each[name]["embedding_norm"] > 0.02
            assert each[name]["embedding_spread"] > 0.1 * each[name]["embedding_norm"]
    assert (tmp_path / "curves.png").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model": {"projection": 5}}, "model.projection 5; must be 32"),
        ({"model": {"shift_frames": 2}}, "at most 1 would be right"),
        ({"stage": {"teacher_model": None}}, "stage.teacher_model is missing"),
        ({"model": {"front_end": {"n_mels": 48}}}, "front_end differs"),
        ({"stage": {"teacher": {"decay": 0.9}}}, "averages no weights"),
        ({"stage": {"focal": {"gamma": 0.0}}}, "gamma 0.0"),
    ],
)
def test_what_does_not_fit_is_one_line(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(Exception, match=problem):
        recipe(**changes)
