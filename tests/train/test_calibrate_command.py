"""``streamsed-train calibrate`` on real recordings of tones and a bundle that detects them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from streamsed.bundle import load
from streamsed.bundle.manifest import Manifest
from streamsed.detect.engine import Engine
from streamsed.errors import ConfigError
from tests.bundles import SAMPLE_RATE, make_bundle, tones
from train import cli
from train.postprocess.rewriting import check_writable, with_section

LOUD, QUIET = 0.3, 0.04
"""Amplitudes of true events, and of those that are none: both pass a threshold of 0.02."""
CLASSES = ("low", "mid", "high")
BAD = {"enter": 0.02, "exit": 0.02}
Recordings = tuple[Path, Path]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Ten recordings of different lengths with loud tones, and quiet ones that are no events."""
    folder = tmp_path_factory.mktemp("valid")
    (folder / "audio" / "sub").mkdir(parents=True)
    rng = np.random.default_rng(3)
    lines = ["filename\tonset\toffset\tevent_label"]
    for number in range(10):
        duration_s = float(rng.uniform(4.0, 7.0))
        name = f"{'sub/' if number % 3 == 0 else ''}{number}.wav"
        audio = np.zeros(round(duration_s * SAMPLE_RATE), np.float32)
        for label in ("low", "high"):
            onset = float(rng.uniform(0.3, 1.0))
            offset = onset + float(rng.uniform(0.5, 1.2))
            false = offset + float(rng.uniform(0.5, 0.8))
            audio += tones([(label, onset, offset)], duration_s=duration_s, amplitude=LOUD)
            audio += tones([(label, false, false + 0.5)], duration_s=duration_s, amplitude=QUIET)
            lines.append(f"{name}\t{onset:.3f}\t{offset:.3f}\t{label}")
        soundfile.write(folder / "audio" / name, audio / 2, SAMPLE_RATE, subtype="FLOAT")
    truth = folder / "events.tsv"
    truth.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "audio", truth


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    rules = dict.fromkeys(CLASSES, BAD)
    rules["high"] = {**BAD, "max_on_s": 60.0}
    return make_bundle(tmp_path / "tones", postprocessing=rules)


