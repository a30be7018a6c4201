"""The Source protocol, which everything that delivers audio implements."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from streamsed.sources.block import Block

if TYPE_CHECKING:
    from streamsed.sources.gain import Gain


class EndOfSource(Exception):  # like StopIteration: not an error
    """A finite source has delivered its last sample. Not an error."""


@runtime_checkable
class Source(Protocol):
    """One stream of audio, read by one thread.

    A source is opened, read until it ends or is no longer wanted, and closed. It resamples and
    mixes down itself: what it delivers is mono float32 at the rate given to :meth:`open`.

    Attributes:
        name: the name under which events are published; unique in one daemon.
        live: whether audio arrives by a clock of its own and cannot be held back. A live source
            loses its oldest audio when the daemon cannot keep up; any other source waits.
        unusable_samples: values so far that were no samples (NaN, infinite or absurd) and were
            replaced by silence.
    """

    name: str
    live: bool
    unusable_samples: int

    def open(self, sample_rate: int) -> None:
        """Acquire the device or file and start delivering audio at ``sample_rate`` Hz.

        Raises:
            SourceError: the source cannot be opened; why, and what would be right.
        """

    @property
    def started_at(self) -> datetime:
        """UTC at which sample 0 was captured (live), played (paced) or reading began."""

    @property
    def lost_samples(self) -> int:
        """Samples known to be lost so far (device overruns), at the delivered rate."""

    def read(self, timeout_s: float) -> Block | None:
        """Return the next block, or None when none came within ``timeout_s`` seconds.

        The samples are the caller's to keep: the source does not write to them again.

        Raises:
            EndOfSource: the source has ended; everything it had was delivered before.
            SourceLost: reading failed and will not go on.
        """

    def interrupt(self) -> None:
        """Make an ``open`` or ``read`` that is under way give up soon; from any thread, at once.

        For a source that is about to be closed: it delivers nothing more.
        """

    def close(self) -> None:
        """Release the device or file; may be called twice, and from another thread."""


class GainedSource(Source, Protocol):
    """A source that applies a gain to what it delivers, as those of configurations do.

    Attributes:
        gain: None for 0 dB. To be set while the source is closed.
    """

    gain: Gain | None
