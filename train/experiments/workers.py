"""Where steps are run: in this process, or several at a time in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from streamsed.errors import StreamsedError
from train.experiments.step import Place, Step
from train.pool import end_with_parent
from train.writing import DiskFull

LOG = "step.log"
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Task:
    """A step that is to be run.

    Attributes:
        name: of the step.
        step: what is done.
        place: where.
    """

    name: str
    step: Step
    place: Place


@dataclass(frozen=True)
class Outcome:
    """How a step ended.

    Attributes:
        name: of the step.
        done: whether it is done.
        failure: in one line, if it failed.
        needs_other: whether it was not run, for what it needs was not made.
        ends_all: whether no other step is to be begun: it was stopped, or the disk is full.
    """

    name: str
    done: bool = False
    failure: str | None = None
    needs_other: bool = False
    ends_all: bool = False


def run_task(task: Task) -> Outcome:
    """Run a step; what goes wrong for a reason that a user can read is part of the outcome."""
    try:
        task.place.folder.mkdir(parents=True, exist_ok=True)
        done = task.step.run(task.place)
        if not done:
            return Outcome(task.name, ends_all=True)
        for artefact in task.step.yields().values():
            if not (path := task.place.folder / artefact.path).exists():
                return Outcome(task.name, failure=f"{path}: was not written")
    except StreamsedError as error:
        line = " ".join(str(error).splitlines())
        return Outcome(task.name, failure=line, ends_all=isinstance(error, DiskFull))
    except KeyboardInterrupt:
        return Outcome(task.name, ends_all=True)
    return Outcome(task.name, done=True)


class InProcess:
    """Runs one step at a time, in this process."""

    def __init__(self) -> None:
        self._task: Task | None = None

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._task = None

    @property
    def idle(self) -> bool:
        """Whether a step can be started."""
        return self._task is None

    @property
    def busy(self) -> bool:
        """Whether a step was started that has not ended."""
        return self._task is not None

    def start(self, task: Task) -> None:
        """Take a step."""
        self._task = task

    def wait(self) -> Outcome:
        """Run the step, and return how it ended."""
        assert self._task is not None
        task, self._task = self._task, None
        return run_task(task)


class Workers:
    """Runs several steps at a time, each in a process; none outlives this one.

    When they are left before their end they are asked to stop, and leave a state to go on from.

    Args:
        count: of processes. They are started as they are wanted.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._free: list[Worker] = []
        self._at_work: dict[Connection, Worker] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        workers = [*self._at_work.values(), *self._free]
        try:
            for worker in self._at_work.values():
                worker.interrupt()
            for worker in workers:
                worker.end()
        except KeyboardInterrupt:  # asked a second time
            for worker in workers:
                worker.kill()
            raise

    @property
    def idle(self) -> bool:
        """Whether a step can be started."""
        return len(self._at_work) < self._count

    @property
    def busy(self) -> bool:
        """Whether a step was started that has not ended."""
        return bool(self._at_work)

    def start(self, task: Task) -> None:
        """Run a step."""
        worker = self._free.pop() if self._free else Worker()
        worker.begin(task)
        self._at_work[worker.connection] = worker

    def wait(self) -> Outcome:
        """Wait until one of the steps has ended, and return how."""
        connection = wait(list(self._at_work))[0]
        assert isinstance(connection, Connection)
        worker = self._at_work.pop(connection)
        outcome = worker.outcome()
        if worker.lives:
            self._free.append(worker)
        return outcome


class Worker:
    """A process that runs one step after another."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,))
        self._process.start()
        theirs.close()
        self._task: Task | None = None

    @property
    def lives(self) -> bool:
        """Whether it can run another step."""
        return self._process.is_alive()

    def begin(self, task: Task) -> None:
        """Give it a step."""
        self._task = task
        self.connection.send(task)

    def outcome(self) -> Outcome:
        """Return how the step ended, when it has."""
        assert self._task is not None
        try:
            outcome: Outcome = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return Outcome(
                self._task.name,
                failure=f"its process ended with {self._process.exitcode}; "
                f"see {self._task.place.folder / LOG}",
            )
        return outcome

    def interrupt(self) -> None:
        """Ask it to stop its step, to be resumed."""
        if self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGINT)

    def end(self) -> None:
        """End it when its step has ended, or by force."""
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self._process.join(_PATIENCE_S)
        self.kill()

    def kill(self) -> None:
        """End it by force, if it has not ended."""
        self._process.kill()
        self._process.join()


def _work(connection: Connection) -> None:
    """Run the steps that come, until there are no more."""
    os.setpgid(0, 0)  # Ctrl-C is for the first process, which stops the others, once
    end_with_parent()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while (task := connection.recv()) is not None:
            connection.send(_logged(task))


def _logged(task: Task) -> Outcome:
    """Run a step, with what it prints in a file of its folder."""
    task.place.folder.mkdir(parents=True, exist_ok=True)
    path = task.place.folder / LOG
    with (
        path.open("a", encoding="utf-8", buffering=1) as log,
        contextlib.redirect_stderr(log),
        contextlib.redirect_stdout(log),
    ):
        try:
            return run_task(task)
        except Exception as error:
            traceback.print_exc()
            return Outcome(task.name, failure=f"{error!r}; see {path}")
