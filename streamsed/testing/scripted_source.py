"""A source that delivers what a script lists: audio, losses, nothing for a while, failures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.block import Block
from streamsed.sources.protocol import EndOfSource


@dataclass(frozen=True, slots=True)
class Missing:
    """So many samples are lost before the next block."""

    samples: int


@dataclass(frozen=True, slots=True)
class Nothing:
    """One ``read`` returns None, once its timeout has passed."""


@dataclass(frozen=True, slots=True)
class Refused:
    """``open`` raises SourceError; only at the beginning of a script, or after :class:`Broken`."""

    message: str = "cannot be opened"


@dataclass(frozen=True, slots=True)
class Broken:
    """``read`` raises SourceLost; what comes after it is delivered when it is opened again."""

    message: str = "broke off"


ScriptItem = NDArray[np.float32] | Missing | Nothing | Refused | Broken
"""``(n,)`` float32 is a block; see each class."""

_Item = TypeVar("_Item", bound=ScriptItem)


class ScriptedSource:
    """A :class:`~streamsed.sources.protocol.Source` whose every ``read`` is written down.

    ::

        source = ScriptedSource("door", [tone, Missing(4000), tone, Broken(), tone])

    The script is gone through once. At its end, and after it, ``read`` raises EndOfSource.

    Args:
        name: name of the source.
        script: in order; audio is at whatever rate it is opened with.
        live: as in the protocol.

    Attributes:
        opened: how many times it was opened.
        closed: how many times it was closed.
    """

    def __init__(self, name: str, script: Iterable[ScriptItem], *, live: bool = False) -> None:
        self.name = name
        self.live = live
        self.unusable_samples = 0
        self.opened = 0
        self.closed = 0
        self._script: Iterator[ScriptItem] = iter(script)
        self._next: ScriptItem | None = next(self._script, None)
        self._position = 0
        self._lost_samples = 0
        self._started_at = datetime.now(UTC)
        self._interrupted = Event()

    @property
    def started_at(self) -> datetime:
        """UTC of the last opening."""
        return self._started_at

    @property
    def lost_samples(self) -> int:
        """Of this opening, by :class:`Missing`."""
        return self._lost_samples

    def open(self, sample_rate: int) -> None:  # noqa: ARG002  # the script's audio is at any rate
        """Begin at sample 0 with the next entry.

        Raises:
            SourceError: the next entry is :class:`Refused`.
        """
        self._interrupted.clear()
        self._position = self._lost_samples = 0
        self._started_at = datetime.now(UTC)
        if isinstance(self._next, Refused):
            raise SourceError(f"{self.name}: {self._take(self._next).message}")
        self.opened += 1

    def read(self, timeout_s: float) -> Block | None:
        """Deliver the next entry.

        Raises:
            EndOfSource: there is none.
            SourceLost: it is :class:`Broken`.
        """
        while isinstance(self._next, Missing):
            missing = self._take(self._next)
            self._position += missing.samples
            self._lost_samples += missing.samples
        match self._next:
            case None:
                raise EndOfSource
            case Broken():
                raise SourceLost(f"{self.name}: {self._take(self._next).message}")
            case Nothing():
                self._take(self._next)
                self._interrupted.wait(timeout_s)
                return None
            case Refused():
                raise ValueError("Refused stands after Broken, or at the beginning of a script")
            case samples:
                block = Block(self._take(samples), self._position)
                self._position = block.end_sample
                return block

    def interrupt(self) -> None:
        """Make a ``read`` that waits return."""
        self._interrupted.set()

    def close(self) -> None:
        """Count it."""
        self.interrupt()
        self.closed += 1

    def _take(self, entry: _Item) -> _Item:
        self._next = next(self._script, None)
        return entry