@pytest.fixture
def calibrate(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command; returns its exit code, output and errors."""

    def run(
        bundle: Path, *options: str | Path, audio: Path | None = None, truth: Path | None = None
    ) -> tuple[int, str, str]:
        arguments = ["calibrate", bundle, "--recordings", audio or recordings[0]]
        arguments += ["--ground-truth", truth or recordings[1], *options]
        monkeypatch.setattr(sys, "argv", ["streamsed-train", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 0
        output = capfd.readouterr()
        return code, output.out, output.err

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def figures(manifest: Manifest) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = manifest.provenance.scores["calibration"]
    return found


Calibrate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def few_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """PSDS over fifty takes seconds, and is not what these tests are about."""
    monkeypatch.setattr("train.postprocess.metrics.THRESHOLDS", (0.3, 0.7))


def test_bad_thresholds_become_good_ones(
    bundle: Path, calibrate: Calibrate, tmp_path: Path
) -> None:
    before = files(bundle)
    code, output, errors = calibrate(bundle, "-o", tmp_path / "new", "--version", "2")
    assert code == 0, errors
    assert files(bundle) == before, "the old bundle is as it was"
    new = load(tmp_path / "new")
    Engine(new, provider="cpu")  # runs the self-test, as the daemon does
    assert (new.manifest.name, new.manifest.version) == ("tones", "2")
    for label in ("low", "high"):
        assert new.manifest.postprocessing[label].enter > 0.02
    assert new.manifest.postprocessing["high"].max_on_s == 60.0
    assert new.manifest.postprocessing["mid"].enter == 0.02, "without truth there is nothing to fit"
    metrics = figures(new.manifest)
    assert metrics["before"]["overall"]["event_f1"] < 0.7
    assert metrics["after"]["overall"]["event_f1"] > 0.95
    assert metrics["folds"]["overall"]["event_f1"] > 0.9
    assert metrics["before"]["classes"]["low"]["false_alarms_per_hour"] > 100
    assert metrics["after"]["classes"]["low"]["false_alarms_per_hour"] == 0
    assert metrics["after"]["classes"]["mid"]["event_f1"] is None
    json.dumps(metrics, allow_nan=False)  # NaN would be no JSON
    card = (tmp_path / "new" / "card.md").read_text()
    assert card.startswith("# A tone detector for tests")
    assert "## Calibration" in card
    assert "events.tsv" in card
    assert str(tmp_path) not in card + (tmp_path / "new" / "manifest.yaml").read_text()
    assert "mid: no true event" in output
    assert "wrote" in output
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")], "nothing is left over"


@pytest.mark.usefixtures("few_thresholds")
def test_nothing_is_written_unless_asked_for(
    bundle: Path, calibrate: Calibrate, tmp_path: Path
) -> None:
    before = files(bundle)
    code, output, _ = calibrate(bundle, "--folds", "0")
    assert code == 0
    assert "nothing was written" in output
    assert "no cross-validated figures" in output
    assert files(bundle) == before
    assert [p.name for p in tmp_path.iterdir()] == ["tones"]


@pytest.mark.usefixtures("few_thresholds")
def test_in_place_twice_tells_of_the_last_alone(bundle: Path, calibrate: Calibrate) -> None:
    """The second finds what it would have chosen, and does not pile up its reports."""
    (bundle / "mine.txt").write_text("not the manifest's")
    assert calibrate(bundle, "--write", "--folds", "0")[0] == 0
    first = load(bundle).manifest
    options = ("--write", "--folds", "0", "--objective", "false-alarms", "--limit", "0")
    assert calibrate(bundle, *options)[0] == 0
    second = load(bundle).manifest
    assert second.provenance.scores["as_exported"] == {}
    assert second.provenance.scores["calibration"]["limit_per_hour"] == 0
    assert (bundle / "card.md").read_text().count("## Calibration") == 1
    assert (bundle / "mine.txt").exists()
    assert figures(second)["before"] == figures(first)["after"]
    assert figures(second)["after"]["overall"]["false_alarms_per_hour"] == 0


@pytest.mark.usefixtures("few_thresholds")
def test_windows_from_training_labels(bundle: Path, calibrate: Calibrate, tmp_path: Path) -> None:
    training = tmp_path / "train.tsv"
    rows = [f"{n}.wav\t0\t{1.2 if n < 30 else 9}\t{c}" for n in range(40) for c in CLASSES]
    training.write_text("filename\tonset\toffset\tevent_label\n" + "\n".join(rows) + "\n")
    lengths = tmp_path / "lengths.tsv"
    lengths.write_text("filename\tduration\n" + "".join(f"{n}.wav\t9.0\n" for n in range(40)))
    named = ("--folds", "0", "--training-labels", training, "--training-durations", lengths)
    code, output, errors = calibrate(
        bundle, "--windows", "event-specific", *named, "-o", tmp_path / "specific"
    )
    assert code == 0, errors
    specific = load(tmp_path / "specific").manifest.postprocessing["low"]
    # A third of 1.2 s is 25 frames of 16 ms.
    assert specific.median_s == pytest.approx(25 * 0.016)
    assert "30 of 120 events fill their recordings" in output
    code, output, _ = calibrate(bundle, "--windows", "average", *named, "-o", tmp_path / "average")
    average = load(tmp_path / "average").manifest.postprocessing["low"]
    frames = (30 * 1.2 + 10 * 9) / 40 / 3 / 0.016
    assert average.median_s == pytest.approx((round(frames) | 1) * 0.016)


@pytest.mark.usefixtures("few_thresholds")
def test_kept_windows_are_kept(bundle: Path, calibrate: Calibrate, tmp_path: Path) -> None:
    content = yaml.safe_load((bundle / "manifest.yaml").read_text())
    content["postprocessing"]["low"]["median_s"] = 0.08
    (bundle / "manifest.yaml").write_text(yaml.safe_dump(content))
    calibrate(
        bundle, "--folds", "0", "--windows", "keep", "-o", tmp_path / "kept", "--objective", "psds1"
    )
    assert load(tmp_path / "kept").manifest.postprocessing["low"].median_s == 0.08


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--windows", "event-specific"], "--training-labels is missing"),
        (["--windows", "average"], "--training-labels is missing"),
        (["--training-labels", "x.tsv"], "--training-labels is for --windows"),
        (["--objective", "false-alarms"], "--limit is missing"),
        (["--limit", "3"], "--limit is for objective false-alarms"),
        (["--objective", "false-alarms", "--limit", "-1"], "0 or more"),
        (["--folds", "1"], "--folds is 1"),
        (["--folds", "11"], "--folds is 11, but the recordings are 10"),
        (["--eta", "0"], "eta is 0.0"),
        (["--write", "-o", "x"], "-o and --write exclude each other"),
        (["--version", "3"], "--version goes with"),
        (["--training-durations", "x.tsv"], "--training-durations goes with"),
        (
            ["--windows", "average", "--training-labels", "x.tsv", "--censored", "exclude"],
            "--training-durations is missing",
        ),
        (["--windows", "average", "--training-labels", "no.tsv"], "no.tsv"),
    ],
)
def test_contradictions_are_refused(
    bundle: Path, calibrate: Calibrate, options: list[str], problem: str
) -> None:
    code, _, errors = calibrate(bundle, *options)
    assert code == 2
    assert problem in errors.splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.usefixtures("few_thresholds")
def test_the_validation_labels_may_be_named_on_purpose(
    bundle: Path, calibrate: Calibrate, recordings: Recordings, tmp_path: Path
) -> None:
    """They lack a class here, which is a warning; with all classes the leak is one."""
    options = ("--folds", "0", "--windows", "average", "--training-labels")
    code, _, errors = calibrate(bundle, *options, recordings[1])
    assert code == 2
    assert "class 'mid' has no event" in errors
    two = make_bundle(tmp_path / "two", classes=("low", "high"))
    code, output, _ = calibrate(two, *options, recordings[1])
    assert code == 0
    assert "the very labels that are validated on" in output


def test_bad_input_is_one_line(bundle: Path, calibrate: Calibrate, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    owls = tmp_path / "owls.tsv"
    owls.write_text("filename\tonset\toffset\tevent_label\n1.wav\t0\t1\tOwl\n")
    text = tmp_path / "text"
    text.mkdir()
    (text / "1.wav").write_text("no audio")
    code, _, errors = calibrate(bundle, audio=empty)
    assert (code, "no recording" in errors) == (2, True)
    code, _, errors = calibrate(bundle, truth=owls)
    assert (code, "(Owl...) are none of the bundle's classes" in errors) == (2, True)
    code, _, errors = calibrate(bundle, truth=tmp_path / "missing.tsv")
    assert (code, "missing.tsv" in errors) == (2, True)
    code, _, errors = calibrate(bundle, "--folds", "0", audio=text)
    assert (code, "1.wav: not a recording" in errors) == (2, True)
    code, _, errors = calibrate(tmp_path / "nothing")
    assert (code, "no such bundle" in errors) == (2, True)
    code, _, errors = calibrate(bundle, "-o", owls / "below")
    assert (code, "cannot be written" in errors) == (2, True)
    code, _, errors = calibrate(bundle, "-o", empty)
    assert (code, "is there already" in errors) == (2, True)
    (bundle / "tones.onnx").write_bytes(b"changed")
    code, _, errors = calibrate(bundle)
    assert (code, "tones.onnx" in errors) == (2, True)


def test_a_folder_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(ConfigError, match=r"new: cannot be written: .*: Permission denied"):
        check_writable(tmp_path / "new", replace=False)


@pytest.mark.usefixtures("few_thresholds")
def test_a_failed_move_leaves_the_old_bundle(
    bundle: Path, calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(bundle)
    rename = Path.rename

    def fail_to_move_in(self: Path, target: Path) -> Path:
        if target == bundle and self.name == bundle.name:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_to_move_in)
    code, _, errors = calibrate(bundle, "--write", "--folds", "0")
    assert code == 1
    assert "cannot be written: No space left on device" in errors
    assert files(bundle) == before


def test_a_section_takes_the_place_of_the_exports() -> None:
    card = "# x\n\nText.\n\n## Thresholds and windows\n\nold\n\n## Sources\n\nlist\n"
    once = with_section(card, "new")
    assert once == "# x\n\nText.\n\n## Calibration\n\nnew\n\n## Sources\n\nlist\n"
    assert with_section(once, "newer") == once.replace("new", "newer")
