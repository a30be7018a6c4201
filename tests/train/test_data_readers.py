"""Public data sets, read from small trees in their layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from streamsed.bundle.manifest import Label
from streamsed.errors import DataError
from tests.train.trees import (
    tone,
    write_desed,
    write_fuss,
    write_maestro,
    write_wav,
)
from train.data.audio import audio_samples, read_audio
from train.data.classes import CLASSES
from train.data.desed import PLACES, read_desed, recording_of
from train.data.events import Event
from train.data.fuss import read_fuss
from train.data.maestro import ANNOTATED, EVALUATED, read_maestro, scene_of


@pytest.mark.parametrize("resampled", [False, True])
def test_every_part_of_desed_is_read(tmp_path: Path, resampled: bool) -> None:
    root = write_desed(tmp_path, resampled=resampled)
    weak = read_desed(root, "weak")
    assert weak.kind == "weak"
    assert [clip.tags for clip in weak.clips] == [("Speech", "Vacuum_cleaner"), ("Cat",), ("Dog",)]
    assert [clip.recording for clip in weak.clips] == ["00pbt6aJV8Y", "00pbt6aJV8Y", "-0KoJoBTT_s"]

    unlabelled = read_desed(root, "unlabelled")
    assert [clip.name for clip in unlabelled.clips] == [
        "Y1Ro0FgMWTUE_0.000_10.000.wav",
        "YzzzFgMWTUEE_5.000_15.000.wav",
    ]
    assert {clip.kind for clip in unlabelled.clips} == {"unlabelled"}

    strong = read_desed(root, "strong")
    assert strong.clips[0].events == (Event("Cat", 0.1, 0.5), Event("Speech", 0.2, 0.9))
    assert read_desed(root, "strong_validation").clips[0].duration_s == 1.0
    validation = read_desed(root, "validation")
    assert [clip.events for clip in validation.clips] == [(Event("Dog", 0.5, 0.75),), ()]
    assert validation.durations() == dict.fromkeys([c.name for c in validation.clips], 1.0)
    public = read_desed(root, "public")
    assert public.clips[0].recording == "1Ro0FgMWTUE"
    assert public.clips[0].duration_s is None
    for part in (weak, unlabelled, strong, validation, public):
        assert part.classes == CLASSES
        assert all(clip.path.is_file() for clip in part.clips)


def test_resampled_copies_are_preferred(tmp_path: Path) -> None:
    write_desed(tmp_path)
    write_desed(tmp_path, resampled=True)
    assert {c.path.parent.name for c in read_desed(tmp_path, "weak").clips} == {"weak_16k"}


def test_synthetic_parts_may_lie_below_a_folder_of_their_own(tmp_path: Path) -> None:
    write_desed(tmp_path / "dcase_synth")
    write_desed(tmp_path / "other/dataset")
    assert len(read_desed(tmp_path, "strong")) == 2
    assert len(read_desed(tmp_path / "other", "weak")) == 3


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("Y00pbt6aJV8Y_350.000_360.000.wav", "00pbt6aJV8Y"),
        ("1Ro0FgMWTUE_120_130.wav", "1Ro0FgMWTUE"),
        ("Y_-Qa_nfuvQs_0.000_10.000.wav", "_-Qa_nfuvQs"),
        ("12.wav", "12"),
        ("weak-000001.wav", "weak-000001"),
    ],
)
def test_recordings_are_the_videos(name: str, recording: str) -> None:
    assert recording_of(name) == recording


def append(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line)


WEAK, STRONG = "metadata/train/weak.tsv", "metadata/train/synthetic21_train/soundscapes.tsv"
VALIDATION = "metadata/validation/validation.tsv"


@pytest.mark.parametrize(
    ("part", "spoil", "message"),
    [
        ("weak", lambda r: append(r / WEAK, "Yx.wav\tCat\n"),
         r"weak/Yx\.wav: missing, but .*weak\.tsv names them; expected in .*audio/train/weak"),
        ("weak", lambda r: append(r / WEAK, "Y00pbt6aJV8Y_10.000_20.000.wav\tDog\n"),
         "line 5: .*stands twice"),
        ("weak", lambda r: (r / WEAK).write_text("filename\tevent_label\na\tb\n"),
         "column event_labels is missing; the columns are filename, event_labels"),
        ("weak", lambda r: (r / WEAK).unlink(), "weak.tsv: cannot be read: No such file"),
        ("weak", lambda r: (r / WEAK).write_text("filename\tevent_labels\n"), "no clips"),
        ("strong", lambda r: append(r / STRONG, "1.wav\t0.5\t0.25\tDog\n"),
         "soundscapes.tsv: line 5: event Dog: onset 0.5 and offset 0.25"),
        ("strong", lambda r: append(r / STRONG, "1.wav\t0.5\t0.75\tHorse\n"),
         r"clip 1\.wav: unknown label 'Horse'; the classes are Alarm_bell_ringing"),
        ("strong", lambda r: append(r / STRONG, "1.wav\t0.5\t0.75\tDog\tsure\n"), "more cells"),
        ("strong_real", lambda _: None, "expected .*audio/train/strong_label_real"),
        ("validation", lambda r: append(r / "metadata/validation/validation_durations.tsv",
                                        "a.wav\tlong\n"), "line 4: duration 'long'"),
    ],
)  # fmt: skip
def test_a_wrong_desed_is_one_line(
    tmp_path: Path, part: str, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(write_desed(tmp_path))
    with pytest.raises(DataError, match=message) as caught:
        read_desed(tmp_path, part)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_files_that_are_gone_can_be_left_out(tmp_path: Path) -> None:
    append(write_desed(tmp_path) / VALIDATION, "Ygone.wav\t0.0\t1.0\tCat\n")
    with pytest.raises(DataError, match="Ygone"):
        read_desed(tmp_path, "validation")
    left = read_desed(tmp_path, "validation", missing="leave_out")
    assert [clip.name for clip in left.clips] == ["Y2Ro0FgMWTUE_0.000_10.000.wav", "Y3_empty.wav"]


def test_an_empty_folder_is_told_the_layout(tmp_path: Path) -> None:
    for part in PLACES:
        with pytest.raises(DataError, match=f"DESED's part {part}; expected .*audio/"):
            read_desed(tmp_path, part)


def test_maestro_is_read_with_its_soft_labels(tmp_path: Path) -> None:
    train = read_maestro(write_maestro(tmp_path), fold=1, part="train")
    assert train.kind == "soft"
    assert train.classes == EVALUATED
    assert [scene_of(clip) for clip in train.clips] == ["city_center", "grocery_store"]
    assert train.clips[0].events == (Event("car", 0.0, 1.0, 0.25), Event("car", 1.0, 2.0, 1.0))
    assert train.durations()["city_center/city_center_04.wav"] == 2.0
    every = read_maestro(tmp_path, fold=1, part="val", classes=ANNOTATED)
    assert Event("announcement", 0.0, 1.0, 0.5) in (every.clips[0].events or ())
    parts = [read_maestro(tmp_path, fold=1, part=p) for p in ("train", "val", "test")]
    names = [clip.recording for part in parts for clip in part.clips]
    assert len(set(names)) == len(names) == 4


def test_a_slash_of_a_label_is_a_hyphen_as_in_bundles(tmp_path: Path) -> None:
    append(annotation(write_maestro(tmp_path)), "0\t1\tdoor opens/closes\t0.7\n")
    clips = read_maestro(tmp_path, fold=1, part="train", classes=ANNOTATED)
    assert Event("door opens-closes", 0.0, 1.0, 0.7) in (clips.clips[0].events or ())
    manifest = TypeAdapter(tuple[Label, ...])
    assert manifest.validate_python(ANNOTATED) == ANNOTATED


def annotation(root: Path) -> Path:
    return root / "development_annotation/soft_labels_city_center/city_center_04.txt"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: annotation(r).unlink(), "city_center_04.txt: cannot be read.*soft_labels_<sc"),
        (lambda r: append(annotation(r), "0\t1\tcar\n"), "line 5: 3 cells; must be onset, offset"),
        (lambda r: append(annotation(r), "0\t1\tcar\t1.5\n"), "line 5: .*confidence 1.5"),
        (lambda r: append(annotation(r), "0\t1\tlion\t1\n"), "line 5: unknown label 'lion'"),
        (lambda r: append(annotation(r), "1\t1\tcar\t1\n"), "line 5: event car: onset 1.0"),
        (lambda r: append(r / "development_folds/fold1_train.csv", "zoo/zoo_01\n"), "'zoo/zoo_01'"),
        (lambda r: (r / "development_audio/city_center/city_center_04.wav").unlink(),
         r"city_center_04\.wav: missing, but .*fold1_train\.csv names them"),
        (lambda r: (r / "development_folds/fold1_train.csv").unlink(), "cannot be read"),
    ],
)  # fmt: skip
def test_a_wrong_maestro_is_one_line(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(write_maestro(tmp_path))
    with pytest.raises(DataError, match=message):
        read_maestro(tmp_path, fold=1, part="train")


@pytest.mark.parametrize("listed", [True, False])
def test_fuss_is_read_with_its_sources(tmp_path: Path, listed: bool) -> None:
    one, three = read_fuss(write_fuss(tmp_path, listed=listed), "train")
    assert [len(m.sources) for m in (one, three)] == [1, 3]
    assert three.name == "train/example00001.wav"
    assert three.sources[0].name == "background0_sound.wav"
    audio, sources = three.read()
    assert sources.shape == (4, 8000)
    np.testing.assert_allclose(sources.sum(axis=0), audio, atol=2e-4)
    assert not sources[3].any()


def test_a_wrong_fuss_is_one_line(tmp_path: Path) -> None:
    write_fuss(tmp_path)
    with pytest.raises(DataError, match=r"split eval.* eval_example_list"):
        read_fuss(tmp_path, "eval")
    source = tmp_path / "train/example00001_sources/foreground0_sound.wav"
    write_wav(source, tone(0.25))
    with pytest.raises(DataError, match="4000 samples, but its mixture has 8000"):
        read_fuss(tmp_path, "train")[1].read()
    source.unlink()
    with pytest.raises(DataError, match=r"foreground0_sound\.wav: "):
        read_fuss(tmp_path, "train")
    append(tmp_path / "train_example_list.txt", "train/example00000.wav\n")
    with pytest.raises(DataError, match=r"example00000\.wav .*0 sources.* 1 to 4"):
        read_fuss(tmp_path, "train")


def test_audio_is_mono_and_of_the_rate_that_is_asked_for(tmp_path: Path) -> None:
    stereo = write_wav(tmp_path / "stereo.wav", tone(1.0), channels=2)
    np.testing.assert_allclose(read_audio(stereo, sample_rate=16_000), tone(1.0), atol=1e-4)
    part = read_audio(stereo, sample_rate=16_000, start=15_000, samples=5000)
    np.testing.assert_allclose(part, tone(1.0)[15_000:], atol=1e-4)
    fast = write_wav(tmp_path / "fast.wav", tone(1.0, rate=44_100), rate=44_100)
    resampled = read_audio(fast, sample_rate=16_000)
    assert audio_samples(fast, sample_rate=16_000) == len(resampled) == 16_000
    np.testing.assert_allclose(resampled[500:-500], tone(1.0)[500:-500], atol=1e-3)
    part = read_audio(fast, sample_rate=16_000, start=100, samples=50)
    np.testing.assert_array_equal(part, resampled[100:150])
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"broken\.wav: cannot be decoded"):
        read_audio(tmp_path / "broken.wav", sample_rate=16_000)
