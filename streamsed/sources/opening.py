"""Opening sources for a moment, all at once, to check whether they can be opened."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from streamsed.errors import SourceError
from streamsed.sources.protocol import Source

_AT_ONCE = 64
_GIVE_UP_S = 3.0  # for one that is interrupted to end what it has begun


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of opening a source.

    Attributes:
        error: why it cannot be opened; None if it can.
        remark: what is odd about it though it can; None if nothing is.
    """

    error: SourceError | None
    remark: str | None = None


def try_to_open(
    sources: Sequence[Source],
    *,
    sample_rate: int,
    within_s: float,
    inspect: Callable[[Source], str | None] = lambda _: None,
) -> list[Trial]:
    """Open and close sources, in threads of their own.

    Args:
        sources: not open.
        sample_rate: the bundle's, in Hz.
        within_s: what is not open then counts as not there; the end comes little later.
        inspect: returns what is odd about a source that is open; may read from it for a moment.

    Returns:
        What came of each.
    """
    results = [
        Trial(SourceError(f"{source.name}: does not answer within {within_s:g} s"))
        for source in sources
    ]
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(sources)):
        waiting.put(index)

    def work() -> None:
        while not over.is_set():
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                return
            results[index] = _try_one(sources[index], sample_rate, results[index], over, inspect)

    over = threading.Event()
    threads = [
        threading.Thread(target=work, name=f"try {number}", daemon=True)
        for number in range(min(_AT_ONCE, len(sources)))
    ]
    for thread in threads:
        thread.start()
    _join(threads, within_s)
    over.set()
    for source in sources:
        source.interrupt()
    _join(threads, _GIVE_UP_S)
    return list(results)


def _try_one(
    source: Source,
    sample_rate: int,
    too_late: Trial,
    over: threading.Event,
    inspect: Callable[[Source], str | None],
) -> Trial:
    try:
        source.open(sample_rate)
        return Trial(None, inspect(source))
    except SourceError as error:
        return too_late if over.is_set() else Trial(error)
    except Exception as error:  # a fault in one source must not hide the others
        return Trial(SourceError(f"{source.name}: internal error: {error!r}"))
    finally:
        source.close()


def _join(threads: Sequence[threading.Thread], within_s: float) -> None:
    deadline = monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
