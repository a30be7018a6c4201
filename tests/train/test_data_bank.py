"""The recording bank: what it reads, and what it says of a bank that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamsed.errors import ConfigError
from tests.train.tiny_bank import ROWS, write_bank
from train.data.bank import Bank


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bank(tmp_path)


def test_selects_by_kind_split_and_label(folder: Path) -> None:
    bank = Bank.open(folder)
    assert len(bank.clips) == len(ROWS)
    assert {c.label for c in bank.select("foreground", split="train")} == {"Speech", "Frying"}
    (clip,) = bank.select("foreground", split="train", label="Frying")
    assert clip.licence == "CC0-1.0"
    assert clip.seconds == pytest.approx(3.0)
    assert bank.select("foreground", split="valid", label="Dog") == ()


def test_samples_are_the_files_samples(folder: Path) -> None:
    bank = Bank.open(folder)
    clip = bank.select("foreground", split="train", label="Speech")[0]
    stored, _ = soundfile.read(folder / clip.file, dtype="float32")
    assert bank.length(clip) == len(stored)
    np.testing.assert_allclose(bank.samples(clip), stored, atol=2e-5)
    np.testing.assert_array_equal(bank.samples(clip, 100, 200), bank.samples(clip)[100:200])


def test_preload_decodes_one_split_and_reads_no_file_again(folder: Path) -> None:
    bank = Bank.open(folder)
    assert bank.preload("train") > 0
    clip = bank.select("foreground", split="train")[0]
    for path in folder.rglob("*.wav"):
        path.unlink()
    assert len(bank.samples(clip)) == bank.length(clip)
    with pytest.raises(ConfigError, match="cannot be decoded"):
        bank.samples(bank.select("foreground", split="valid")[0])


def test_licences_are_summed_by_source(folder: Path) -> None:
    rows = Bank.open(folder).licences("train")
    assert ("tones", "CC0-1.0") in {(source, licence) for source, licence, _, _ in rows}
    assert sum(clips for _, _, clips, _ in rows) == sum(r["split"] == "train" for r in ROWS)


def test_files_are_left_out_by_pattern(folder: Path) -> None:
    bank = Bank.open(folder).without(["*/Speech/*"])
    assert bank.select("foreground", split="train", label="Speech") == ()
    assert bank.select("foreground", split="train", label="Frying")


def edit(folder: Path, old: str, new: str) -> None:
    table = folder / "bank.tsv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("licence", "license", "column licence is missing"),
        ("foreground\t", "front\t", "line 2: kind 'front'"),
        ("train", "test", "line 2: split 'test'"),
        ("3.0", "three", "seconds 'three'; must be a number"),
        ("speech-a.wav", "speech-x.wav", "speech-x.wav: missing"),
        ("voice-valid", "voice-a", "recording voice-a stands in both splits"),
    ],
)
def test_a_wrong_table_is_one_clear_line(folder: Path, old: str, new: str, message: str) -> None:
    edit(folder, old, new)
    with pytest.raises(ConfigError, match=message) as caught:
        Bank.open(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_bank_names_its_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere/bank\.tsv: cannot be read"):
        Bank.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (np.zeros(800), 8000, "rate 8000 Hz"),
        (np.zeros(0), 16000, "empty or not finite"),
        (np.full(100, np.nan), 16000, "empty or not finite"),
    ],
)
def test_a_bad_file_is_named(folder: Path, audio: np.ndarray, rate: int, message: str) -> None:
    bank = Bank.open(folder)
    clip = bank.clips[0]
    soundfile.write(folder / clip.file, audio, rate, subtype="FLOAT")
    with pytest.raises(ConfigError, match=message) as caught:
        bank.samples(clip)
    assert clip.file in str(caught.value)
