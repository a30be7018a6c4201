"""Workers of a cluster, checked for whether they can replay."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from streamsed import __version__
from streamsed.errors import ConfigError
from streamsed.replay.cluster.connection import (
    ClusterEvent,
    Connection,
    TaskDone,
    TaskUpdate,
    WorkersPresent,
)
from streamsed.replay.cluster.remote import Task, Unusable, Usable, check_worker, sample
from streamsed.replay.cluster.run_marker import RunMarker, run_marked
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.job import Job
from streamsed.replay.recordings import Recording

_PATIENCE_S = 10.0  # with workers that do not come, or do not answer because they are busy
_NEWS_S = 0.2


@dataclass(frozen=True, slots=True)
class _Requirements:
    """What workers must be able to do."""

    job: Job
    recordings: tuple[Recording, ...]
    marker: RunMarker


class ClusterWorkers:
    """The workers that are connected, each checked when it comes.

    Args:
        address: of the scheduler, or its file.
        warn: is given a line that a user should read.

    Attributes:
        connection: to the scheduler.
        fit: descriptions of the job, by the address of each worker that can replay.

    Raises:
        ConfigError: no scheduler answers there.
    """

    def __init__(self, address: str, *, warn: Callable[[str], object]) -> None:
        self.connection = Connection(address, warn=warn)
        self.fit: dict[str, dict[str, Any]] = {}
        self._warn = warn
        self._threads: dict[str, int] = {}
        self._unfit: dict[str, str] = {}
        self._checking: dict[str, str] = {}  # workers by task
        self._requirements: _Requirements | None = None
        self._description: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        self.connection.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.connection.__exit__(kind, error, traceback)

    @property
    def hopeful(self) -> bool:
        """Whether any worker can replay, or is being checked."""
        return bool(self.fit or self._checking)

    @property
    def size(self) -> int:
        """How many workers can replay, or are being checked; at least 1."""
        return max(1, len(self.fit) + len(self._checking))

    def admit(self, job: Job, recordings: Sequence[Recording]) -> dict[str, Any]:
        """Check all workers; return their description of the job.

        Those that cannot are left out, and named.

        Raises:
            ConfigError: there are no workers, none can replay, or they would do different things.
            ReplayError: the scheduler was lost.
        """
        began, warned = time.monotonic(), False
        with run_marked(ReplayFolder(job.folder)) as marker:
            self.check(job, recordings, marker)
            while self._checking or not self._threads:
                waited = time.monotonic() - began > _PATIENCE_S
                if waited and self.fit:
                    break
                if waited and not self._threads:
                    raise ConfigError(
                        f"--scheduler {self.connection.address}: no workers; start some: "
                        f"dask worker {self.connection.address} --nworkers N --nthreads 1"
                    )
                if waited and not warned:
                    warned = True
                    self._warn("all workers of the cluster are busy; waiting for one")
                self.note(self.connection.news(_NEWS_S))
            self._give_up_checking()
        if not self.fit:
            raise ConfigError(f"no worker fits: {self._problems()[0]}")
        for problem in self._problems():
            self._warn(f"{problem}; left out")
        self._description = self._agreed()
        self._warn_of_threads()
        return self._description

    def check(self, job: Job, recordings: Sequence[Recording], marker: RunMarker) -> None:
        """Check workers for these from now on."""
        self._requirements = _Requirements(job, sample(recordings), marker)
        for worker in self._threads.keys() - self.fit.keys() - self._unfit.keys():
            self._check(worker)

    def note(self, news: ClusterEvent | None) -> None:
        """Take an event into account, if it is about workers."""
        match news:
            case WorkersPresent():
                self._note_present(news)
            case TaskUpdate(key, Usable() as update) if key in self._checking:
                self._note_fit(self._checking.pop(key), update)
            case TaskUpdate(key, Unusable() as update) if key in self._checking:
                self._note_unfit(self._checking.pop(key), update.problem)
            case TaskDone(key, error) if key in self._checking:
                self._note_unfit(
                    self._checking.pop(key),
                    f"cannot run streamsed: {' '.join(str(error).split()) or error!r}; "
                    f"the same Python with streamsed {__version__} would be right",
                )

    def _note_present(self, present: WorkersPresent) -> None:
        for worker in self._threads.keys() - present.workers.keys():
            self.fit.pop(worker, None)
            self._unfit.pop(worker, None)
        gone = [key for key, worker in self._checking.items() if worker not in present.workers]
        for key in gone:
            del self._checking[key]
        self.connection.cancel(gone)
        new = present.workers.keys() - self._threads.keys()
        self._threads = dict(present.workers)
        for worker in sorted(new):
            self._check(worker)

    def _note_fit(self, worker: str, update: Usable) -> None:
        if self._description not in (None, update.description):
            self._note_unfit(worker, _difference(update.description, self._description or {}))
        elif worker in self._threads:
            self.fit[worker] = update.description

    def _note_unfit(self, worker: str, problem: str) -> None:
        self._unfit[worker] = problem
        if self._description is not None:
            self._warn(f"worker {worker} {problem}; left out")

    def _check(self, worker: str) -> None:
        assert self._requirements is not None
        required = self._requirements
        task = Task(_key("check"), required.marker, required.job, required.recordings)
        self._checking[task.key] = worker
        self.connection.submit(check_worker, task, __version__, worker=worker)

    def _give_up_checking(self) -> None:
        self.connection.cancel(list(self._checking))
        self._checking.clear()

    def _problems(self) -> list[str]:
        """One line for each thing that is wrong, however many workers it is wrong with."""
        workers = defaultdict(list)
        for worker, problem in self._unfit.items():
            workers[problem].append(worker)
        return [
            f"worker {who[0]} {'' if len(who) == 1 else f'(and {len(who) - 1} more) '}{problem}"
            for problem, who in workers.items()
        ]

    def _agreed(self) -> dict[str, Any]:
        """Return the one description that all give."""
        (one, first), *others = self.fit.items()
        for other, description in others:
            if description != first:
                raise ConfigError(
                    f"the workers differ: {one} computes on {first['provider']}, and {other} "
                    f"{_difference(description, first)}"
                )
        return first

    def _warn_of_threads(self) -> None:
        most = max(self._threads.get(worker, 1) for worker in self.fit)
        if most > 1:
            self._warn(
                f"a replay uses one thread of each worker, of up to {most}; "
                f"dask worker --nworkers {most} --nthreads 1 would use all"
            )


def _difference(description: dict[str, Any], other: dict[str, Any]) -> str:
    if description["provider"] != other["provider"]:
        return f"computes on {description['provider']}; --provider cpu would be right"
    return "would run something else; the same streamsed and bundle would be right"


def _key(what: str) -> str:
    return f"streamsed-{what}-{uuid4().hex}"
