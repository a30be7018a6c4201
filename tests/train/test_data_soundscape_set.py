"""Soundscapes written as a data set in DESED's shape: read back, gone on with, refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
import typer
import yaml
from typer.testing import CliRunner

from streamsed.errors import ConfigError
from tests.train.tiny_bank import write_bank
from train.commands.soundscapes import soundscapes
from train.data.bank import Bank
from train.data.desed import Part, read_desed
from train.data.soundscape import ClassSpec, SoundscapeConfig, SoundscapeGenerator
from train.data.soundscape_config import load_soundscapes
from train.data.soundscape_set import SOURCES, SoundscapeSet

SMALL = SoundscapeConfig(duration_s=1.5, simulated_rooms=1, room_places=1)
ALL: dict[Part, int] = {
    "weak": 9,
    "unlabelled": 5,
    "strong": 11,
    "strong_validation": 2,
    "validation": 4,
    "public": 3,
}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return Bank.open(write_bank(tmp_path_factory.mktemp("bank")))


def made(
    folder: Path,
    bank: Bank,
    clips: dict[Part, int],
    *,
    config: SoundscapeConfig = SMALL,
    seed: int = 3,
) -> SoundscapeSet:
    return SoundscapeSet(folder, bank=bank, clips=clips, config=config, seed=seed)


def content(folder: Path) -> dict[str, str]:
    """Digest of every file that a reader sees."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".scenes" not in path.parts
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, bank: Bank) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    made(folder, bank, ALL).write()
    return folder


def test_every_part_is_read_back_as_desed_with_the_generators_labels(
    whole: Path, bank: Bank
) -> None:
    for part, count in ALL.items():
        clips = read_desed(whole, part)
        assert len(clips) == count
        source = SOURCES[part]
        generator = SoundscapeGenerator(bank, split=source.split, config=SMALL, seed=3)
        for index, clip in enumerate(clips.clips):
            scene = generator.generate(source.first + index)
            audio, rate = soundfile.read(clip.path, dtype="float32")
            assert rate == 16_000
            assert len(audio) == 24_000
            assert abs(audio - scene.audio).max() < 1e-4
            if clip.kind == "weak":
                assert clip.tags == tuple(sorted({event.label for event in scene.events}))
            elif clip.kind == "strong":
                assert clip.events is not None
                assert sorted(e.label for e in clip.events) == sorted(e.label for e in scene.events)
                for event in clip.events:
                    assert min(abs(event.onset_s - e.onset_s) for e in scene.events) <= 5e-4
                assert clip.duration_s == 1.5
            else:
                assert part == "unlabelled"
    assert len({clip.name for part in ALL for clip in read_desed(whole, part).clips}) == 34


def test_the_description_says_what_was_made_of_what(whole: Path) -> None:
    described = json.loads((whole / "dataset.json").read_text())
    assert described["schema"] == "streamsed.dataset/1"
    assert described["complete"] is True
    assert described["seed"] == 3
    assert described["soundscape"]["duration_s"] == 1.5
    assert described["parts"]["weak"]["clips"] == 9
    assert {(row["source"], row["licence"]) for row in described["sources"]} == {
        ("tones", "CC0-1.0")
    }
    assert {row["split"] for row in described["sources"]} == {"train", "valid"}


def test_processes_change_nothing(whole: Path, bank: Bank, tmp_path: Path) -> None:
    made(tmp_path, bank, ALL).write(jobs=3)
    assert content(tmp_path) == content(whole)


def test_a_set_that_was_stopped_or_damaged_is_completed_and_the_rest_left_alone(
    whole: Path, bank: Bank, tmp_path: Path
) -> None:
    made(tmp_path, bank, {"weak": 4, "strong": 2}).write()
    kept = tmp_path / "audio/train/weak_16k/weak-000000.wav"
    cut = tmp_path / "audio/train/weak_16k/weak-000001.wav"
    gone = tmp_path / "audio/train/synthetic21_train/soundscapes_16k/strong-000001.wav"
    before = kept.stat().st_mtime_ns
    cut.write_bytes(cut.read_bytes()[:1000])
    gone.unlink()
    journal = tmp_path / ".scenes/weak.jsonl"
    lines = journal.read_text().rstrip().splitlines()
    journal.write_text("\n".join(lines)[:-5])  # the last line was being written
    counts: list[int] = []
    made(tmp_path, bank, ALL).write(progress=counts.append)
    assert content(tmp_path) == content(whole)
    assert kept.stat().st_mtime_ns == before
    assert counts[0] == 3
    assert sum(counts) == sum(ALL.values())
    made(tmp_path, bank, ALL).write(progress=counts.append)
    assert counts[-1] == sum(ALL.values())


KILLED = """
import sys
from pathlib import Path
from tests.train.test_data_soundscape_set import SMALL, SoundscapeSet
from train.data.bank import Bank
bank = Bank.open(Path(sys.argv[1]))
SoundscapeSet(Path(sys.argv[2]), bank=bank, clips={"strong": 5000}, config=SMALL, seed=3).write(
    jobs=2)
"""


