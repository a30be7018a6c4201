"""Processes that replay: they die, fail and are stopped, and the rest is done all the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from streamsed.detect.detector import Detector
from streamsed.errors import BundleError, ReplayError
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.grouping import grouped
from streamsed.replay.job import Job
from streamsed.replay.outcome import Outcome
from streamsed.replay.processes import Processed, replay_in_processes, usable_cores
from streamsed.replay.recordings import Recording, find_recordings
from tests.replay.conftest import MakeJob, files_in

FATAL = "upstairs/2.flac"


class DeadlyDetector(Detector):
    """Kills its process when it is given a certain recording."""

    def add(self, source: str) -> None:
        if source == FATAL:
            os.kill(os.getpid(), signal.SIGSEGV)
        super().add(source)


class DeadlyJob(Job):
    """A job whose decoder, so to speak, has a fault."""

    def detector(self) -> Detector:
        return DeadlyDetector(self.engine(), self.postprocessing, keep_filtered=True)


class CursedJob(Job):
    """A job that fails on any recording, by a fault of ours."""

    def detector(self) -> Detector:
        raise ZeroDivisionError("a fault")


def as_kind(kind: type[Job], job: Job) -> Job:
    return kind(**{name: getattr(job, name) for name in Job.__dataclass_fields__})


def outcomes(
    job: Job, recordings: tuple[Recording, ...], *, processes: int = 2
) -> dict[str, Outcome]:
    ReplayFolder(job.folder).make()
    found: dict[str, Outcome] = {}
    groups = grouped(recordings, processes=processes)
    for update in replay_in_processes(job, groups, processes=processes, stopped=lambda: False):
        if isinstance(update, Outcome):
            assert update.name not in found, "each once"
            found[update.name] = update
        else:
            assert isinstance(update, Processed)
            assert update.seconds >= 0
    return found


def test_a_recording_that_kills_its_process_is_named_and_the_rest_kept(
    make_job: MakeJob, audio: Path, tmp_path: Path
) -> None:
    recordings = find_recordings([audio])
    whole = make_job(tmp_path / "whole")
    expected = outcomes(whole, recordings, processes=1)
    job = make_job(tmp_path / "out")
    found = outcomes(as_kind(DeadlyJob, job), recordings)
    assert found.keys() == expected.keys()
    failure = found.pop(FATAL).failure
    assert failure == "the process that replayed it died (SIGSEGV)"
    assert found == {name: expected[name] for name in found}
    kept = {n: c for n, c in files_in(whole.folder).items() if "upstairs/2" not in n}
    assert {n: c for n, c in files_in(job.folder).items() if ".partial" not in n} == kept


def test_what_is_wrong_with_the_bundle_ends_it(
    make_job: MakeJob, audio: Path, tmp_path: Path
) -> None:
    job = make_job(tmp_path / "out")
    (Path(tmp_path) / "elsewhere").mkdir()
    moved = Job(
        **{n: getattr(job, n) for n in Job.__dataclass_fields__ if n != "bundle"},
        bundle=tmp_path / "elsewhere",
    )
    with pytest.raises(BundleError, match="elsewhere"):
        outcomes(moved, find_recordings([audio]))


def test_a_fault_of_ours_ends_it_and_says_where(
    make_job: MakeJob, audio: Path, tmp_path: Path
) -> None:
    job = as_kind(CursedJob, make_job(tmp_path / "out"))
    with pytest.raises(ReplayError, match="ZeroDivisionError") as caught:
        outcomes(job, find_recordings([audio]))
    assert "in detector" in caught.value.__notes__[0]


def test_results_that_cannot_be_written_end_it(
    make_job: MakeJob, audio: Path, tmp_path: Path
) -> None:
    job = make_job(tmp_path / "out")
    ReplayFolder(job.folder).make()
    (job.folder / "scores").rmdir()
    (job.folder / "scores").write_text("in the way")
    with pytest.raises(ReplayError, match=r"scores.*: cannot be written: "):
        for _ in replay_in_processes(
            job, [find_recordings([audio])], processes=1, stopped=lambda: False
        ):
            pass


def test_nothing_is_begun_once_it_is_stopped(
    make_job: MakeJob, audio: Path, tmp_path: Path
) -> None:
    job = make_job(tmp_path / "out")
    ReplayFolder(job.folder).make()
    groups = grouped(find_recordings([audio]), processes=2)
    assert not list(replay_in_processes(job, groups, processes=2, stopped=lambda: True))


def test_cores_are_those_that_may_be_used() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
