"""What runs on a cluster's workers: the check whether they can replay, and the replay."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from distributed import get_worker

from streamsed import __version__, log
from streamsed.errors import BundleError, StreamsedError
from streamsed.replay.cluster.run_marker import RunMarker
from streamsed.replay.description import describe
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.group import replay_each
from streamsed.replay.job import Job
from streamsed.replay.processes import Processed, as_streamsed_error
from streamsed.replay.recordings import Recording

TOPIC = "streamsed-replay"
"""Of the events in which workers report, each about one task."""

_REPORT_EVERY_S = 0.25

# A process has one engine, and a worker may have several threads.
_engine_in_use = threading.Lock()


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do.

    Attributes:
        key: that no other task on the cluster has.
        marker: of the run.
        job: what to run.
        recordings: to check, or to replay.
    """

    key: str
    marker: RunMarker
    job: Job
    recordings: tuple[Recording, ...]


@dataclass(frozen=True, slots=True)
class Usable:
    """A worker can replay.

    Attributes:
        description: of the job, by that worker.
    """

    description: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unusable:
    """A worker cannot replay.

    Attributes:
        problem: what is wrong, and what would be right.
    """

    problem: str


class GroupEnded:
    """A worker is done with a group, or has given it up because its results are not wanted."""


class _Abandoned(Exception):
    """The results are not wanted any more."""


def check_worker(task: Task, version: str) -> None:
    """Report whether this worker has the caller's files, program and bundle."""
    update: Usable | Unusable
    log.configure(level="error", form="auto")
    if version != __version__:
        update = Unusable(f"has streamsed {__version__}; {version}, as here, would be right")
    elif (problem := _missing(task)) is not None:
        update = Unusable(problem)
    else:
        update = _description(task.job)
    _report(task, update)


def replay_task(task: Task) -> None:
    """Replay a group, and report each outcome as soon as it is known.

    An error that ends the whole replay is reported as well.
    """
    with _engine_in_use:
        _report(task, Processed(0.0))
        if task.marker.is_wanted:
            _replay(task)
        _report(task, GroupEnded())


def _replay(task: Task) -> None:
    reported_at = time.monotonic()

    def report(processed_s: float) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at < _REPORT_EVERY_S:
            return
        reported_at = time.monotonic()
        if not task.marker.is_wanted:
            raise _Abandoned
        _report(task, Processed(processed_s))

    try:
        for outcome in replay_each(task.job, task.recordings, on_step=report):
            _report(task, outcome)
    except _Abandoned:
        pass
    except Exception as error:
        if task.marker.is_wanted:  # else it is no wonder
            _report(task, as_streamsed_error(error, task.job))


def _missing(task: Task) -> str | None:
    """Return what this machine lacks of what the caller has; None if nothing."""
    folder = ReplayFolder(task.job.folder)
    if not task.marker.is_wanted:
        return (
            f"does not have the results' folder {folder.path} of this machine; "
            "one that all machines share would be right"
        )
    try:
        probe = folder.partial_file()
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        return f"cannot write in {folder.path}: {error.strerror}"
    for recording in task.recordings:
        try:
            with recording.path.open("rb") as file:
                file.seek(0, 2)
                size = file.tell()
        except OSError as error:
            return (
                f"cannot read {recording.path}: {error.strerror}; "
                "recordings at the same paths on all machines would be right"
            )
        if size != recording.size:
            return (
                f"has another file {recording.path}, of {size} bytes instead of "
                f"{recording.size}; the same file system on all machines would be right"
            )
    return None


def _description(job: Job) -> Usable | Unusable:
    try:
        with _engine_in_use:
            return Usable(describe(job))
    except BundleError as error:
        return Unusable(
            f"cannot use the bundle: {error}; "
            "the same bundle at the same path on all machines would be right"
        )
    except StreamsedError as error:
        return Unusable(f"cannot replay: {error}")


def _report(task: Task, update: object) -> None:
    get_worker().log_event(TOPIC, {"key": task.key, "update": pickle.dumps(update)})


def by_value() -> Callable[[bytes], None]:
    """Return what unpickles and calls a function with its arguments.

    It is pickled by its code: only workers need streamsed, the scheduler does not.
    """

    def call(payload: bytes) -> None:
        import pickle  # noqa: PLC0415 - nothing of this module is there

        function, arguments = pickle.loads(payload)  # noqa: S301 - from those who sent the code
        function(*arguments)

    return call


def payload(function: Callable[..., None], *arguments: object) -> bytes:
    """Return what :func:`by_value`'s function takes."""
    return pickle.dumps((function, arguments))


def sample(recordings: Sequence[Recording], *, most: int = 32) -> tuple[Recording, ...]:
    """Choose recordings to check: those that can be read here, of as many folders as may be."""
    by_folder = {recording.path.parent: recording for recording in recordings}
    chosen = list(by_folder.values())
    chosen = chosen[:: max(1, -(-len(chosen) // most))]
    return tuple(recording for recording in chosen if _readable(recording))


def _readable(recording: Recording) -> bool:
    try:
        with recording.path.open("rb"):
            return True
    except OSError:
        return False
