"""A tone bundle and recordings of tones, shared by the tests of replay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamsed.config import parse_config
from streamsed.replay.job import Job
from tests.bundles import SAMPLE_RATE, make_bundle, tones

POSTPROCESSING = {
    "low": {"enter": 0.6, "exit": 0.3, "median_s": 0.08, "min_on_s": 0.06, "min_off_s": 0.1},
    "mid": {"median_s": 0.05, "max_on_s": 0.25},
}
LENGTHS_S = (0.9, 2.1, 0.004, 1.5, 3.3, 0.7, 1.0, 2.6)

MakeJob = Callable[..., Job]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of look-ahead, three of warm-up, postprocessing of every kind."""
    return make_bundle(
        tmp_path_factory.mktemp("bundle") / "tones",
        latency_frames=6,
        warmup_frames=3,
        postprocessing=POSTPROCESSING,
    )


@pytest.fixture(scope="session")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings of several lengths, rates, formats and numbers of channels."""
    folder = tmp_path_factory.mktemp("audio")
    (folder / "upstairs").mkdir()
    generator = np.random.default_rng(1)
    for number, length_s in enumerate(LENGTHS_S):
        events = []
        for label in ("low", "mid", "high"):
            onset = float(generator.uniform(0, length_s * 0.6))
            events.append((label, onset, onset + float(generator.uniform(0.1, 0.6)) * length_s))
        samples = tones(events, duration_s=length_s, seed=number)
        match number % 4:
            case 0 | 1:
                soundfile.write(folder / f"{number}.wav", samples, SAMPLE_RATE)
            case 2:
                soundfile.write(folder / "upstairs" / f"{number}.flac", samples, SAMPLE_RATE)
            case 3:
                stereo = np.stack([samples, 0.5 * samples], axis=1)
                soundfile.write(folder / "upstairs" / f"{number}.wav", stereo, 44_100)
    return folder


@pytest.fixture
def make_job(bundle: Path) -> MakeJob:
    """Make a job whose results go to a folder; further arguments are of the configuration."""

    def make(folder: Path, **settings: object) -> Job:
        config = parse_config({"bundle": str(bundle), "provider": "cpu", **settings}, origin="test")
        return Job.of(config, folder)

    return make


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file of a replay but its journal, which is in the order in which things were done."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "recordings.jsonl"
    }
