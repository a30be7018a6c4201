"""Clips on disk: exact, whole or not at all, and never in anybody's way."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from uuid import UUID, uuid4

import numpy as np
import pytest
import soundfile
import structlog
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamsed.clips import writer as writer_module
from streamsed.clips.folder import ClipFolder, clip_name
from streamsed.clips.reserved_file import ReservedFile
from streamsed.clips.writer import ClipFile, ClipWriter, to_int16
from streamsed.sources.block import Block

RATE = 16_000
PATIENCE_S = 60.0


def folder(path: Path, *, days: float = 30.0, max_bytes: int = 2**30) -> ClipFolder:
    return ClipFolder(path, keep=timedelta(days=days), max_bytes=max_bytes)


@contextmanager
def writing(clips: ClipFolder, **limits: int) -> Iterator[ClipWriter]:
    writer = ClipWriter(clips, sample_rate=RATE, **limits)
    writer.start()
    try:
        yield writer
    finally:
        writer.close(PATIENCE_S)
        assert not writer._thread.is_alive()


def clip(path: Path, *, age: timedelta = timedelta(), label: str = "Dog") -> ClipFile:
    name = clip_name(utc=datetime.now(UTC) - age, source="kitchen", label=label, event_id=uuid4())
    return ClipFile(path / name)


def noise(samples: int, *, first: int = 0) -> Block:
    audio = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
    return Block(audio, first)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def wait_until(path: Path) -> None:
    deadline = monotonic() + PATIENCE_S
    while not path.exists():
        assert monotonic() < deadline, f"{path} never came"
        sleep(0.005)


@given(hnp.arrays(np.int16, st.integers(0, 50)))
def test_what_was_16_bits_stays_the_same(samples: np.ndarray) -> None:
    assert (to_int16(samples.astype(np.float32) / 32768) == samples).all()


def test_what_is_too_loud_is_clipped() -> None:
    loud = np.array([1.0, 1.5, -1.5, 1e6, 0.5], np.float32)
    assert to_int16(loud).tolist() == [32767, 32767, -32768, 32767, 16384]


def test_names_sort_by_time_and_hold_no_path() -> None:
    utc = datetime(2026, 1, 2, 3, 4, 5, 352_900, tzinfo=UTC)
    found = [
        clip_name(utc=utc + later, source="b.1", label="../Dog bark/é", event_id=UUID(int=7))
        for later in (timedelta(), timedelta(milliseconds=1), timedelta(days=300))
    ]
    assert found[0] == (
        "20260102T030405.352Z_b.1_..-Dog-bark-_00000000-0000-0000-0000-000000000007.flac"
    )
    assert found == sorted(found)


def test_a_clip_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    with writing(folder(tmp_path / "clips")) as writer:
        new = clip(tmp_path / "clips")
        writer.put(new, [noise(5000)])
        wait_until(new.path.with_name(f"{new.path.name}.part"))
        assert not new.path.exists()
        writer.put(new, [noise(100, first=6000)], last=True)
        wait_until(new.path)
    audio, rate = soundfile.read(new.path, dtype="int16")
    assert (rate, soundfile.info(new.path).subtype) == (RATE, "PCM_16")
    assert (audio[:5000] == to_int16(noise(5000).samples)).all()
    assert not audio[5000:6000].any()  # lost audio is silence
    assert (audio[6000:] == to_int16(noise(100).samples)).all()
    assert names(new.path.parent) == [new.path.name]
    assert new.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_clip_that_is_not_whole_at_the_end_is_removed(tmp_path: Path) -> None:
    with writing(folder(tmp_path)) as writer:
        writer.put(clip(tmp_path), [noise(5000)])
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left, kept = clip(tmp_path).path.name, clip(tmp_path).path.name
    for name in (f"{left}.part", kept, "notes.part", "holiday.flac"):
        (tmp_path / name).write_bytes(b"x")
    with writing(folder(tmp_path)):
        pass
    assert names(tmp_path) == sorted([kept, "notes.part", "holiday.flac"])


def test_too_much_waiting_audio_costs_a_clip_and_is_said(tmp_path: Path) -> None:
    clips = folder(tmp_path)
    writer = ClipWriter(clips, sample_rate=RATE, max_queued_samples=10_000)  # not started yet
    first, second = clip(tmp_path, label="First"), clip(tmp_path, label="Second")
    with structlog.testing.capture_logs() as logged:
        writer.put(first, [noise(8000)])
        writer.put(second, [noise(2001)])
        assert (first.dropped, second.dropped) == (False, True)
        writer.put(second, [noise(1)], last=True)
        writer.put(first, [noise(2000, first=8000)], last=True)
        writer.start()
        writer.close(PATIENCE_S)
    assert [(line["event"], line["clip"]) for line in logged] == [
        ("clip_dropped", second.path.name)
    ]
    assert names(tmp_path) == [first.path.name]
    assert len(soundfile.read(first.path)[0]) == 10_000


def test_nobody_waits_for_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs as old clips are looked for while nothing else is to be done."""
    monkeypatch.setattr(writer_module, "_PRUNE_S", 0.001)
    hanging, over = threading.Event(), threading.Event()
    clips = folder(tmp_path)

    def prune() -> None:
        hanging.set()
        assert over.wait(PATIENCE_S)

    monkeypatch.setattr(clips, "prune", prune)
    with writing(clips) as writer:
        assert hanging.wait(PATIENCE_S)
        writer.put(new := clip(tmp_path), [noise(5000)], last=True)  # returns
        over.set()
        wait_until(new.path)


