"""Replaying on a cluster: the same results, whoever dies; and clusters that cannot replay."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from time import monotonic

import numpy as np
import pytest
import soundfile
from distributed import Client

from streamsed.cli.main import invoke
from streamsed.errors import ConfigError
from streamsed.replay.cluster import connection
from streamsed.replay.cluster import workers as workers_module
from streamsed.replay.cluster.groups import replay_on_cluster
from streamsed.replay.cluster.workers import ClusterWorkers
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.outcome import Outcome
from streamsed.replay.recordings import find_recordings
from tests.bundles import SAMPLE_RATE, tones
from tests.cli.command import PATIENCE_S, execute, process, without_progress
from tests.replay.conftest import MakeJob, files_in
from tests.replay.dask_cluster import scheduler, workers
from tests.replay.test_processes import FATAL, DeadlyJob, as_kind

COUNT, LENGTH_S = 40, 20.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers."""
    folder = tmp_path_factory.mktemp("cluster")
    with scheduler(folder) as (_, address), workers(address, count=2, folder=folder):
        yield address


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough recordings to be interrupted in."""
    folder = tmp_path_factory.mktemp("many")
    events = [("low", 2.0 * n, 2.0 * n + 0.7) for n in range(9)] + [("high", 3.3, 7.1)]
    audio = tones(events, duration_s=LENGTH_S)
    for number in range(COUNT):
        samples = np.roll(audio, 5000 * number)[: len(audio) - 1111 * number]
        soundfile.write(folder / f"{number:03}.wav", samples, SAMPLE_RATE)
    return folder


@pytest.fixture(scope="module")
def whole(many: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a replay of them on this machine leaves."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert execute("replay", many, "-o", out, "--bundle", bundle, "-j", "1").returncode == 0
    return files_in(out)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """What takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def journal_names(out: Path) -> list[str]:
    path = out / "recordings.jsonl"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [Outcome.model_validate_json(line).name for line in lines if line.endswith("\n")]


def until_under_way(out: Path) -> None:
    """Wait until some recordings are done."""
    deadline = monotonic() + PATIENCE_S
    while not journal_names(out):
        assert monotonic() < deadline, "no recording gets done"
        Event().wait(0.005)


def kill_amid_a_group(pids: list[int], out: Path) -> None:
    """Kill one of the processes while it has unfinished files open in the results' folder."""
    deadline = monotonic() + PATIENCE_S
    while True:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # what it has open now, it has open when it dies
            opened = [fd.readlink() for fd in Path(f"/proc/{pid}/fd").iterdir()]
            if any(path.is_relative_to(out / ".partial") for path in opened):
                os.kill(pid, signal.SIGKILL)
                return
            os.kill(pid, signal.SIGCONT)
        assert monotonic() < deadline, "no worker begins"
        Event().wait(0.005)


