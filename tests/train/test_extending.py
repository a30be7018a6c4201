"""The page about new kinds, followed: its blocks are run, and what they register trains."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from streamsed.bundle import load
from streamsed.registry import Registry
from streamsed.sources.entry import SOURCES
from tests.train.tone_set import write_tone_set
from train.checkpoint import load_model
from train.data.sets.registry import DATA
from train.engine.fitting import fit_recipe
from train.engine.training_log import read_history
from train.ensemble import read_ensemble
from train.models.registry import MODELS
from train.recipe.schema import dump_recipe, load_recipe, parse_recipe
from train.stages.registry import STAGES

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs/extending.md"
REGISTRIES: tuple[Registry, ...] = (MODELS, STAGES, DATA, SOURCES)  # type: ignore[type-arg]


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


@pytest.fixture(scope="module")
def with_source(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment whose interpreters find the page's source among the others."""
    folder = tmp_path_factory.mktemp("kinds")
    source = PAGE.read_text(encoding="utf-8").partition("## A source\n")[2]
    (block,) = re.findall(r"```python\n(.*?)```", source, re.DOTALL)
    (folder / "more").mkdir()
    (folder / "more/array_source.py").write_text(block)
    lines = (
        "from streamsed.sources import kinds",
        f"kinds.__path__.append({str(folder / 'more')!r})",
    )
    (folder / "more_kinds.py").write_text("\n".join(lines))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(CHECKOUT)])}


def test_its_source_is_in_the_contract_tests(with_source: dict[str, str]) -> None:
    tests = ("tests/sources/test_contract.py", "-k", "[array]", "-q", "-p", "more_kinds")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *tests, "-p", "no:cacheprovider"],
        cwd=CHECKOUT,
        env=with_source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 passed" in ran.stdout


def test_its_source_is_checked_like_any_other(with_source: dict[str, str], tmp_path: Path) -> None:
    np.save(tmp_path / "noise.npy", np.random.default_rng(1).normal(0.0, 0.1, 16_000))
    begin = "import sys, more_kinds; from streamsed.__main__ import main; sys.exit(main())"

    def check(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", begin, "check", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=with_source, capture_output=True, text=True, check=False
        )

    found = check("--source", "noise.npy")
    assert "noise: array, can be opened" in found.stdout, found.stderr
    (tmp_path / "config.yaml").write_text("sources: [{type: array, name: a, pth: gone.npy}]\n")
    refused = check()
    assert refused.returncode == 2
    assert "unknown key; did you mean 'path'?" in refused.stderr
    assert len(refused.stderr.splitlines()) <= 2
