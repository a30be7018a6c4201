"""The feature cache: exactly the features, computed once, whatever happens in between."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streamsed.errors import DataError
from tests.train.file_size import file_size_limit
from tests.train.trees import tone, write_wav
from train.data.batches import TrainingBatches
from train.data.clips import Clip, ClipSet
from train.data.feature_cache import FeatureCache
from train.data.inputs import AudioInputs, ExtractedInputs, FeatureExtractor
from train.data.labels import LabelGrid
from train.writing import DiskFull

GRID = LabelGrid(("Cat",), sample_rate=16_000, frame_samples=1000, duration_s=1.0)
SECONDS = (1.0, 0.4, 2.5, 1.0, 1.7)


class Counting:
    """Powers of blocks of 500 samples, in three columns; counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        self.calls += 1
        blocks = np.pad(audio, (0, -len(audio) % 500)).reshape(-1, 500)
        return np.stack([blocks.max(1), blocks.min(1), blocks.std(1)], axis=1)


def extractor(**config: object) -> FeatureExtractor:
    return FeatureExtractor(Counting(), {"name": "blocks", **config}, 16_000, 500)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    paths = [
        write_wav(tmp_path / f"audio/{i}.wav", tone(seconds, 110.0 * (i + 1)))
        for i, seconds in enumerate(SECONDS)
    ]
    return [Clip(path.name, path, path.stem) for path in paths]


