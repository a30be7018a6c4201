"""Health: liveness and readiness, for service managers and orchestrators."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from streamsed.publish.messages import SourceState

STUCK_S = 10.0
"""A step takes milliseconds; a thread that takes so long is stuck."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether something is wrong, and what.

    Attributes:
        trouble: what is wrong; None if nothing is.
        journal: why the journal cannot be written, though all else goes on; None if it can.
    """

    trouble: str | None = None
    journal: str | None = None

    @property
    def http_status(self) -> int:
        """200 or 503."""
        return 200 if self.trouble is None else 503

    @property
    def body(self) -> bytes:
        """One line of JSON."""
        content = {"status": "ok" if self.trouble is None else "failing"}
        if self.trouble is not None:
            content["reason"] = self.trouble
        if self.journal is not None:
            content["journal"] = self.journal
        return json.dumps(content).encode() + b"\n"


def liveness(
    *,
    detecting_since: float | None,
    recording_since: float | None = None,
    beat_at: float | None = None,
    beat_s: float = 1.0,
    now: float,
) -> Health:
    """Return whether detection advances, messages are recorded and heartbeats are sent.

    Args:
        detecting_since: when detection began what it is doing; None if it waits for audio, which
            is no trouble: a device that is missing is a state of its source.
        recording_since: when the outbox began what it is doing; None if it waits for messages.
        beat_at: when the last heartbeat was sent; None before the first.
        beat_s: interval of heartbeats.
        now: by the same clock.
    """
    for since, what in (
        (detecting_since, "detection has not advanced"),
        (recording_since, "no message has been recorded"),
        (None if beat_at is None else beat_at + beat_s, "no heartbeat has been sent"),
    ):
        if since is not None and now - since >= STUCK_S:
            return Health(f"{what} for {now - since:.0f} s")
    return Health()


def readiness(*, started: bool, ending: bool, states: Collection[SourceState]) -> Health:
    """Return whether events can be expected.

    Args:
        started: whether the bundle is loaded, the sockets are bound, and every source has
            delivered audio or is known to be missing.
        ending: whether the daemon stops.
        states: of all sources; one that is missing is waited for.
    """
    if ending:
        return Health("stopping")
    if not started:
        return Health("starting: waiting for a subscriber or for the first audio")
    if all(state is SourceState.ENDED for state in states):
        return Health("every source has ended")
    return Health()
