"""What holds for a stage of any kind, and that two architectures may teach each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from tests.train.kinds_of_data import WRITERS, small_recipe
from tests.train.stage_run import StageRun
from train.checkpoint import load_model, load_network
from train.data.sets.registry import DATA
from train.engine.fitting import fit_recipe
from train.engine.networks import Frozen, Learned, Networks, OptimiserConfig, Role
from train.engine.schedules import At
from train.engine.stage import Terms
from train.engine.trainer import Trainer
from train.engine.training_log import read_history
from train.losses.detection import weak_bce
from train.models.registry import MODELS, build
from train.recipe.schema import dump_recipe, parse_recipe
from train.stages.detection import Detection, DetectionConfig
from train.stages.registry import STAGES

KINDS = sorted(STAGES.configs())


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return {kind: write(tmp_path_factory.mktemp(kind)) for kind, write in WRITERS.items()}


@pytest.fixture(scope="module", params=KINDS)
def whole(
    request: pytest.FixtureRequest,
    sources: Mapping[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Trainer:
    recipe = small_recipe(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    trainer, done = fit_recipe(recipe, data=sources[recipe.data.kind], folder=folder)
    assert done
    assert trainer.steps == 4
    return trainer


def test_its_networks_are_those_that_it_names(whole: Trainer) -> None:
    recipe, folder = whole.recipe, whole.folder.path
    names = recipe.stage.network_names()
    assert tuple(whole.networks.kept) == names
    assert recipe.selection == names[0]
    for name in names:
        for checkpoint in (f"{name}.best.pt", f"{name}.last.pt"):
            network, step = load_network(folder / checkpoint)
            assert type(network) is type(whole.networks[name])
            assert step in (2, 4)
    records = read_history(folder)
    figures = [record["figures"] for record in records if record["kind"] == "validation"]
    assert all(tuple(each) == names for each in figures)
    assert all("objective" in values for each in figures for values in each.values())
    assert parse_recipe(dump_recipe(recipe), where="copy") == recipe


def test_its_loss_is_the_sum_of_its_terms_and_moves_what_learns(whole: Trainer) -> None:
    records = [r for r in read_history(whole.folder.path) if r["kind"] == "losses"]
    assert [record["step"] for record in records] == [1, 2, 3, 4]
    for record in records:
        terms = dict(record["losses"])
        loss = terms.pop("loss")
        assert loss == pytest.approx(sum(terms.values()), rel=1e-4)
        assert record["rates"].keys() >= set(whole.schedules)
    torch.manual_seed(whole.recipe.seed)
    before = whole.stage.networks()
    for name, role in before.items():
        if isinstance(role, Learned):
            pairs = zip(role.network.parameters(), whole.networks[name].parameters(), strict=True)
            assert any(not torch.equal(one, other.cpu()) for one, other in pairs)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    whole: Trainer, sources: Mapping[str, Path], tmp_path: Path
) -> None:
    source = sources[whole.recipe.data.kind]
    for _ in range(2):  # each stops after a step
        assert not fit_recipe(whole.recipe, data=source, folder=tmp_path, until=0.0)[1]
    again, done = fit_recipe(whole.recipe, data=source, folder=tmp_path)
    assert done
    for name in whole.networks.kept:
        torch.testing.assert_close(
            again.networks[name].state_dict(), whole.networks[name].state_dict(), rtol=0, atol=0
        )
    assert read_history(tmp_path) == read_history(whole.folder.path)


@dataclass(frozen=True)
class EachOtherConfig(DetectionConfig):
    """Two networks learn from labels and from each other's tags."""

    kind: Literal["each_other"] = "each_other"

    def network_names(self) -> tuple[str, ...]:
        return "causal", "wide"


class EachOther(Detection):
    """Two networks of different architectures and front ends."""

    def networks(self) -> dict[str, Role]:
        wide = build(MODELS.example("crnn2021")(self.recipe.model.classes))
        slow = OptimiserConfig(learning_rate=1e-4, rise_epochs=0)
        return {"causal": Learned(build(self.recipe.model)), "wide": Learned(wide, slow)}

    def terms(self, batch: Any, networks: Networks, at: At) -> Terms:
        each = self.prepare_each(batch, networks, at, ("causal", "wide"))
        outputs = {name: self.run(networks, name, *prepared) for name, prepared in each.items()}
        terms: Terms = {}
        for name, other in (("causal", "wide"), ("wide", "causal")):
            mine, tags = outputs[name], (outputs[other].clip.detach() > 0.5).float()  # type: ignore[union-attr]
            labelled = self.labelled_terms(mine, each[name][0])
            terms |= {f"{name}_{term}": value for term, value in labelled.items()}
            assert mine.clip is not None
            every = torch.ones(len(tags), dtype=torch.bool)
            terms[f"{name}_from_{other}"] = weak_bce(mine.clip, tags, every)
        return terms


@pytest.fixture
def each_other() -> Iterator[None]:
    STAGES.register(EachOtherConfig)(EachOther)
    yield
    STAGES.forget("each_other")


