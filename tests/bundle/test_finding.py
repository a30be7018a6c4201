"""Bundles by name: where they are looked for, in which order, and what is not a name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamsed.bundle import find_bundle
from streamsed.bundle.finding import ENVIRONMENT, find_bundles
from streamsed.errors import BundleError


def bundle(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.yaml").touch()
    return folder


def refusal(name: str | Path, beside: Path | None = None) -> str:
    with pytest.raises(BundleError) as refused:
        find_bundle(Path(name), beside=beside)
    return str(refused.value)


def test_the_default_one_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_bundle(Path("domestic"))
    assert (found / "manifest.yaml").is_file()
    assert find_bundle(Path("models/domestic")) == found, "as configurations have called it"


def test_the_environment_goes_before_the_configuration_and_that_before_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = find_bundle(Path("domestic"), beside=tmp_path)
    under_models = bundle(tmp_path / "models" / "domestic")
    assert find_bundle(Path("domestic"), beside=tmp_path) == under_models != installed
    beside = bundle(tmp_path / "domestic")
    assert find_bundle(Path("domestic"), beside=tmp_path) == beside
    named = [bundle(tmp_path / folder / "domestic") for folder in ("a", "b")]
    monkeypatch.setenv(ENVIRONMENT, os.pathsep.join(str(path.parent) for path in named))
    assert find_bundle(Path("domestic"), beside=tmp_path) == beside, "a path before any name"
    (beside / "manifest.yaml").unlink()
    assert find_bundle(Path("domestic"), beside=tmp_path) == named[0]
    assert list(find_bundles(tmp_path))[:3] == [*named, under_models]


def test_a_path_is_never_a_name(tmp_path: Path) -> None:
    for path in (tmp_path / "domestic", Path("./models/../domestic"), Path("mine/domestic")):
        assert "no such bundle; a folder with manifest.yaml is wanted" in refusal(path, tmp_path)


def test_what_is_not_found_lists_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "mine"))
    message = refusal("domestik", tmp_path)
    for folder in (tmp_path / "mine", tmp_path, "/usr/share/streamsed/models"):
        assert str(folder) in message
    assert ENVIRONMENT in message


def test_a_model_that_is_no_bundle_yet(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.touch()
    assert f"streamsed bundle make {model}" in refusal(model)
    assert "no such file" in refusal(tmp_path / "other.onnx")
    (tmp_path / "card.md").touch()
    assert "is a file" in refusal(tmp_path / "card.md")
