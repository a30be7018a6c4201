"""One file that cannot be decoded is found before a run begins, whatever is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from structlog.testing import capture_logs

from streamsed.errors import DataError
from tests.train.tiny_bank import write_bank
from tests.train.tone_set import write_tone_set
from train.data.bank import Bank
from train.data.headers import undecodable
from train.data.sets.registry import DATA
from train.places import find
from train.recipe.schema import Recipe, load_recipe


def write(path: Path, *, share: float = 1.0) -> Path:
    """Write a second of noise, or the beginning of such a file."""
    rng = np.random.default_rng(5)
    soundfile.write(path, 0.1 * rng.standard_normal(16_000), 16_000)
    data = path.read_bytes()
    path.write_bytes(data[: round(share * len(data))])
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_whole_files_are_whole(tmp_path: Path, suffix: str) -> None:
    assert undecodable([write(tmp_path / f"a.{suffix}"), tmp_path / "missing.wav"]) == {}


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_files_that_are_cut_short_are_found(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", share=0.5)
    assert "cut short" in undecodable([path])[path]


@pytest.mark.parametrize("content", [b"", b"<html>no such file</html>", b"RIFF\0\0\0\0WAVE"])
def test_files_that_are_no_audio_are_found(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert list(undecodable([path])) == [path]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A data set with broken files in three parts."""
    root = write_tone_set(tmp_path / "tones")
    names = ["train/weak/weak3.wav", "train/unlabel_in_domain/unlabel_in_domain0.wav"]
    names.append("validation/synthetic21_validation/soundscapes/valid2.wav")
    for name in names:
        (root / "audio" / name).write_bytes(b"<html>")
    return root


def sets_of(root: Path, recipe: Recipe) -> dict[str, int]:
    return dict(DATA.maker(recipe.data.kind)(root, recipe).counts())


def test_all_broken_files_are_named_at_once(broken: Path) -> None:
    recipe = load_recipe(find("recipes", "tiny-mean-teacher"))
    with pytest.raises(DataError, match="3 files cannot be decoded") as raised:
        sets_of(broken, recipe)
    for name in ("weak3.wav", "unlabel_in_domain0.wav", "valid2.wav", "leave_out"):
        assert name in str(raised.value)


def test_they_may_be_left_out(broken: Path) -> None:
    recipe = load_recipe(find("recipes", "tiny-mean-teacher"))
    data = replace(recipe.data, missing="leave_out")  # type: ignore[call-arg, type-var]
    with capture_logs() as logs:
        counts = sets_of(broken, replace(recipe, data=data))
    assert counts["unlabelled"] == 23
    assert counts["validation: strong_validation"] == 15
    left_out = [name for entry in logs for name in entry["files"]]
    assert sorted(left_out) == ["unlabel_in_domain0.wav", "valid2.wav", "weak3.wav"]


def test_recordings_of_a_bank_are_looked_at(tmp_path: Path) -> None:
    bank = Bank.open(write_bank(tmp_path))
    (tmp_path / bank.clips[0].file).write_bytes(b"no")
    with pytest.raises(DataError, match="1 file cannot be decoded"):
        sets_of(tmp_path, load_recipe(find("recipes", "tiny-domestic")))
