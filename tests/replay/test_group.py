"""A group of recordings: what comes out, and that it depends on nothing but each recording."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsed.bundle import load
from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.detect.events import Reason
from streamsed.detect.median import median_filter
from streamsed.detect.postprocessing import FrameRules
from streamsed.errors import BundleError
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.group import replay_group
from streamsed.replay.outcome import Outcome
from streamsed.replay.recordings import Recording, find_recordings
from streamsed.sources.block import Block
from tests.bundles import SAMPLE_RATE, make_bundle, tones
from tests.replay.conftest import MakeJob, files_in


def prepared(folder: Path) -> Path:
    ReplayFolder(folder).make()
    return folder


def messages(folder: Path, name: str) -> list[dict[str, object]]:
    text = (folder / "messages" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def recordings(audio: Path) -> tuple[Recording, ...]:
    return find_recordings([audio])


@pytest.fixture
def alone(
    make_job: MakeJob, recordings: tuple[Recording, ...], tmp_path: Path
) -> tuple[dict[str, bytes], dict[str, Outcome]]:
    """The files and outcomes of recordings that are replayed one by one."""
    job = make_job(prepared(tmp_path / "alone"), max_batch=1, detect={"update_every_s": 0.2})
    outcomes = {r.name: replay_group(job, [r])[0] for r in recordings}
    return files_in(job.folder), outcomes


def test_scores_are_the_filtered_ones_that_meet_the_thresholds(
    make_job: MakeJob, recordings: tuple[Recording, ...], bundle: Path, tmp_path: Path
) -> None:
    """Against the slow median over the fused scores that the detector gives for each file."""
    loaded = load(bundle)
    manifest = loaded.manifest
    job = make_job(prepared(tmp_path / "out"))
    for outcome in replay_group(job, recordings):
        (recording,) = [r for r in recordings if r.name == outcome.name]
        lines = job.folder.joinpath("scores", f"{recording.stem}.tsv").read_text().splitlines()
        assert lines[0].split("\t") == ["onset", "offset", *manifest.classes]
        found = np.array([line.split("\t") for line in lines[1:]], np.float64)
        assert outcome.duration_s is not None
        frames = -(-round(outcome.duration_s * SAMPLE_RATE) // manifest.frame_samples)
        assert len(found) == frames
        assert found[-1, 1] == pytest.approx(outcome.duration_s, abs=1e-6)
        if recording.path.suffix != ".flac" and "upstairs" in recording.name:
            continue  # resampled: read with the tests of sources
        samples, _ = soundfile.read(recording.path, dtype="float32")
        detector = Detector(Engine(loaded, provider="cpu"))
        detector.add("x")
        detector.push("x", Block(samples, 0))
        detector.end("x", Reason.END_OF_STREAM)
        fused = np.zeros((0, len(manifest.classes)), np.float32)
        while (result := detector.step()) is not None:
            fused = np.concatenate([fused, *(f.scores for f in result.frames)])
        warm_up = min(frames, manifest.warmup_frames)
        expected = np.zeros((frames, len(manifest.classes)), np.float32)
        for column, label in enumerate(manifest.classes):
            rules = FrameRules.of(manifest.postprocessing[label], frame_s=manifest.frame_s)
            if len(fused):
                filtered = median_filter(fused[:, column].tolist(), rules.median)
                expected[warm_up:, column] = filtered
        assert found[:, 2:].astype(np.float32).tobytes() == expected.tobytes()


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), lanes=st.sampled_from([1, 2, 3, 32]))
def test_nothing_depends_on_neighbours(
    make_job: MakeJob,
    recordings: tuple[Recording, ...],
    alone: tuple[dict[str, bytes], dict[str, Outcome]],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    lanes: int,
) -> None:
    order = data.draw(st.permutations(recordings))
    places = sorted(data.draw(st.sets(st.integers(1, len(order) - 1), max_size=3)))
    folder = prepared(tmp_path_factory.mktemp("out"))
    job = make_job(folder, max_batch=lanes, detect={"update_every_s": 0.2})
    outcomes: dict[str, Outcome] = {}
    for first, end in zip([0, *places], [*places, len(order)], strict=True):
        outcomes |= {outcome.name: outcome for outcome in replay_group(job, order[first:end])}
    assert files_in(folder) == alone[0]
    assert outcomes == alone[1]


def test_messages_and_counts(make_job: MakeJob, tmp_path: Path) -> None:
    path = tmp_path / "kitchen.wav"
    soundfile.write(path, tones([("high", 0.5, 1.0)], duration_s=2.0), SAMPLE_RATE)
    job = make_job(prepared(tmp_path / "out"))
    (outcome,) = replay_group(job, find_recordings([path]))
    assert (outcome.duration_s, outcome.events, outcome.failure) == (2.0, 1, None)
    onset, offset = messages(job.folder, "kitchen")
    assert list(onset) == [
        "schema", "replay", "kind", "source", "label", "onset", "offset", "duration", "score",
        "reason", "latency_ms", "bundle", "clip",
    ]  # fmt: skip
    assert onset["source"] == "kitchen.wav"
    assert list(offset["offset"]) == ["seconds", "sample"]  # type: ignore[call-overload]
    # Processed up to the end of a chunk, at least the look-ahead of 6 frames of 16 ms later.
    decided = onset["onset"]["sample"] + onset["latency_ms"] * 16  # type: ignore[index, operator]
    assert decided % 1024 == pytest.approx(0.0, abs=1.0) or decided % 1024 > 1023
    assert 96 + 16 <= onset["latency_ms"] <= 96 + 16 + 64  # type: ignore[operator]


def test_disabled_classes_have_scores_and_no_events(make_job: MakeJob, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tones([("high", 0.5, 1.0), ("low", 0.2, 1.5)], duration_s=2.0), 16_000)
    detect = {"classes": {"high": {"enabled": False}}}
    job = make_job(prepared(tmp_path / "out"), detect=detect)
    (outcome,) = replay_group(job, find_recordings([path]))
    assert outcome.events == 1
    assert {message["label"] for message in messages(job.folder, "a")} == {"low"}
    table = np.loadtxt(job.folder / "scores" / "a.tsv", skiprows=1)
    assert table[:, 4].max() > 0.9


def test_one_channel_is_heard_alone(make_job: MakeJob, tmp_path: Path) -> None:
    """As in the daemon with the same ``channel``; a recording without it is named."""
    left, right = (tones([(c, 0.5, 1.5)], duration_s=2.0) for c in ("low", "high"))
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), SAMPLE_RATE)
    soundfile.write(tmp_path / "mono.wav", right, SAMPLE_RATE)
    job = replace(make_job(prepared(tmp_path / "out")), channel=1)
    recordings = find_recordings([tmp_path / "stereo.wav", tmp_path / "mono.wav"])
    outcomes = {outcome.name: outcome for outcome in replay_group(job, recordings)}
    assert {message["label"] for message in messages(job.folder, "stereo")} == {"high"}
    assert outcomes["mono.wav"].failure == "channel 1 does not exist; there is channel 0 only"


def test_what_cannot_be_read_costs_the_others_nothing(
    make_job: MakeJob, recordings: tuple[Recording, ...], tmp_path: Path
) -> None:
    sound = tmp_path / "audio"
    sound.mkdir()
    whole = tones([("low", 0.1, 3.0)], duration_s=3.0)
    soundfile.write(sound / "whole.wav", whole, SAMPLE_RATE)
    (sound / "cut.wav").write_bytes((sound / "whole.wav").read_bytes()[: 44 + 2 * 24_000])
    (sound / "empty.wav").write_bytes(b"")
    (sound / "junk.wav").write_bytes(b"no audio at all")
    bad = whole.copy()
    bad[20_000:20_010] = np.nan
    soundfile.write(sound / "bad.wav", bad, SAMPLE_RATE, subtype="FLOAT")
    found = find_recordings([sound])
    (sound / "gone.wav").write_bytes(b"x")
    gone = find_recordings([sound / "gone.wav"])
    (sound / "gone.wav").unlink()
    job = make_job(prepared(tmp_path / "out"))
    outcomes = {o.name: o for o in replay_group(job, [*found, *gone, *recordings])}
    assert len(outcomes) == 6 + len(recordings)
    assert outcomes["whole.wav"].failure is None
    assert outcomes["cut.wav"].failure == (
        "cut short or damaged after 1.500 s: it should be 3.000 s long"
    )
    assert outcomes["cut.wav"].duration_s == 1.5
    last = messages(job.folder, "cut")[-1]
    assert (last["kind"], last["reason"]) == ("offset", "source_lost")
    assert len((job.folder / "scores" / "cut.tsv").read_text().splitlines()) == 1 + 94
    for name, why in (("empty", "empty"), ("junk", "not a recording"), ("gone", "no such file")):
        outcome = outcomes[f"{name}.wav"]
        assert outcome.duration_s is None
        assert outcome.failure is not None
        assert why in outcome.failure
        assert str(sound) not in outcome.failure, "the table names it already"
        assert not (job.folder / "scores" / f"{name}.tsv").exists()
    assert (outcomes["bad.wav"].failure, outcomes["bad.wav"].bad_samples) == (None, 10)
    assert not list((job.folder / ".partial").iterdir())


def test_a_bundle_that_changes_on_the_way_is_noticed(make_job: MakeJob, tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "tones")
    job = make_job(prepared(tmp_path / "out"), bundle=str(folder))
    make_bundle(folder, name="other")
    with pytest.raises(BundleError, match="is not the one"):
        replay_group(job, ())
