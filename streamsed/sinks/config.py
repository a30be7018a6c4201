"""Sinks of the ``sinks:`` list of the config file."""

from __future__ import annotations

from typing import Annotated

from streamsed.sinks.context import SinkContext
from streamsed.sinks.entry import SINKS, SinkEntry
from streamsed.sinks.sink import Sink

SinkConfig = Annotated[SinkEntry, SINKS]
"""An entry of any registered kind, by its ``type``."""


def build_sink(config: SinkEntry, context: SinkContext) -> Sink:
    """Make the sink that a configuration describes; it connects to and reads nothing yet."""
    return SINKS.maker(config.type)(config, context)