@pytest.mark.usefixtures("each_other")
def test_two_architectures_teach_each_other(sources: Mapping[str, Path], tmp_path: Path) -> None:
    recipe = small_recipe(
        "each_other",
        mixup={"probability": 1.0},
        optimiser={"rise_epochs": 0},
        validation={"selection": "wide"},
    )
    trainer, done = fit_recipe(recipe, data=sources["desed"], folder=tmp_path / "whole")
    assert done
    record = next(r for r in read_history(tmp_path / "whole") if r["kind"] == "losses")
    assert record["losses"].keys() == {
        "loss", "causal_strong", "causal_weak", "causal_from_wide", "wide_strong", "wide_weak",
        "wide_from_causal",
    }  # fmt: skip
    assert record["rates"] == {"learning_rate/causal": 1e-3, "learning_rate/wide": 1e-4}
    best = load_model(tmp_path / "whole/best.pt")
    assert best.model.config.kind == "crnn2021"
    assert best.step == load_model(tmp_path / "whole/wide.best.pt").step
    assert load_model(tmp_path / "whole/causal.best.pt").model.config.kind == "causal_crnn"
    fit_recipe(recipe, data=sources["desed"], folder=tmp_path / "cut", until=0.0)
    again, _ = fit_recipe(recipe, data=sources["desed"], folder=tmp_path / "cut")
    for name in ("causal", "wide"):
        torch.testing.assert_close(
            again.networks[name].state_dict(), trainer.networks[name].state_dict(), rtol=0, atol=0
        )


class WithFrozen(Detection):
    """A frozen network stands before the one that learns."""

    def networks(self) -> dict[str, Role]:
        frozen = build(self.recipe.model)
        return {**super().networks(), "frozen": Frozen(frozen)}

    def terms(self, batch: Any, networks: Networks, at: At) -> Terms:
        batch, padding = self.prepare(batch, networks, at)
        batch = replace(batch, inputs=batch.inputs.detach().requires_grad_())
        output = self.run(networks, "frozen", batch, padding)
        (through,) = torch.autograd.grad(output.frames.square().sum(), batch.inputs)
        assert through.abs().sum() > 0
        return self.labelled_terms(self.run(networks, "student", batch, padding), batch)


def test_a_frozen_network_stays_and_lets_gradients_through(
    sources: Mapping[str, Path],
) -> None:
    recipe = small_recipe("supervised")
    run = StageRun(recipe)
    run.stage = WithFrozen(recipe, torch.device("cpu"))
    fabric = run.networks.fabric
    run.networks = Networks(run.stage.networks(), optimiser=recipe.optimiser, fabric=fabric)
    assert run.networks.kept == ("student", "teacher")
    before = {k: v.clone() for k, v in run.networks["frozen"].state_dict().items()}
    sets = DATA.maker("desed")(sources["desed"], recipe)
    batch = sets.batches()[0].map(torch.from_numpy)
    run.step(batch, 1)
    torch.testing.assert_close(run.networks["frozen"].state_dict(), before, rtol=0, atol=0)
    assert "frozen" not in run.networks.state_dict()["networks"]
    frozen = run.networks["frozen"]
    layers = [m for m in frozen.modules() if isinstance(m, torch.nn.RNNBase)]
    assert layers
    assert all(layer.training for layer in layers)
    assert not frozen.dropout.training


def test_accumulated_gradients_are_those_of_the_larger_batch(
    sources: Mapping[str, Path], tmp_path: Path
) -> None:
    """Of a network without batch statistics, whose loss is a mean over equal parts."""
    changes: dict[str, Any] = {"optimiser": {"rise_epochs": 0}, "epochs": 1}
    small = small_recipe("pit", **changes, data={"batch": 2, "steps_per_epoch": 4}, accumulate=2)
    trainer, _ = fit_recipe(small, data=sources["mixtures"], folder=tmp_path / "small")
    assert trainer.steps == 2
    assert len(read_history(tmp_path / "small")) == 3  # two steps, and a validation
    large = small_recipe("pit", **changes, data={"batch": 4, "steps_per_epoch": 2})
    torch.manual_seed(large.seed)
    run = StageRun(large)
    sets = DATA.maker("mixtures")(sources["mixtures"], small)
    whole = sets.batches()
    for k in (1, 2):
        for part in range(2):
            batch = whole[2 * (k - 1) + part].map(torch.from_numpy)
            loss = torch.stack(list(run.terms(batch).values())).sum()
            run.networks.backward(loss / 2, last=part == 1)
        run.networks.step(k, {"learning_rate": 1e-3})
    torch.testing.assert_close(
        trainer.networks["student"].state_dict(), run.networks["student"].state_dict()
    )


def test_what_a_stage_needs_is_part_of_which_run_it_is(
    sources: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train.engine.folder import run_id

    recipe = small_recipe("supervised")
    sets = DATA.maker("desed")(sources["desed"], recipe)
    plain = run_id(recipe, sets)
    table = tmp_path / "x.pt"
    monkeypatch.setattr(type(recipe.stage), "needs", lambda _self: {"x": table})
    ids = set()
    for content in ("a", "b"):
        table.write_text(content)
        ids.add(run_id(recipe, sets))
    assert len({plain, *ids}) == 3
    assert json.dumps(dump_recipe(recipe))


def test_the_rate_is_divided_after_validations_without_improvement(
    sources: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays divided when the network improves again; a run that was cut goes on alike."""
    objectives = [0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2]
    divisions = [0, 0, 0, 1, 1, 1, 2]  # in the step after that many validations
    validations = 0

    def figures(_self: Any, name: str, _networks: Any, _sets: Any) -> dict[str, float]:
        nonlocal validations
        validations += name == "student"
        return {"objective": objectives[validations - 1]}

    monkeypatch.setattr(Detection, "figures", figures)
    recipe = small_recipe(
        "supervised",
        optimiser={"rise_epochs": 0, "divide_after": 2},
        data={"steps_per_epoch": 1},
        epochs=len(objectives),
    )
    for folder, cuts in (("whole", 0), ("cut", 5)):
        validations = 0
        for _ in range(cuts):
            fit_recipe(recipe, data=sources["desed"], folder=tmp_path / folder, until=0.0)
        fit_recipe(recipe, data=sources["desed"], folder=tmp_path / folder)
        history = [record for record in read_history(tmp_path / folder) if "rates" in record]
        rates = [record["rates"]["learning_rate"] for record in history]
        assert rates == pytest.approx([1e-3 / 10**n for n in divisions])
