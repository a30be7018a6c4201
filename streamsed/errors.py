"""Every exception that streamsed raises for a user to read.

::

    StreamsedError
    ├── ConfigError      the configuration or the command line is wrong
    ├── BundleError      a model bundle is missing, corrupt or does not match its manifest
    ├── ProviderError    the required inference hardware cannot be used
    ├── SourceError      audio cannot be opened or read
    │   └── SourceLost   audio stopped: the device, file or pipe failed while it was being read
    ├── KeysError        a CURVE key is missing, malformed or not safe from others
    ├── PublishError     a socket cannot be bound, connected or written
    ├── ReplayError      a replay cannot go on
    ├── DataError        a table or folder that is to be evaluated cannot be used
    ├── JournalError     the journal cannot be read
    ├── ReviewError      reviews cannot be read or stored, or one contradicts its event
    ├── SinkError        a sink cannot deliver; it is tried again
    └── MessageError     what a socket delivered is no message of ours

A message is one line: what is wrong, where (file, key, value), and what would be right. A
ConfigError may have several.
"""

from __future__ import annotations

__all__ = [
    "BundleError",
    "ConfigError",
    "DataError",
    "JournalError",
    "KeysError",
    "MessageError",
    "ProviderError",
    "PublishError",
    "ReplayError",
    "ReviewError",
    "SinkError",
    "SourceError",
    "SourceLost",
    "StreamsedError",
]


class StreamsedError(Exception):
    """Base class; catching it catches everything this package raises for a user."""


class ConfigError(StreamsedError):
    """The configuration file or the command line is wrong; nothing was started.

    Attributes:
        mistakes: all that is wrong, a line each.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class BundleError(StreamsedError):
    """A model bundle is missing, corrupt, or does not match its manifest."""


class ProviderError(StreamsedError):
    """The execution provider that was required cannot be used on this machine."""


class SourceError(StreamsedError):
    """An audio source cannot be opened."""


class SourceLost(SourceError):
    """An audio source failed after it had been opened; what came before it is good."""


class KeysError(StreamsedError):
    """A CURVE key, or the folder of clients' keys, is missing, malformed or not safe."""


class PublishError(StreamsedError):
    """A message socket cannot be bound, connected or written."""


class ReplayError(StreamsedError):
    """A replay cannot go on: its processes cannot run, or its results cannot be written."""


class SinkError(StreamsedError):
    """A sink cannot connect or deliver; while the daemon runs it is tried again."""


class DataError(StreamsedError):
    """Ground truth, durations, detections or scores cannot be used: which file, which row."""


class JournalError(StreamsedError):
    """The journal is not there or cannot be read; writing it never raises this."""


class ReviewError(StreamsedError):
    """Reviews cannot be read or stored, or one contradicts the event that it is about."""


class MessageError(StreamsedError):
    """What arrived on a socket is not a message of a known schema."""
