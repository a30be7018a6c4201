"""The states of a source, and what leads from one to another.

This is the only place that decides which state follows: the reader reports why audio stopped, the
session reports what audio came, and both become the next state here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from streamsed.publish.messages import SourceState


class SourceInput(StrEnum):
    """What was observed of a source."""

    AUDIO = "audio"
    """A block of audio."""
    ZEROS = "zeros"
    """A block of audio; by now, nothing but zeros for longer than ``silence_s``."""
    STALL = "stall"
    """Open, but no block for longer than ``stall_s``."""
    LOSS = "loss"
    """It could not be opened, or reading failed."""
    END = "end"
    """The end of the recording or of standard input, or the daemon stops or drops the source."""


_FROM_ANY = MappingProxyType(
    {
        SourceInput.AUDIO: SourceState.RUNNING,
        SourceInput.ZEROS: SourceState.SILENT,
        SourceInput.STALL: SourceState.STALLED,
        SourceInput.LOSS: SourceState.LOST,
        SourceInput.END: SourceState.ENDED,
    }
)

TRANSITIONS: Mapping[SourceState, Mapping[SourceInput, SourceState]] = MappingProxyType(
    {
        SourceState.CONNECTING: _FROM_ANY,
        SourceState.RUNNING: _FROM_ANY,
        SourceState.SILENT: _FROM_ANY,
        SourceState.STALLED: _FROM_ANY,
        SourceState.LOST: _FROM_ANY,
        SourceState.ENDED: MappingProxyType({}),
    }
)
"""The next state, by state and input; a source that has ended stays so."""


def next_state(state: SourceState, observed: SourceInput) -> SourceState:
    """Return the state that follows; the same where the table has none."""
    return TRANSITIONS[state].get(observed, state)
