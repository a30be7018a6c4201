"""File descriptors: how many connections there may be, so that enough are left for the rest."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

import structlog

_WANTED = 65_536
_OWN = 64  # for the journal, clips, a reload, metrics and what libraries open now and then
_A_SOURCE = 6  # for its process, pipes and sockets
_A_CONNECTION = 3  # the client's, and both ends of what leads to libzmq
_LEAST = 4
_MOST_REQUESTING = 64

log = structlog.get_logger()


def raise_limit() -> None:
    """Let this process have as many descriptors as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections(*, wanted: int, sources: int) -> tuple[int, int]:
    """Return how many subscribers, and how many who make requests, may be connected at a time.

    Args:
        wanted: subscribers, where there are descriptors enough.
        sources: how many the daemon has.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return wanted, _MOST_REQUESTING
    free = limit - len(list(Path("/proc/self/fd").iterdir())) - _OWN - _A_SOURCE * sources
    for_requests = min(_MOST_REQUESTING, free // 4 // _A_CONNECTION)
    subscribers = min(wanted, free // _A_CONNECTION - for_requests)
    if subscribers < wanted:
        log.warning("descriptors_scarce", limit=limit, subscribers=max(subscribers, _LEAST))
    return max(subscribers, _LEAST), max(for_requests, _LEAST)
