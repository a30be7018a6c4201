"""The connection to a Dask scheduler: tasks go out, news come in, as they do from a queue."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import re
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from distributed import Client, Future, Security, rpc
from distributed.versions import VersionMismatchWarning

from streamsed.errors import ConfigError, ReplayError
from streamsed.replay.cluster.remote import TOPIC, Task, by_value, payload

_CONNECT_S = 5.0
_CLOSE_S = 2.0
_LOOK_EVERY_S = 0.5  # which workers there are
_SILENCE_S = 30.0  # after which the scheduler is given up
_WENT_AWAY = "it went away"

# A difference in these may matter, in other packages that the scheduler compares it does not.
_COMPARED = ("python", "dask", "distributed", "msgpack", "cloudpickle", "tornado", "numpy")


@dataclass(frozen=True, slots=True)
class WorkersPresent:
    """The workers that there are now, each with its number of threads."""

    workers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TaskUpdate:
    """What a worker reports of a task."""

    key: str
    what: object


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A task is over; its reports have come before."""

    key: str
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class _Lost:
    reason: str


ClusterEvent = WorkersPresent | TaskUpdate | TaskDone


class Connection:
    """Hands tasks to workers and collects what comes of them.

    Args:
        address: of the scheduler, or its file (``dask scheduler --scheduler-file``).
        warn: called with a line that a user should read.

    Raises:
        ConfigError: no scheduler answers there.
    """

    def __init__(self, address: str, *, warn: Callable[[str], object]) -> None:
        self.address = address
        self._news: SimpleQueue[ClusterEvent | _Lost] = SimpleQueue()
        self._futures: dict[str, Future] = {}
        self._call = by_value()
        self._client = _connect(address, warn)
        self._client.subscribe_topic(TOPIC, self._take_update)
        self._lost = self._closing = False
        self._answered_at = time.monotonic()
        # The client's own calls cannot be given up when no answer comes.
        threading.Thread(target=self._watch, name="cluster watch", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing = True
        self.cancel(list(self._futures))
        with suppress(Exception):  # nothing is left that could be lost
            self._client.close(timeout=_CLOSE_S)

    def submit(
        self, function: Callable[..., None], task: Task, *arguments: object, worker: str
    ) -> None:
        """Have one worker call ``function(task, *arguments)``."""
        future = self._client.submit(
            self._call,
            payload(function, task, *arguments),
            key=task.key,
            workers=[worker],
            allow_other_workers=False,
            pure=False,
        )
        self._futures[task.key] = future
        future.add_done_callback(self._note_end)

    def cancel(self, keys: list[str]) -> None:
        """Forget tasks; what has not begun will not begin."""
        for key in keys:
            if (future := self._futures.pop(key, None)) is not None:
                future.release()

    def news(self, timeout_s: float) -> ClusterEvent | None:
        """Return the next piece of news; None if there is none in time.

        Raises:
            ReplayError: the scheduler was lost.
        """
        try:
            news = self._news.get(timeout=timeout_s)
        except Empty:
            news = None
        now = time.monotonic()
        match news:
            case WorkersPresent():
                self._answered_at = now
            case TaskDone():
                self._futures.pop(news.key, None)
        if news is None and now - self._answered_at > _SILENCE_S:
            news = _Lost(f"it has not answered for {_SILENCE_S:.0f} s")
        if isinstance(news, _Lost):
            self._lost = True
            raise ReplayError(
                f"the scheduler {self.address} was lost: {news.reason}; "
                "what is done is kept, and --resume goes on"
            )
        return news

    @property
    def lost(self) -> bool:
        """Whether nothing more can come."""
        return self._lost

    def _watch(self) -> None:
        while not self._closing:
            try:
                self._news.put(WorkersPresent(self._client.nthreads()))
            except OSError:  # in one of many wordings
                self._news.put(_Lost(_WENT_AWAY))
                return
            except Exception as error:
                self._news.put(_Lost(_reason(error)))
                return
            time.sleep(_LOOK_EVERY_S)

    def _take_update(self, event: tuple[float, Mapping[str, object]]) -> None:
        content = event[1]
        key, update = content["key"], content["update"]
        if key in self._futures:  # not another's, who may have another version
            assert isinstance(key, str)
            assert isinstance(update, bytes)
            self._news.put(TaskUpdate(key, pickle.loads(update)))  # noqa: S301 - the cluster runs our code

    def _note_end(self, future: Future) -> None:
        match future.status:
            case "finished":
                self._news.put(TaskDone(future.key, None))
            case "error":
                self._news.put(TaskDone(future.key, future.exception()))
            case _ if future.key in self._futures:
                connected = self._client.status == "running"
                self._news.put(_Lost("it dropped its tasks" if connected else _WENT_AWAY))


def _connect(address: str, warn: Callable[[str], object]) -> Client:
    _silence()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            resolved = _resolved(address)
            asyncio.run(_probe(resolved))
            client = Client(resolved, timeout=_CONNECT_S, set_as_default=False)
        except Exception as error:  # of many kinds, by what there is at the address
            raise ConfigError(
                f"--scheduler {address}: no Dask scheduler answers: {_reason(error)}; "
                "the address that dask scheduler prints when it starts would be right"
            ) from error
    for warning in caught:
        if isinstance(warning.message, VersionMismatchWarning):
            _warn_of_versions(str(warning.message), warn)
    return client


def _resolved(address: str) -> str:
    """Return the address that a scheduler's file holds, or the address itself."""
    if not Path(address).is_file():
        return address
    try:
        return str(json.loads(Path(address).read_text(encoding="utf-8"))["address"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("the file is none that dask scheduler --scheduler-file wrote") from None


async def _probe(address: str) -> None:
    """Make sure that there is a scheduler; the client waits for ever for what is none."""
    arguments = Security().get_connection_args("client")
    try:
        async with (
            asyncio.timeout(_CONNECT_S + 1.0),
            rpc(address, timeout=_CONNECT_S, connection_args=arguments) as server,
        ):
            kind = (await server.identity())["type"]
    except TimeoutError:
        raise TimeoutError("what is there does not answer") from None
    if kind != "Scheduler":
        raise ValueError(f"it is the address of a {kind.lower()}")


def _warn_of_versions(table: str, warn: Callable[[str], object]) -> None:
    """Warn in a line of the packages whose versions differ in the table of the warning."""
    packages = set(re.findall(r"^\| (\S+) +\|", table, flags=re.MULTILINE))
    if different := [name for name in _COMPARED if name in packages]:
        warn(
            f"other versions here than on the cluster: {', '.join(different)}; "
            "the same everywhere would be right"
        )


def _silence() -> None:
    """Keep what the libraries log off the terminal, for good: they log even at the very end."""
    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name)
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in {"distributed", "tornado", "asyncio"}:
            logging.getLogger(name).disabled = True


def _reason(error: BaseException) -> str:
    """Return the cause of an error in one line; causes without a text do not count."""
    cause = error.__cause__
    while cause is not None:
        if str(cause):
            error = cause
        cause = cause.__cause__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
