"""Mixtures with their sources: read back, gone on with, refused, and made by the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from streamsed.errors import ConfigError
from tests.train.test_data_soundscape_set import SMALL, content, small_scenes
from tests.train.tiny_bank import write_bank
from train.commands.soundscapes import soundscapes
from train.data.bank import Bank
from train.data.fuss import Split, read_fuss
from train.data.source_set import SourceSet


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return Bank.open(write_bank(tmp_path_factory.mktemp("bank")))


def made(folder: Path, bank: Bank, mixtures: dict[Split, int], *, seed: int = 3) -> SourceSet:
    return SourceSet(folder, bank=bank, clips=mixtures, config=SMALL, seed=seed)


@pytest.fixture(scope="module")
def written(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "mixtures"
    made(folder, bank, {"train": 9, "validation": 2, "eval": 3}).write()
    return folder


def test_sources_sum_to_their_mixture(written: Path) -> None:
    counts = set()
    for split, count in (("train", 9), ("validation", 2), ("eval", 3)):
        mixtures = read_fuss(written, split)  # type: ignore[arg-type]
        assert len(mixtures) == count
        for mixture in mixtures:
            audio, sources = mixture.read()
            assert len(audio) == round(SMALL.duration_s * 16000)
            np.testing.assert_allclose(sources.sum(0), audio, rtol=0, atol=2.0 / 32768)
            assert np.abs(audio).max() < 1.0
            assert np.abs(sources[0]).max() > 0.0
            assert mixture.sources[0].name == "background0_sound.wav"
            counts.add(len(mixture.sources))
    assert counts <= {2, 3, 4}
    assert len(counts) > 1


def test_splits_share_no_scene_and_a_seed_repeats_them(
    written: Path, bank: Bank, tmp_path: Path
) -> None:
    mixtures = [m for split in ("train", "validation", "eval") for m in read_fuss(written, split)]  # type: ignore[arg-type]
    assert len({mixture.path.read_bytes() for mixture in mixtures}) == 14
    made(tmp_path / "again", bank, {"train": 9, "validation": 2, "eval": 3}).write(jobs=2)
    assert content(tmp_path / "again") == content(written)
    made(tmp_path / "other", bank, {"train": 1}, seed=4).write()
    other = read_fuss(tmp_path / "other", "train")[0].path.read_bytes()
    assert other != read_fuss(written, "train")[0].path.read_bytes()


def test_a_set_that_was_stopped_is_gone_on_with(written: Path, bank: Bank, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    made(folder, bank, {"train": 4}).write()
    (folder / "train/example00002.wav").unlink()  # its sources were written, it was not
    done: list[int] = []
    made(folder, bank, {"train": 9, "validation": 2, "eval": 3}).write(progress=done.append)
    assert sum(done) == 14
    assert done[0] == 3
    assert content(folder) == content(written)


def test_other_mixtures_are_refused(written: Path, bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="another seed"):
        made(written, bank, {"train": 1}, seed=4)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match="not empty"):
        made(tmp_path, bank, {"train": 1})


def test_the_command_writes_mixtures_beside_clips(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(soundscapes)
    common = ["-o", "data", "--bank", str(bank.folder), "--scenes", small_scenes(tmp_path),
              "--duration", "1.5", "--jobs", "1"]  # fmt: skip
    done = CliRunner().invoke(app, [*common, "--mixtures", "2", "--mixtures-eval", "1"])
    assert done.exit_code == 0, done.output
    assert "2 separation/train, 1 separation/eval" in done.output
    assert len(read_fuss(Path("data/separation"), "train")) == 2
    done = CliRunner().invoke(app, [*common, "--strong", "1", "--mixtures", "3"])
    assert done.exit_code == 0, done.output
    assert "1 strong, 3 separation/train" in done.output
    assert Path("data/dataset.json").exists()
