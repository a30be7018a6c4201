"""Where a replay is done: in processes of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from streamsed.cli.extras import require_cluster
from streamsed.cli.output import echo
from streamsed.errors import ConfigError

if TYPE_CHECKING:
    from streamsed.replay.job import Job
    from streamsed.replay.outcome import Outcome
    from streamsed.replay.processes import Processed
    from streamsed.replay.recordings import Recording


class Work(Protocol):
    """Replays recordings until it is stopped; see ``streamsed.replay.replay.Work``."""

    def __call__(
        self, waiting: Sequence[Recording], *, stopped: Callable[[], bool]
    ) -> Generator[Outcome | Processed, None, None]:
        """Yield what becomes of each recording."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a replay is done.

    Attributes:
        description: of the job, by the machines that run it; None if it is this one.
        work: does it.
    """

    description: dict[str, Any] | None
    work: Work


@contextmanager
def workplace(
    job: Job, recordings: Sequence[Recording], *, jobs: int | None, scheduler: str | None
) -> Iterator[Workplace]:
    """Yield the workplace that the command line names.

    Args:
        job: what to run.
        recordings: what to run it on.
        jobs: processes here; by default one a core.
        scheduler: address of a Dask cluster's scheduler, or its file; None for here.

    Raises:
        ConfigError: the extra is not installed, or the cluster cannot replay.
    """
    if scheduler is None:
        yield _here(job, jobs)
        return
    if jobs is not None:
        raise ConfigError("--jobs and --scheduler exclude each other; a cluster has its workers")
    require_cluster()
    from streamsed.replay.cluster.groups import replay_on_cluster
    from streamsed.replay.cluster.workers import ClusterWorkers

    with ClusterWorkers(
        scheduler, warn=lambda line: echo(f"streamsed: {line}", err=True)
    ) as workers:

        def work(
            waiting: Sequence[Recording], *, stopped: Callable[[], bool]
        ) -> Generator[Outcome | Processed, None, None]:
            return replay_on_cluster(workers, job, waiting, stopped=stopped)

        yield Workplace(workers.admit(job, recordings), work)


def _here(job: Job, jobs: int | None) -> Workplace:
    from streamsed.replay.grouping import grouped
    from streamsed.replay.processes import replay_in_processes, usable_cores

    processes = jobs or usable_cores()

    def work(
        waiting: Sequence[Recording], *, stopped: Callable[[], bool]
    ) -> Generator[Outcome | Processed, None, None]:
        groups = grouped(waiting, processes=processes)
        return replay_in_processes(job, groups, processes=processes, stopped=stopped)

    return Workplace(None, work)