def wait_for(condition: object, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60.0
    while not condition():  # type: ignore[operator]
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_run_leaves_no_process_and_goes_on(
    whole: Path, bank: Bank, tmp_path: Path
) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, bank.folder, tmp_path])
    journal = tmp_path / ".scenes/strong.jsonl"
    wait_for(lambda: journal.exists() and journal.read_text().count("[") > 40, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 30.0
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < end, "a mixing process outlived its parent"
        time.sleep(0.02)
    # As if 11 had been asked for: what is whole is taken as it is.
    description = json.loads((tmp_path / "dataset.json").read_text())
    assert description["complete"] is False
    description["parts"]["strong"]["clips"] = 11
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    made(tmp_path, bank, {"strong": 11}).write()
    audio = "audio/train/synthetic21_train/soundscapes_16k/strong-0000"
    expected = {k: v for k, v in content(whole).items() if k.startswith(audio)}
    now = content(tmp_path)
    assert {name: now[name] for name in expected} == expected
    assert len(read_desed(tmp_path, "strong")) == 11


def test_another_set_in_the_folder_is_refused(whole: Path, bank: Bank, tmp_path: Path) -> None:
    def refused(message: str, **other: object) -> None:
        with pytest.raises(ConfigError, match=message):
            made(whole, bank, **({"clips": ALL} | other))  # type: ignore[arg-type]

    refused("holds a data set with another seed; choose a new folder", seed=4)
    refused("another soundscape", config=dataclasses.replace(SMALL, duration_s=2.0))
    refused("was begun with 9 clips of part weak; ask for as many", clips={**ALL, "weak": 8})
    refused("no clips are asked for", clips={})
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"is not empty and has no dataset\.json"):
        made(tmp_path, bank, ALL)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"is no streamsed\.dataset/1"):
        made(tmp_path, bank, ALL)


def small_scenes(folder: Path) -> str:
    """Write a file that says what small scenes are like; rooms would take half a minute."""
    path = folder / "scenes.yaml"
    path.write_text("simulated_rooms: 1\nroom_places: 1\nduration_s: 2.0\n")
    return str(path)


def test_the_command_writes_and_goes_on(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(soundscapes)
    command = ["-o", "set", "--bank", str(bank.folder), "--weak", "3", "--validation", "2",
               "--scenes", small_scenes(tmp_path), "--duration", "1", "--jobs", "2"]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "set: 3 weak, 2 validation" in result.output
    assert len(read_desed(Path("set"), "weak")) == 3
    again = CliRunner().invoke(app, [*command[:4], "--strong", "1", *command[-6:]])
    assert again.exit_code == 0, again.output
    assert len(read_desed(Path("set"), "strong")) == 1
    assert "set: 1 strong, 3 weak, 2 validation" in again.output
    refused = CliRunner().invoke(app, [*command, "--seed", "2"])
    assert isinstance(refused.exception, ConfigError)
    assert os.listdir("set/audio/train")  # noqa: PTH208
    longer = CliRunner().invoke(app, ["-o", "own", *command[2:-4], "--jobs", "1"])
    assert longer.exit_code == 0, longer.output
    assert soundfile.info(next(Path("own").rglob("*.wav"))).duration == 2.0, "as the file says"


def test_scenes_are_what_a_file_says_and_else_the_default(tmp_path: Path) -> None:
    path = tmp_path / "scenes.yaml"
    path.write_text("snr_db: [6, 30]\nplans: {Dog: {again: 0.1}}\n")
    config = load_soundscapes(path)
    assert config == SoundscapeConfig(snr_db=(6.0, 30.0), plans={"Dog": ClassSpec(again=0.1)})
    for wrong, line in {
        "snr: [6, 30]": r"scenes.yaml:1: snr: unknown key; did you mean 'snr_db'",
        "plans: {Dog: {gap: 1}}": r"plans\.Dog\.gap: unknown key",
        "sources: [0.5]": "sources .*must be probabilities that add up to 1",
    }.items():
        path.write_text(wrong)
        with pytest.raises(ConfigError, match=line):
            load_soundscapes(path)


def of_clips() -> list[Path]:
    """Return the files for scenes of one clip each; the others are for recordings of minutes."""
    paths = sorted(Path("train/soundscapes").glob("*.yaml"))
    return [path for path in paths if "scenes" not in yaml.safe_load(path.read_text())]


@pytest.mark.parametrize("path", of_clips(), ids=str)
def test_scenes_of_every_file_can_be_mixed(path: Path, bank: Bank, tmp_path: Path) -> None:
    config = dataclasses.replace(load_soundscapes(path), duration_s=1.5)
    made(tmp_path, bank, {"strong": 4}, config=config).write()
    assert len(read_desed(tmp_path, "strong")) == 4
