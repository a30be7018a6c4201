"""Replaying groups of recordings in processes of their own, and outliving their deaths."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from streamsed import log
from streamsed.errors import ReplayError, StreamsedError
from streamsed.replay.group import replay_each
from streamsed.replay.job import Job
from streamsed.replay.outcome import Outcome
from streamsed.replay.recordings import Recording

_REPORT_EVERY_S = 0.25
_LOOK_EVERY_S = 0.2  # whether to stop


@dataclass(frozen=True, slots=True)
class Processed:
    """How much has been processed of the recordings that are under way, together."""

    seconds: float


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def replay_in_processes(
    job: Job,
    groups: Iterable[tuple[Recording, ...]],
    *,
    processes: int,
    stopped: Callable[[], bool],
) -> Generator[Outcome | Processed, None, None]:
    """Replay groups, and yield what becomes of each recording as soon as it is known.

    When a process dies (a decoder's fault, the system short of memory), the recordings that it
    had not finished are replayed one by one, and one with which it dies again has failed.

    Args:
        job: what to run.
        groups: in the order in which they are begun.
        processes: how many at most.
        stopped: called a few times a second; once it is true, the processes are killed.

    Raises:
        StreamsedError: nothing can be replayed: the bundle, the hardware, a full disk.
    """
    pool = _Pool(job, deque(groups), processes=processes)
    try:
        while pool.busy and not stopped():
            for worker in pool.speaking():
                try:
                    update = worker.connection.recv()
                except (EOFError, OSError):  # the latter in the middle of a message
                    if stopped():  # by a signal that, it seems, went to all of us
                        return
                    yield from pool.bury(worker)
                    continue
                match update:
                    case Outcome():
                        del worker.group[update.name]
                        yield update
                    case Processed():
                        worker.processed_s = update.seconds
                    case Exception():
                        raise update
                    case _:
                        pool.next_group(worker)
                yield pool.processed
    finally:
        pool.kill()


class _Pool:
    """The processes and the groups that none of them has yet."""

    def __init__(self, job: Job, waiting: deque[tuple[Recording, ...]], *, processes: int) -> None:
        self._job = job
        self._waiting = waiting
        self._processes = processes
        self._workers: dict[Connection, _Worker] = {}

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._waiting or self._workers)

    @property
    def processed(self) -> Processed:
        """The audio processed of the recordings that are under way."""
        return Processed(sum(worker.processed_s for worker in self._workers.values()))

    def speaking(self) -> Iterator[_Worker]:
        """Start what processes there may be; yield those that have reported something."""
        while self._waiting and len(self._workers) < self._processes:
            worker = _Worker()
            self._workers[worker.connection] = worker
            worker.give(self._job, self._waiting.popleft())
        for connection in wait(list(self._workers), timeout=_LOOK_EVERY_S):
            assert isinstance(connection, Connection)
            yield self._workers[connection]

    def next_group(self, worker: _Worker) -> None:
        """Give a process its next group, or end it if there is none."""
        worker.processed_s = 0.0
        if self._waiting:
            worker.give(self._job, self._waiting.popleft())
        else:
            worker.kill()
            del self._workers[worker.connection]

    def bury(self, worker: _Worker) -> Iterator[Outcome]:
        """Have what a dead process left done by others, unless it was a single recording."""
        del self._workers[worker.connection]
        how = worker.cause_of_death()
        if worker.size > 1:
            self._waiting.extendleft((recording,) for recording in worker.group.values())
            return
        for recording in worker.group.values():
            yield Outcome.of(recording, failure=f"the process that replayed it died ({how})")

    def kill(self) -> None:
        """End all processes at once."""
        for worker in self._workers.values():
            worker.kill()


class _Worker:
    """A process and what it has to do.

    Attributes:
        connection: for its reports.
        group: the recordings that it has not finished, by name.
        size: how many recordings it was given.
        processed_s: audio of those under way that it has processed.
    """

    def __init__(self) -> None:
        context = get_context("spawn")  # a fork would inherit threads' locks and others' pipes
        self.connection, theirs = context.Pipe()
        self.group: dict[str, Recording] = {}
        self.size = 0
        self.processed_s = 0.0
        self._process: SpawnProcess = context.Process(target=_work, args=(theirs,), daemon=True)
        with _deaf_children():
            self._process.start()
        theirs.close()  # so that its death is noticed

    def give(self, job: Job, group: tuple[Recording, ...]) -> None:
        """Have it replay a group."""
        self.group = {recording.name: recording for recording in group}
        self.size = len(group)
        with suppress(ConnectionError):  # it has died, which is noticed when it is listened to
            self.connection.send((job, group))

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def cause_of_death(self) -> str:
        """Report how it ended."""
        self._process.join()
        self.connection.close()
        code = self._process.exitcode or 0
        if code == -signal.SIGKILL:
            return "SIGKILL: was memory short?"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Start processes that ignore SIGINT and SIGTERM: this one decides when they end.

    Both reach a whole group of processes, such as a terminal's.
    """
    resource_tracker.ensure_running()  # it would, on its start, let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection) -> None:
    """Replay the groups that come, until the other side has gone."""
    log.configure(level="error", form="auto")
    try:
        while True:
            job, group = connection.recv()
            connection.send(_replay(connection, job, group))
    except (EOFError, OSError):  # those of the results' files are reported
        pass


def _replay(connection: Connection, job: Job, group: tuple[Recording, ...]) -> Exception | None:
    reported_at = time.monotonic()

    def report(processed_s: float) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at >= _REPORT_EVERY_S:
            reported_at = time.monotonic()
            connection.send(Processed(processed_s))

    try:
        for outcome in replay_each(job, group, on_step=report):
            connection.send(outcome)
    except ConnectionError:
        raise
    except Exception as error:
        return as_streamsed_error(error, job)
    return None


def as_streamsed_error(error: Exception, job: Job) -> StreamsedError:
    """Return an error that ends a replay, worded for users."""
    match error:
        case StreamsedError():
            return error
        case OSError():
            place = error.filename or job.folder
            return ReplayError(f"{place}: cannot be written: {error.strerror}")
    failure = ReplayError(f"internal error: {error!r}; streamsed --debug shows where")
    failure.add_note("".join(traceback.format_exception(error)))
    return failure
