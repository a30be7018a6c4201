"""The page about new kinds, followed: its blocks are run, and what they register trains."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch

from streamsed.bundle import load
from tests.train.tone_set import write_tone_set
from train.checkpoint import load_model
from train.data.sets.registry import DATA
from train.engine.fitting import fit_recipe
from train.engine.journal import read_history
from train.ensemble import read_ensemble
from train.models.registry import MODELS
from train.recipe.schema import dump_recipe, load_recipe, parse_recipe
from train.registry import Registry
from train.stages.registry import STAGES

PAGE = Path(__file__).parents[2] / "docs/extending.md"
REGISTRIES: tuple[Registry, ...] = (MODELS, STAGES, DATA)  # type: ignore[type-arg]


def blocks(language: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    return "\n\n".join(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Register what the page does, for as long as this module's tests run."""
    folder = tmp_path_factory.mktemp("extending")
    (folder / "page_of_extending.py").write_text(blocks("python"))
    (folder / "steady.yaml").write_text(blocks("yaml"))
    before = [dict(registry.configs()) for registry in REGISTRIES]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import_module("page_of_extending")
        yield folder
    sys.modules.pop("page_of_extending")
    for registry, kinds in zip(REGISTRIES, before, strict=True):
        for kind in set(registry.configs()) - set(kinds):
            registry.forget(kind)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_tone_set(tmp_path_factory.mktemp("tones"))
    audio = root / "audio/train/synthetic21_train/soundscapes"
    table = (root / "metadata/train/synthetic21_train/soundscapes.tsv").read_text().splitlines()
    valid = [line for line in table[1:] if line.startswith(("strong0.", "strong1."))]
    (audio / "train.tsv").write_text("\n".join(table) + "\n")
    (audio / "valid.tsv").write_text("\n".join([table[0], *valid]) + "\n")
    return audio


@pytest.fixture(scope="module")
def whole(folder: Path, data: Path) -> Path:
    run = folder / "run"
    trainer, done = fit_recipe(load_recipe(folder / "steady.yaml"), data=data, folder=run)
    assert done
    assert trainer.steps == 40
    return run


def test_its_recipe_survives_being_written(folder: Path) -> None:
    recipe = load_recipe(folder / "steady.yaml")
    assert (recipe.model.kind, recipe.stage.kind, recipe.data.kind) == (
        "gated_crnn",
        "steady",
        "table",
    )
    assert parse_recipe(dump_recipe(recipe), where="copy") == recipe


def test_it_learns(whole: Path) -> None:
    records = [r for r in read_history(whole) if r["kind"] == "losses"]
    assert records[-1]["losses"].keys() == {"loss", "strong", "weak", "steadiness"} - {"weak"}
    assert records[-1]["losses"]["strong"] < 0.7 * records[0]["losses"]["strong"]
    assert records[-1]["rates"]["steadiness"] == pytest.approx(0.05)


def test_it_resumes_to_the_same_weights(whole: Path, folder: Path, data: Path) -> None:
    recipe = load_recipe(folder / "steady.yaml")
    _, done = fit_recipe(recipe, data=data, folder=folder / "cut", until=0.0)
    assert not done
    assert fit_recipe(recipe, data=data, folder=folder / "cut")[1]
    one, other = (load_model(run / "student.last.pt").model for run in (whole, folder / "cut"))
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_it_streams_and_is_exported(whole: Path, folder: Path) -> None:
    ensemble = read_ensemble([whole / "best.pt"])
    _, differences = ensemble.write(folder / "bundle", ensemble.look_ahead(None))
    assert max(differences.values()) < 1e-4
    assert load(folder / "bundle").manifest.members[0].name == "steady"
