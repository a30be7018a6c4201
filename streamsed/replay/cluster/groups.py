"""Replaying groups of recordings on the workers of a cluster, some of which may die."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from distributed import KilledWorker

from streamsed.errors import ReplayError, StreamsedError
from streamsed.replay.cluster.connection import ClusterEvent, TaskDone, TaskUpdate
from streamsed.replay.cluster.remote import GroupEnded, Task, replay_task
from streamsed.replay.cluster.run_marker import RunMarker, run_marked
from streamsed.replay.cluster.workers import ClusterWorkers
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.grouping import grouped
from streamsed.replay.job import Job
from streamsed.replay.outcome import Outcome
from streamsed.replay.processes import Processed
from streamsed.replay.recordings import Recording

_NEWS_S = 0.2  # and then check whether to stop
_DEATHS = 3  # of workers with one recording: machines go for other reasons too
_NO_WORKERS_S = 60.0
_GIVE_UP_S = 2.0  # for workers to give up what they are at


def replay_on_cluster(
    workers: ClusterWorkers,
    job: Job,
    recordings: Sequence[Recording],
    *,
    stopped: Callable[[], bool],
) -> Generator[Outcome | Processed, None, None]:
    """Replay recordings, and yield the outcome of each as soon as it is known.

    Every worker has one group at a time, however many threads it has: a process has one engine.
    When a worker dies, the recordings that it had not finished are replayed one by one when all
    else has been handed out, and one with which three workers die has failed.

    Args:
        workers: that described the job.
        job: what to run.
        recordings: what to run it on.
        stopped: called a few times a second; once it is true, workers give up their groups.

    Raises:
        StreamsedError: nothing can be replayed: a bundle, a full disk; or no worker is left.
    """
    if not recordings:
        return
    with run_marked(ReplayFolder(job.folder)) as marker:
        workers.check(job, recordings, marker)
        groups = _Groups(workers, job, marker, grouped(recordings, processes=workers.size))
        try:
            while groups.busy and not stopped():
                groups.hand_out()
                news = workers.connection.news(_NEWS_S)
                workers.note(news)
                yield from groups.note(news)
                yield groups.processed
        finally:
            marker.path.unlink(missing_ok=True)
            groups.give_up()


@dataclass(slots=True)
class _Group:
    """Recordings that are replayed together.

    Attributes:
        left: those that are not finished, by name.
        single: whether there was never more than one.
        deaths: of workers that had it when it was but one recording.
        worker: that has it.
        begun: whether the worker has begun.
        processed_s: audio of the recordings under way that it has processed.
    """

    left: dict[str, Recording]
    single: bool
    deaths: int = 0
    worker: str = ""
    begun: bool = False
    processed_s: float = 0.0

    @classmethod
    def of(cls, recordings: Iterable[Recording], *, deaths: int = 0) -> _Group:
        left = {recording.name: recording for recording in recordings}
        return cls(left, single=len(left) == 1, deaths=deaths)


class _Groups:
    """The groups that workers have, and those that none has yet."""

    def __init__(
        self,
        workers: ClusterWorkers,
        job: Job,
        marker: RunMarker,
        groups: Iterable[Sequence[Recording]],
    ) -> None:
        self._workers = workers
        self._job = job
        self._marker = marker
        self._waiting = deque(_Group.of(recordings) for recordings in groups)
        self._given: dict[str, _Group] = {}  # by task
        self._hopeful_at = time.monotonic()

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._waiting or self._given)

    @property
    def processed(self) -> Processed:
        """The audio processed of the recordings that are under way."""
        return Processed(sum(group.processed_s for group in self._given.values()))

    def hand_out(self) -> None:
        """Give every worker that has nothing to do a group.

        Raises:
            ReplayError: there have been no workers for a while.
        """
        idle = self._workers.fit.keys() - {group.worker for group in self._given.values()}
        for worker in sorted(idle)[: len(self._waiting)]:
            self._give(worker, self._waiting.popleft())
        if self._workers.hopeful:
            self._hopeful_at = time.monotonic()
        elif time.monotonic() - self._hopeful_at > _NO_WORKERS_S:
            raise ReplayError(
                f"the scheduler {self._workers.connection.address} has no worker left that can "
                "replay; what is done is kept, and --resume goes on"
            )

    def _give(self, worker: str, group: _Group) -> None:
        group.worker = worker
        key = f"streamsed-replay-{uuid4().hex}"
        task = Task(key, self._marker, self._job, tuple(group.left.values()))
        self._given[key] = group
        self._workers.connection.submit(replay_task, task, worker=worker)

    def note(self, news: ClusterEvent | None) -> Iterator[Outcome]:
        """Take an event into account; yield outcomes of recordings.

        Raises:
            StreamsedError: a worker reports that nothing can be replayed.
        """
        match news:
            case TaskUpdate(key, update) if key in self._given:
                yield from self._note_update(self._given[key], update)
            case TaskDone(key, error) if key in self._given:
                yield from self._note_end(self._given.pop(key), error)
        for key in [k for k, g in self._given.items() if g.worker not in self._workers.fit]:
            self._workers.connection.cancel([key])
            yield from self._bury(self._given.pop(key))

    def _note_update(self, group: _Group, update: object) -> Iterator[Outcome]:
        match update:
            case Outcome():
                if group.left.pop(update.name, None) is not None:
                    yield update
            case Processed():
                group.begun = True
                group.processed_s = update.seconds
            case StreamsedError():
                error = type(update)(f"worker {group.worker}: {update}")
                for note in getattr(update, "__notes__", ()):
                    error.add_note(note)
                raise error

    def _note_end(self, group: _Group, error: BaseException | None) -> Iterator[Outcome]:
        if error is not None and not isinstance(error, KilledWorker):
            raise ReplayError(f"worker {group.worker}: internal error: {error!r}") from error
        yield from self._bury(group)

    def _bury(self, group: _Group) -> Iterator[Outcome]:
        """Have what a worker left done by others, unless too many have died of it."""
        if not group.begun:
            self._waiting.appendleft(_Group(group.left, group.single, group.deaths))
            return
        deaths = group.deaths + group.single
        for recording in group.left.values():
            if deaths < _DEATHS:
                self._waiting.append(_Group.of([recording], deaths=deaths))
            else:
                yield Outcome.of(recording, failure=f"{deaths} workers that replayed it died")

    def give_up(self) -> None:
        """Wait, but not for long, until workers have given up, so that they leave no files."""
        connection = self._workers.connection
        begun = {key for key, group in self._given.items() if group.begun}
        connection.cancel([key for key in self._given if key not in begun])
        until = time.monotonic() + _GIVE_UP_S
        with suppress(ReplayError):  # the scheduler is lost, and nothing can be sent
            while begun and not connection.lost and time.monotonic() < until:
                match connection.news(_NEWS_S):
                    case TaskUpdate(key, GroupEnded()) | TaskDone(key):
                        begun.discard(key)
        connection.cancel(list(self._given))
        self._given.clear()