def test_old_clips_and_then_the_oldest_are_removed(tmp_path: Path) -> None:
    old, older, new = (clip(tmp_path, age=timedelta(days=days)).path for days in (10, 31, 1))
    for path in (old, older, new):
        path.write_bytes(bytes(1000))
    (tmp_path / "holiday.flac").write_bytes(bytes(5000))
    clips = folder(tmp_path)
    clips.open()
    clips.prune()
    assert not older.exists()
    assert old.exists()
    clips = folder(tmp_path, max_bytes=1500)
    clips.open()
    clips.prune()
    assert not old.exists()
    assert new.exists()
    assert (tmp_path / "holiday.flac").exists()


def test_pruning_goes_on_as_clips_come(tmp_path: Path) -> None:
    with writing(folder(tmp_path, max_bytes=30_000)) as writer:
        for _ in range(12):
            writer.put(clip(tmp_path), [noise(5000)], last=True)  # of noise: some 9 kB
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert 2 <= len(sizes) <= 3
    assert sum(sizes) <= 30_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on a disk; return what takes it."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(65_536))
    return ballast


def test_a_full_disk_costs_clips_is_said_once_and_is_over_when_there_is_room(
    small_disk: Path,
) -> None:
    with structlog.testing.capture_logs() as logged, writing(folder(small_disk)) as writer:
        ballast = fill(small_disk)
        for _ in range(3):
            writer.put(lost := clip(small_disk), [noise(50_000)])
            deadline = monotonic() + PATIENCE_S
            while not lost.dropped:
                assert monotonic() < deadline
                sleep(0.005)
        assert writer.failing is not None
        assert names(small_disk) == ["ballast"]
        ballast.unlink()
        writer.put(kept := clip(small_disk), [noise(5000)], last=True)
        wait_until(kept.path)
    assert writer.failing is None
    assert [line["event"] for line in logged] == ["clips_failing", "clips_written_again"]
    assert logged[0]["folder"] == str(small_disk)
    assert len(soundfile.read(kept.path)[0]) == 5000


def test_a_folder_that_cannot_be_made_costs_clips_only(tmp_path: Path) -> None:
    (tmp_path / "clips").write_bytes(b"a file")
    with structlog.testing.capture_logs() as logged, writing(folder(tmp_path / "clips")) as writer:
        writer.put(clip(tmp_path / "clips"), [noise(5000)], last=True)
        writer.put(clip(tmp_path / "clips"), [noise(5000)], last=True)
    assert [line["event"] for line in logged] == ["clips_failing"]


def test_a_folder_that_is_removed_is_made_again(tmp_path: Path) -> None:
    with writing(folder(tmp_path / "clips")) as writer:
        for _ in range(2):
            writer.put(new := clip(tmp_path / "clips"), [noise(5000)], last=True)
            wait_until(new.path)
            new.path.unlink()
            new.path.parent.rmdir()


def test_what_was_named_becomes_whole_on_a_disk_that_fills_up(small_disk: Path) -> None:
    path = small_disk / "clips"
    with writing(folder(path)) as writer:
        named = clip(path)
        writer.prepare(named, first_sample=1000)
        assert writer.promise(named, end_sample=1000 + 10 * RATE)
        fill(small_disk)
        unnamed = clip(path)
        writer.prepare(unnamed, first_sample=0)
        assert not writer.promise(unnamed, end_sample=RATE)
        for second in range(10):
            block = noise(RATE, first=1000 + second * RATE)
            writer.put(named, [block], last=second == 9)
            writer.put(unnamed, [noise(RATE, first=second * RATE)], last=second == 9)
        wait_until(named.path)
        assert writer.failing is not None
    assert names(path) == [named.path.name], "nothing is left of the other"
    assert len(soundfile.read(named.path)[0]) == 10 * RATE
    assert named.path.stat().st_size < 2.2 * 10 * RATE, "what was not needed is given back"


def test_clips_leave_others_their_share_of_a_disk(small_disk: Path) -> None:
    path, spare = small_disk / "clips", 2 * 2**20
    clips = ClipFolder(path, keep=timedelta(days=1), max_bytes=2**30, spare_bytes=lambda: spare)
    with writing(clips) as writer:
        for number in range(40):
            one = clip(path, label=f"Dog{number}")
            writer.put(one, [noise(8 * RATE)], last=True)
            wait_until(one.path)
            disk = os.statvfs(small_disk)
            assert disk.f_bavail * disk.f_frsize >= spare
        assert writer.failing is None, "the oldest make room"
        kept = len(names(path))
        assert 5 < kept < 40
        with (small_disk / "others").open("wb") as file:
            file.write(b"x" * spare)
        last = clip(path, label="Cat")
        writer.put(last, [noise(RATE)], last=True)
        wait_until(last.path)
    disk = os.statvfs(small_disk)
    assert disk.f_bavail * disk.f_frsize >= spare, "whoever takes it, clips go first"


def test_a_disk_that_does_not_answer_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    reserve = ReservedFile.reserve

    def hanging(self: ReservedFile, size: int) -> None:
        assert answers.wait(PATIENCE_S)
        reserve(self, size)

    monkeypatch.setattr(ReservedFile, "reserve", hanging)
    with writing(folder(tmp_path)) as writer:
        began = monotonic()
        for _ in range(50):
            one = clip(tmp_path)
            writer.prepare(one, first_sample=0)
            assert not writer.promise(one, end_sample=RATE)
        assert monotonic() - began < 5.0, "it was waited for once"
        answers.set()
        promised = False
        while not promised:
            assert monotonic() - began < PATIENCE_S
            one = clip(tmp_path)
            writer.prepare(one, first_sample=0)
            promised = writer.promise(one, end_sample=RATE)
