"""SinkContext: what a sink may read of the daemon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from streamsed.publish.messages import Level
from streamsed.publish.sequencer import Sequencer


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkContext:
    """What a sink may read; each of the functions may be called by any thread.

    Attributes:
        sequencer: keeps the messages: recent ones, the journal, the last values.
        folder: where positions are kept over restarts; None for nowhere.
        sources: returns the names of the sources.
        classes: returns the labels whose events are published.
        level: returns the latest level of a source; None while no audio arrives.
    """

    sequencer: Sequencer = field(default_factory=Sequencer)
    folder: Path | None = None
    sources: Callable[[], tuple[str, ...]] = tuple
    classes: Callable[[], tuple[str, ...]] = tuple
    level: Callable[[str], Level | None] = lambda source: None  # noqa: ARG005
