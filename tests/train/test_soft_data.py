"""Soft labels from annotators to batches: opinions, recordings, crops, and the balanced sampler."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from streamsed.errors import ConfigError
from tests.train.kinds_of_data import small_recipe
from tests.train.soft_set import SCENES, SECONDS, write_soft_set
from tests.train.tiny_bank import write_bank
from tests.train.trees import RATE, write_wav
from train.cli import app
from train.data.annotators import (
    AnnotatorsConfig,
    competence,
    seconds,
    soft_labels,
    stretches,
)
from train.data.bank import Bank
from train.data.crops import (
    CropBatches,
    CropShape,
    OrderedCrops,
    SoftCrops,
    balanced_weights,
    whole_recordings,
)
from train.data.inputs import AudioInputs
from train.data.kept_audio import KeptAudio
from train.data.labels import LabelGrid
from train.data.maestro import read_maestro, scene_of
from train.data.recording_set import RecordingSet
from train.data.recordings_config import RecordingsConfig, SceneKind, load_recordings
from train.data.sets.registry import DATA
from train.data.soundscape_config import SoundscapeConfig
from train.places import find

CLASSES = ("Speech", "Frying")
PERFECT = AnnotatorsConfig(pool=4, opinions=3, stretch_s=3, hit=(1.0, 1.0), false_alarm=(0.0, 0.0))


def test_a_second_takes_the_mean_of_the_stretches_that_it_lies_in() -> None:
    """One second of five sounds; stretches of three begin at 0, 1 and 2."""
    active = np.array([[False], [False], [False], [True], [False]])
    sounds = stretches(active, 3)
    assert sounds[:, 0].tolist() == [False, True, True]
    found = seconds(sounds.astype(float), 5, 3)
    assert found[:, 0].tolist() == pytest.approx([0.0, 1 / 2, 2 / 3, 1.0, 1.0])
    labels = soft_labels(active, PERFECT, rng=np.random.default_rng(0))
    np.testing.assert_allclose(labels, found)


def test_a_recording_shorter_than_a_stretch_is_one() -> None:
    found = soft_labels(np.array([[True], [False]]), PERFECT, rng=np.random.default_rng(0))
    assert found[:, 0].tolist() == [1.0, 1.0]


def test_competence_is_agreement_beyond_chance() -> None:
    """Of four annotators three are right; the last has the opposite opinion, or a random one."""
    rng = np.random.default_rng(1)
    truth = rng.random((400, 3)) < 0.4
    named = np.stack([truth, truth, truth, ~truth], axis=1)
    who = np.tile(np.arange(4), (400, 1))
    found = competence(named, who, pool=5)
    assert found[:3] == pytest.approx(1.0)
    assert found[3] < -0.5
    assert found[4] == 0.0
    named[:, 3] = rng.random((400, 3)) < 0.4
    assert abs(competence(named, who, pool=4)[3]) < 0.1


def test_weighed_opinions_are_nearer_the_truth() -> None:
    rng = np.random.default_rng(2)
    active = np.repeat(rng.random((60, 4)) < 0.3, 10, axis=0)
    mixed = {"pool": 6, "opinions": 5, "stretch_s": 1, "hit": (0.2, 1.0)}
    errors = {}
    for weighed in (True, False):
        config = AnnotatorsConfig(**mixed, false_alarm=(0.0, 0.3), weighed=weighed)
        labels = soft_labels(active, config, rng=np.random.default_rng(3))
        assert ((labels >= 0.0) & (labels <= 1.0)).all()
        errors[weighed] = np.abs(labels - active).mean()
    assert errors[True] < errors[False]


def recordings_config(**changes: object) -> RecordingsConfig:
    values: dict[str, object] = {
        "scenes": {
            "home": SceneKind({"Speech": 1.0, "Frying": 1.0}, sources_a_minute=30.0),
            "street": SceneKind({"Speech": 1.0}, sources_a_minute=30.0),
        },
        "duration_s": 6.0,
        "annotators": PERFECT,
        "soundscape": SoundscapeConfig(simulated_rooms=1, reverberant=0.0, distractors=(1.0,)),
    }
    return RecordingsConfig(**{**values, **changes})  # type: ignore[arg-type]


def make(folder: Path, bank: Bank, recordings: int = 5, **changes: object) -> RecordingSet:
    config = recordings_config(**changes)
    return RecordingSet(folder, bank=bank, recordings=recordings, config=config, seed=2)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return Bank.open(write_bank(tmp_path_factory.mktemp("bank")))


def test_recordings_are_read_as_maestro_is(bank: Bank, tmp_path: Path) -> None:
    done: list[int] = []
    make(tmp_path / "set", bank).write(progress=done.append)
    assert sum(done) == 10
    folds = [
        {
            part: {
                clip.name
                for clip in read_maestro(
                    tmp_path / "set",
                    fold=fold,
                    part=part,  # type: ignore[arg-type]
                    classes=CLASSES,
                    scenes=tuple(SCENES),
                ).clips
            }
            for part in ("train", "val", "test")
        }
        for fold in range(1, 6)
    ]
    for parts in folds:
        assert {len(parts["train"]), len(parts["val"]), len(parts["test"])} == {6, 2}
        assert len(set.union(*parts.values())) == 10
    tested = Counter(name for parts in folds for name in parts["test"])
    assert set(tested.values()) == {1}
    every = read_maestro(
        tmp_path / "set", fold=1, part="train", classes=CLASSES, scenes=tuple(SCENES)
    )
    for clip in every.clips:
        assert soundfile.info(clip.path).frames == 6 * RATE
        labels = {event.label for event in clip.events or ()}
        assert labels <= ({"Speech"} if scene_of(clip) == "street" else set(CLASSES))
        truth = (tmp_path / "set/development_events" / clip.name).with_suffix(".tsv")
        for line in truth.read_text().splitlines()[1:]:
            onset, _, label = line.split("\t")
            second = int(float(onset))  # where it sounds, perfect annotators agree
            assert any(
                e.label == label and e.onset_s == second and e.confidence == 1.0
                for e in clip.events or ()
            )


def test_a_set_that_was_stopped_goes_on_to_the_same(bank: Bank, tmp_path: Path) -> None:
    make(tmp_path / "whole", bank).write()

    def stop(done: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", bank).write(progress=stop)
    make(tmp_path / "cut", bank).write()
    files = {
        folder: {
            path.relative_to(tmp_path / folder): path.read_bytes()
            for path in (tmp_path / folder).rglob("*.*")
            if path.is_file()
        }
        for folder in ("whole", "cut")
    }
    assert files["whole"] == files["cut"]
    larger = make(tmp_path / "cut", bank, 6)
    larger.write()
    for path, content in files["cut"].items():
        if "folds" not in str(path) and path.name != "dataset.json":
            assert (tmp_path / "cut" / path).read_bytes() == content


def test_what_cannot_be_made_is_one_line(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"4 recordings .* 5"):
        make(tmp_path / "few", bank, 4)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x.txt").write_text("")
    with pytest.raises(ConfigError, match=r"is not empty and has no dataset\.json"):
        make(tmp_path / "other", bank)
    cats = recordings_config(scenes={"roof": SceneKind({"Cat": 1.0})})
    made = RecordingSet(tmp_path / "cats", bank=bank, recordings=5, config=cats, seed=1)
    with pytest.raises(ConfigError, match="no clip of Cat"):
        made.write()
    make(tmp_path / "mine", bank)._describe()
    with pytest.raises(ConfigError, match="another config; choose a new folder"):
        make(tmp_path / "mine", bank, duration_s=7.0)
    with pytest.raises(ValueError, match="whole seconds"):
        recordings_config(duration_s=1.5)
    assert len(load_recordings(find("soundscapes", "maestro")).classes) == 10


def test_the_command_writes_recordings_alone(bank: Bank, tmp_path: Path) -> None:
    scenes = tmp_path / "scenes.yaml"
    scenes.write_text(
        "scenes: {home: {classes: {Speech: 1.0}}}\n"
        "soundscape: {simulated_rooms: 1, reverberant: 0.0}\n"
    )
    command = ["soundscapes", "--bank", str(bank.folder), "--recordings", "5", "--duration", "2",
               "--jobs", "1", "--scenes", str(scenes), "-o", str(tmp_path / "out")]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "5 recordings each of home; classes Speech" in result.output
    assert (tmp_path / "out/development_folds/fold5_test.csv").exists()
    refused = CliRunner().invoke(app, [*command, "--strong", "1"])
    assert refused.exit_code != 0


@pytest.fixture(scope="module")
def soft_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_soft_set(tmp_path_factory.mktemp("soft"))


def crops_of(root: Path, shape: CropShape, cache: Path | None = None) -> tuple[SoftCrops, object]:
    clips = read_maestro(root, fold=1, part="train", classes=CLASSES, scenes=tuple(SCENES))
    grid = LabelGrid(CLASSES, frame_samples=RATE // 2, duration_s=shape.frames / 2)
    inputs = AudioInputs(grid) if cache is None else KeptAudio(cache, grid, hop_samples=800)
    if isinstance(inputs, KeptAudio):
        inputs.cache.add(clips.clips)
    made = SoftCrops(inputs, shape, scenes=tuple(SCENES), scene_of=scene_of)
    return made, clips


@pytest.mark.parametrize("kept", [False, True])
def test_a_crop_is_longer_than_its_target(soft_set: Path, tmp_path: Path, kept: bool) -> None:
    """Frames of half a second: four before, one of target, three behind, at every place."""
    crops, clips = crops_of(soft_set, CropShape(4, 1, 3), tmp_path if kept else None)
    clip = clips.clips[3]  # type: ignore[attr-defined]
    audio, _ = soundfile.read(clip.path, dtype="float32")
    padded = np.pad(audio, (4 * 8000, 3 * 8000))
    labels = np.zeros((2 * SECONDS, 2), np.float32)
    for event in clip.events:
        labels[int(2 * event.onset_s) : int(2 * event.offset_s), CLASSES.index(event.label)] = (
            event.confidence
        )
    for first in range(2 * SECONDS):
        batch = crops.read([(clip, first)], step=0)
        np.testing.assert_allclose(
            batch.inputs[0], padded[first * 8000 : (first + 8) * 8000], atol=1e-6
        )
        np.testing.assert_array_equal(batch.values[0, 0], labels[first])
        there = [0 <= first - 4 + k < 2 * SECONDS for k in range(8)]
        assert batch.inside[0].tolist() == [float(each) for each in there]
        assert batch.known.all()
        assert batch.scene.tolist() == [tuple(SCENES).index(scene_of(clip))]


def test_targets_side_by_side_are_whole_recordings(soft_set: Path) -> None:
    crops, clips = crops_of(soft_set, CropShape(1, 3, 1))
    parts: dict[str, list[tuple[int, np.ndarray]]] = {}
    for batch in OrderedCrops(crops, clips, batch=4):  # type: ignore[arg-type]
        for row, name in enumerate(batch.names):
            known = batch.known[row]
            parts.setdefault(name, []).append((int(batch.first[row]), batch.values[row][known]))
    for clip in clips.clips:  # type: ignore[attr-defined]
        np.testing.assert_array_equal(whole_recordings(parts)[clip.name], crops.labels(clip))


def test_weights_go_from_as_they_come_to_each_class_alike() -> None:
    labels = np.array([[0.9, 0.1]] * 6 + [[0.1, 0.6]] * 2 + [[0.1, 0.2]] * 8, np.float32)
    plain = balanced_weights([labels[:5], labels[5:]], alpha=0.0)
    assert plain == pytest.approx([1 / 16] * 16)
    even = balanced_weights([labels], alpha=1.0)
    assert [even[:6].sum(), even[6:8].sum(), even[8:].sum()] == pytest.approx([1 / 3] * 3)
    half = balanced_weights([labels], alpha=0.5)
    wanted = [0.5 / 3 + 0.5 * count / 16 for count in (6, 2, 8)]
    assert [half[:6].sum(), half[6:8].sum(), half[8:].sum()] == pytest.approx(wanted)


def test_the_chances_of_a_second_of_two_classes_add_up() -> None:
    """Memberships: 2 of a, 1 of b, 1 of none; a class that never is has no share."""
    labels = np.array([[0.9, 0.5, 0.0], [0.6, 0.1, 0.0], [0.4, 0.4, 0.0]], np.float32)
    found = balanced_weights([labels], alpha=1.0)
    assert found == pytest.approx([1 / 3 / 2 + 1 / 3, 1 / 3 / 2, 1 / 3])
    half = balanced_weights([labels], alpha=0.5)
    assert half.sum() == pytest.approx(1.0)
    assert half[2] == pytest.approx(0.5 / 3 + 0.5 / 4)


def test_the_sampler_draws_what_its_weights_say(soft_set: Path) -> None:
    crops, clips = crops_of(soft_set, CropShape(0, 1, 0))
    shares = {}
    for alpha in (0.0, 1.0):
        batches = CropBatches(crops, clips, batch=50, alpha=alpha, seed=1)  # type: ignore[arg-type]
        drawn = np.concatenate([batches[step].values[:, 0] for step in range(8)])
        group = np.where(drawn.max(axis=1) >= 0.5, drawn.argmax(axis=1), 2)
        shares[alpha] = np.bincount(group, minlength=3) / len(group)
    assert shares[1.0] == pytest.approx([1 / 3] * 3, abs=0.08)
    every = np.concatenate([crops.labels(clip) for clip in clips.clips])  # type: ignore[attr-defined]
    true = np.where(every.max(axis=1) >= 0.5, every.argmax(axis=1), 2)
    assert shares[0.0] == pytest.approx(np.bincount(true, minlength=3) / len(true), abs=0.08)


def test_recordings_of_another_rate_are_kept_once(tmp_path: Path) -> None:
    """As MAESTRO Real's 44.1 kHz: resampled once, and not read again."""
    root = write_soft_set(tmp_path / "set")
    for path in root.rglob("*.wav"):
        write_wav(path, np.tile(np.sin(np.arange(441) / 7.0), 400).astype(np.float32), rate=44_100)
    recipe = small_recipe(
        "soft", machine={"cache": tmp_path / "cache"}, augment={"clipping": {"probability": 1.0}}
    )
    sets = DATA.maker("maestro")(root, recipe)
    first = sets.batches()[0]
    assert first.inputs.ndim == 2
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.f32")}
    assert len(kept) == 1
    for path in root.rglob("*.wav"):
        path.touch()
        stamp = path.stat()
        assert stamp.st_size
    again = DATA.maker("maestro")(root, recipe)
    np.testing.assert_array_equal(again.batches()[0].inputs, first.inputs)
    bands = small_recipe("soft", machine={"cache": tmp_path / "cache"})
    assert DATA.maker("maestro")(root, bands).batches()[0].inputs.shape[2] == 16
    assert torch.from_numpy(first.inputs).isfinite().all()
