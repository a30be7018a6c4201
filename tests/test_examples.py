"""The example: its table is that of its scene, and the shipped bundle finds what is in it."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import streamsed.bundle
from streamsed.detect.detector import Detector
from streamsed.detect.engine import Engine
from streamsed.detect.events import Kind, Reason
from streamsed.sources.config import build_source
from streamsed.sources.kinds.file import FileSource
from streamsed.sources.protocol import EndOfSource

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
RECORDING = EXAMPLES / "kitchen.ogg"
BUNDLE = ROOT / "models" / "domestic"

Event = tuple[str, float, float]


def table(path: Path) -> list[Event]:
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="\t")
    return [(row["event_label"], float(row["onset"]), float(row["offset"])) for row in rows]


def detect(bundle: Path, recording: Path) -> list[Event]:
    """Run a recording through source, engine and decoder at full speed."""
    engine = Engine(streamsed.bundle.load(bundle), provider="cpu")
    rate = engine.manifest.sample_rate
    detector = Detector(engine)
    detector.add("kitchen")
    source = build_source(FileSource(name="kitchen", path=recording, paced=False))
    source.open(rate)
    found: list[Event] = []
    ended = False
    while not ended:
        try:
            if (block := source.read(timeout_s=10.0)) is not None:
                detector.push("kitchen", block)
        except EndOfSource:
            detector.end("kitchen", Reason.END_OF_STREAM)
            ended = True
        while (result := detector.step()) is not None:
            found += [
                (t.label, t.onset_sample / rate, t.offset_sample / rate)
                for t in result.transitions
                if t.kind is Kind.OFFSET and t.offset_sample is not None
            ]
    source.close()
    return found


def covered(event: Event, others: list[Event]) -> float:
    """Share of an event's time that disjoint events of its class cover."""
    label, onset, offset = event
    shared = (max(0.0, min(offset, b) - max(onset, a)) for c, a, b in others if c == label)
    return sum(shared) / (offset - onset)


def test_the_shipped_bundle_finds_most_events_with_few_false_alarms() -> None:
    truth, found = table(EXAMPLES / "kitchen.tsv"), detect(BUNDLE, RECORDING)
    missed = [event for event in truth if covered(event, found) < 0.5]
    false = [event for event in found if covered(event, truth) < 0.5]
    assert len(missed) <= 0.25 * len(truth), f"missed {missed}"
    assert len(false) <= 0.25 * len(truth), f"false {false}"


def test_every_class_of_the_bundle_sounds_in_the_example() -> None:
    classes = streamsed.bundle.load(BUNDLE).manifest.classes
    assert {label for label, _, _ in table(EXAMPLES / "kitchen.tsv")} == set(classes)


def test_the_table_fits_the_recording() -> None:
    """Every event stands out from the pauses, so the two files belong together."""
    audio, rate = soundfile.read(RECORDING)
    truth = table(EXAMPLES / "kitchen.tsv")
    frames = np.square(audio[: len(audio) // 441 * 441]).reshape(-1, 441).mean(axis=1)
    times = (np.arange(len(frames)) + 0.5) * 441 / rate
    within = [(times > onset) & (times < offset) for _, onset, offset in truth]
    pauses = np.median(frames[~np.logical_or.reduce(within)])
    for event, inside in zip(truth, within, strict=True):
        assert np.median(frames[inside]) > 10.0 * pauses, event


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="its voices come from espeak-ng")
def test_the_scene_renders() -> None:
    from examples.make_kitchen import DURATION_S, RATE, render

    audio, events = render()
    assert len(audio) == DURATION_S * RATE
    assert np.abs(audio).max() < 1.0
    assert {event.label for event in events} == {e[0] for e in table(EXAMPLES / "kitchen.tsv")}
    assert all(event.offset_s < DURATION_S for event in events)


def demonstrate(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demonstration with its own arguments for the daemon, in a temporary folder."""
    command = tmp_path / "streamsed"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m streamsed "$@"\n')
    command.chmod(0o755)
    sockets = tmp_path / "s"  # a socket's path may be 107 bytes long
    sockets.mkdir()
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(sockets),
    }
    done = subprocess.run(
        [EXAMPLES / "demo.sh", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not list(sockets.iterdir()), "the demonstration leaves something behind"
    return done


def test_the_demonstration_prints_events_from_the_first_on_and_ends(tmp_path: Path) -> None:
    audio, rate = soundfile.read(RECORDING, dtype="float32", stop=5 * 44_100)
    soundfile.write(tmp_path / "start.wav", audio, rate)
    done = demonstrate(tmp_path, "--source", f"kitchen={tmp_path / 'start.wav'}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "daemon started" in lines[0]
    assert any("Speech" in line and "onset" in line for line in lines)
    assert any("Speech" in line and "offset" in line for line in lines)
    assert "daemon stopped" in lines[-1]


def test_a_daemon_that_fails_fails_the_demonstration(tmp_path: Path) -> None:
    done = demonstrate(tmp_path, "--bundle", str(tmp_path / "none"))
    assert done.returncode == 2
    assert str(tmp_path / "none") in done.stderr