def check(cache: FeatureCache, clips: list[Clip]) -> None:
    """Every crop equals the features of the crop's audio: blocks know nothing beyond it."""
    direct = ExtractedInputs(GRID, extractor())
    for clip in clips:
        samples = AudioInputs(GRID).samples(clip)
        assert cache.samples(clip) == samples
        for first in range(max(samples - GRID.samples, 0) // GRID.frame_samples + 1):
            np.testing.assert_array_equal(
                cache.read(clip, first_frame=first), direct.read(clip, first_frame=first)
            )


def calls(cache: FeatureCache) -> int:
    counting = cache.extractor.compute
    assert isinstance(counting, Counting)
    return counting.calls - 1  # one is for the shape


def test_a_full_disk_is_one_line_and_the_rest_is_computed_later(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.data.feature_cache._CHUNK", 1)
    cache = FeatureCache(tmp_path / "cache", extractor(), GRID)
    with file_size_limit(800), pytest.raises(DiskFull) as full:  # room for two clips of 32 rows
        cache.add(clips)
    assert len(str(full.value).splitlines()) == 1
    assert "free some space" in str(full.value)
    again = FeatureCache(tmp_path / "cache", extractor(), GRID)
    assert 0 < again.add(clips) < len(clips)
    check(again, clips)


def test_features_are_computed_once_and_are_those_of_the_audio(
    clips: list[Clip], tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path / "cache", extractor(), GRID)
    counts: list[int] = []
    assert cache.add(clips[:3], progress=counts.append) == 3
    assert cache.add(clips) == 2
    assert counts == [0, 3]
    check(cache, clips)
    again = FeatureCache(tmp_path / "cache", extractor(), GRID)
    assert again.add(clips) == 0
    assert calls(again) == 0
    check(again, clips)
    check(pickle.loads(pickle.dumps(again)), clips)  # noqa: S301 - our own


def test_batches_are_those_of_features_computed_on_the_way(
    clips: list[Clip], tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path / "cache", extractor(), GRID)
    cache.add(clips)
    clip_set = ClipSet("all", "unlabelled", GRID.classes, tuple(clips))
    cached, direct = (
        TrainingBatches(inputs, [(clip_set, 2)], seed=1)
        for inputs in (cache, ExtractedInputs(GRID, extractor()))
    )
    for step in range(8):
        np.testing.assert_array_equal(cached[step].inputs, direct[step].inputs)
        np.testing.assert_array_equal(cached[step].frames, direct[step].frames)


def test_changed_audio_is_computed_again(clips: list[Clip], tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", extractor(), GRID)
    cache.add(clips)
    write_wav(clips[1].path, tone(2.0, 50.0))
    status = clips[3].path.stat()
    write_wav(clips[3].path, tone(1.0, 70.0))  # of the same size
    os.utime(clips[3].path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    again = FeatureCache(tmp_path / "cache", extractor(), GRID)
    assert again.add(clips) == 2
    check(again, clips)
    check(FeatureCache(tmp_path / "cache", extractor(), GRID), clips)


def test_another_config_or_length_is_another_cache(clips: list[Clip], tmp_path: Path) -> None:
    FeatureCache(tmp_path / "cache", extractor(), GRID).add(clips)
    assert FeatureCache(tmp_path / "cache", extractor(blocks=2), GRID).add(clips) == 5
    longer = dataclasses.replace(GRID, duration_s=2.0)
    cache = FeatureCache(tmp_path / "cache", extractor(), longer)
    assert cache.add(clips) == 5
    assert cache.read(clips[0], first_frame=0).shape == (64, 3)
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_what_a_kill_leaves_half_done_is_dropped(clips: list[Clip], tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", extractor(), GRID)
    cache.add(clips)
    (folder,) = (tmp_path / "cache").iterdir()
    data, index = folder / "features.f32", folder / "index.jsonl"
    whole = data.read_bytes(), index.read_bytes()
    lines = whole[1].splitlines(keepends=True)
    cases = {
        "rows without a line": (whole[0] + b"\x01" * 1000, whole[1], 0),
        "a line cut short": (whole[0], whole[1][:-7], 1),
        "a line without its end": (whole[0], whole[1][:-1], 1),
        "rows without lines": (whole[0], b"".join(lines[:2]), 3),
        "lines without rows": (whole[0][: 12 * 40], whole[1], 4),
        "no rows": (b"", whole[1], 5),
    }
    for name, (rows, listed, missing) in cases.items():
        data.write_bytes(rows)
        index.write_bytes(listed)
        again = FeatureCache(tmp_path / "cache", extractor(), GRID)
        assert again.add(clips) == missing, name
        check(again, clips)
        check(FeatureCache(tmp_path / "cache", extractor(), GRID), clips)


KILLED = """
import sys
from pathlib import Path
from tests.train.test_data_feature_cache import GRID, FeatureCache, extractor
from train.data.clips import Clip
paths = sorted(Path(sys.argv[1]).glob("*.wav"))
cache = FeatureCache(Path(sys.argv[2]), extractor(), GRID)
cache.add([Clip(p.name, p, p.stem) for p in paths * 200])
"""


def test_a_killed_process_costs_no_more_than_its_last_clips(
    clips: list[Clip], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path / "audio", tmp_path / "cache"]
    )
    end = time.monotonic() + 60.0
    while not any(p.stat().st_size for p in (tmp_path / "cache").glob("*/index.jsonl")):
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    cache = FeatureCache(tmp_path / "cache", extractor(), GRID)
    assert cache.add(clips) == 0
    check(cache, clips)


def test_what_cannot_be_is_refused(clips: list[Clip], tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", extractor(), GRID)
    with pytest.raises(DataError, match=r"0\.wav: .*added"):
        cache.read(clips[0], first_frame=0)
    cache.add(clips)
    with pytest.raises(DataError, match="32 feature frames; 32 from 2 on are more than it has"):
        cache.read(clips[0], first_frame=1)
    gone = Clip("gone.wav", tmp_path / "gone.wav", "gone")
    with pytest.raises(DataError, match=r"gone\.wav: cannot be read: No such file"):
        cache.add([*clips, gone])
    check(cache, clips)
    with pytest.raises(ValueError, match="500 samples at 16000 Hz"):
        FeatureCache(tmp_path, extractor(), dataclasses.replace(GRID, frame_samples=750))