def test_results_are_those_of_this_machine(
    cluster: str, audio: Path, bundle: Path, tmp_path: Path
) -> None:
    """All kinds of recordings, and one that cannot be read."""
    recordings = tmp_path / "audio"
    shutil.copytree(audio, recordings)
    (recordings / "broken.flac").write_bytes(b"fLaC and no more")
    arguments = ("replay", recordings, "--bundle", bundle, "-o")
    here = execute(*arguments, tmp_path / "here")
    there = execute(*arguments, tmp_path / "there", "--scheduler", cluster)
    assert (here.returncode, there.returncode) == (1, 1)
    assert there.stderr == here.stderr
    assert there.stdout.startswith("9 recordings, 0.00 h, ")
    assert files_in(tmp_path / "there") == files_in(tmp_path / "here")
    assert sorted(journal_names(tmp_path / "there")) == sorted(journal_names(tmp_path / "here"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into processes")
def test_a_worker_that_dies_changes_nothing(
    cluster: str, many: Path, bundle: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    with Client(cluster, set_as_default=False) as client:
        pids = list(client.run(os.getpid).values())
    assert len(pids) == 2
    out = tmp_path / "out"
    with process("replay", many, "-o", out, "--bundle", bundle, "--scheduler", cluster) as running:
        until_under_way(out)
        kill_amid_a_group(pids, out)
        assert len(journal_names(out)) < COUNT
        assert running.wait() == 0
        assert without_progress("\n".join(running.log.rest())) == ""
    assert not (out / ".partial").exists()
    assert files_in(out) == whole
    assert sorted(journal_names(out)) == sorted(f"{number:03}.wav" for number in range(COUNT))


def test_interrupted_it_keeps_what_is_done_and_goes_on(
    cluster: str, many: Path, bundle: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ("replay", many, "-o", out, "--bundle", bundle, "--scheduler", cluster)
    with process(*arguments) as running:
        until_under_way(out)
        running.signal(signal.SIGINT)
        assert running.wait() == 128 + signal.SIGINT
        (line,) = without_progress("\n".join(running.log.rest())).splitlines()
    done = len(journal_names(out))
    assert 0 < done < COUNT
    assert line == (
        f"streamsed: stopped by SIGINT after {done} of {COUNT} recordings; "
        "the same command with --resume goes on"
    )
    assert not (out / ".partial").exists(), "workers have given up"
    resumed = execute(*arguments, "--resume")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert f" {done} done before, " in resumed.stdout
    assert files_in(out) == whole


def test_a_recording_that_kills_its_workers_is_named_and_the_rest_kept(
    cluster: str, make_job: MakeJob, audio: Path, tmp_path: Path
) -> None:
    recordings = find_recordings([audio])
    job = as_kind(DeadlyJob, make_job(tmp_path / "out"))
    found: dict[str, Outcome] = {}
    with ClusterWorkers(cluster, warn=pytest.fail) as workers:
        workers.admit(job, recordings)
        ReplayFolder(job.folder).make()
        news = replay_on_cluster(workers, job, recordings, stopped=lambda: False)
        with closing(news):
            for update in news:
                if isinstance(update, Outcome):
                    assert update.name not in found, "each once"
                    found[update.name] = update
    assert found.keys() == {recording.name for recording in recordings}
    assert found[FATAL].failure == "3 workers that replayed it died"
    assert [outcome.name for outcome in found.values() if outcome.failure] == [FATAL]


def test_a_scheduler_that_is_lost_costs_nothing_that_was_done(
    many: Path, bundle: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ("replay", many, "-o", out, "--bundle", bundle)
    with (
        scheduler(tmp_path) as (running, address),
        workers(address, threads=2, folder=tmp_path),
        process(*arguments, "--scheduler", address) as replay,
    ):
        assert replay.log.next() == (
            "streamsed: a replay uses one thread of each worker, of up to 2; "
            "dask worker --nworkers 2 --nthreads 1 would use all"
        )
        until_under_way(out)
        running.popen.kill()
        assert replay.wait() == 1
        (line,) = without_progress("\n".join(replay.log.rest())).splitlines()
        assert line == (
            f"streamsed: the scheduler {address} was lost: it went away; "
            "what is done is kept, and --resume goes on"
        )
    done = len(journal_names(out))
    assert 0 < done < COUNT
    resumed = execute(*arguments, "--resume", "--jobs", "1")
    assert f" {done} done before, " in resumed.stdout
    assert files_in(out) == whole


@pytest.mark.parametrize(
    ("lacking", "problem"),
    [
        ("audio", " (and 1 more) cannot read {}/"),
        (
            "bundle",
            "cannot use the bundle: {}/manifest.yaml: cannot be read: No such file",
        ),
        (
            "out",
            "does not have the results' folder {} of this machine; one that all machines share",
        ),
    ],
)
def test_workers_that_lack_something_are_told_at_once(
    cluster: str, audio: Path, bundle: Path, tmp_path: Path, lacking: str, problem: str
) -> None:
    """A path that means another thing in each process stands for a disk that is not shared."""
    own = Path("/proc/self/cwd")
    if not own.exists():
        pytest.skip("no such path on this system")
    (tmp_path / "audio").symlink_to(audio)
    (tmp_path / "bundle").symlink_to(bundle)
    place = {name: tmp_path / name for name in ("audio", "bundle", "out")}
    place[lacking] = own / lacking
    arguments = ("replay", place["audio"], "-o", place["out"], "--bundle", place["bundle"])
    done = execute(*arguments, "--scheduler", cluster, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("streamsed: no worker fits: worker tcp://127.0.0.1:")
    assert problem.format(place[lacking]) in line
    assert not (tmp_path / "out").exists()


def test_a_worker_that_lacks_something_is_left_out(
    cluster: str, audio: Path, bundle: Path, tmp_path: Path
) -> None:
    if not Path("/proc/self/cwd").exists():
        pytest.skip("no such path on this system")
    (tmp_path / "audio").symlink_to(audio)
    arguments = ("replay", "/proc/self/cwd/audio", "--bundle", bundle, "-o", tmp_path / "out")
    with workers(cluster, folder=tmp_path):
        done = execute(*arguments, "--scheduler", cluster, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("8 recordings, ")
    (line,) = done.stderr.splitlines()
    assert "(and 1 more) cannot read /proc/self/cwd/audio/" in line
    assert line.endswith("; left out")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        # Busy machines may run out of time before they are refused.
        ("127.0.0.1:1", "Connection refused|Timed out trying to connect"),
        ("nonsense", "missing port number"),
        ("silent", "what is there does not answer"),
        ("list.txt", "the file is none that dask scheduler --scheduler-file wrote"),
    ],
)
def test_a_scheduler_that_is_none_is_told_in_a_line(
    audio: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    silent: socket.socket,
    address: str,
    reason: str,
) -> None:
    monkeypatch.setattr(connection, "_CONNECT_S", 0.5)
    if address == "silent":
        address = f"127.0.0.1:{silent.getsockname()[1]}"
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("{}")
    arguments = ("replay", audio, "-o", "out", "--bundle", bundle, "--scheduler", address)
    assert invoke(list(map(str, arguments))) == 2
    output = capfd.readouterr()
    (line,) = output.err.splitlines()
    assert re.match(
        f"streamsed: --scheduler {address}: no Dask scheduler answers: ({reason})", line
    )
    assert not output.out
    assert not Path("out").exists()


def test_a_cluster_without_workers_is_told(
    make_job: MakeJob, audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "_PATIENCE_S", 0.1)
    job = make_job(tmp_path / "out")
    with (
        scheduler(tmp_path) as (_, address),
        ClusterWorkers(address, warn=pytest.fail) as workers,
        pytest.raises(ConfigError, match=f"dask worker {address}"),
    ):
        workers.admit(job, find_recordings([audio]))
    assert not job.folder.exists()


def test_a_missing_extra_is_told(
    audio: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("streamsed.cli.extras.find_spec", lambda _: None)
    arguments = ("replay", audio, "-o", tmp_path / "out", "--bundle", bundle)
    assert invoke([*map(str, arguments), "--scheduler", "127.0.0.1:1"]) == 2
    assert "pip install 'streamsed[cluster]'" in capsys.readouterr().err
    assert invoke([*map(str, arguments), "--scheduler", "127.0.0.1:1", "--jobs", "2"]) == 2
    assert "--jobs and --scheduler exclude each other" in capsys.readouterr().err
