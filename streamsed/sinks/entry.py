"""SinkEntry: what the entries of ``sinks:`` have in common, whatever their kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict

from streamsed.registry import Registry
from streamsed.sinks.sink import Sink

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")


def _names_a_file(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a sink, for it names a file; up to 64 letters (a to z), "
            "digits and any of _ . - would be right"
        )
    return name


SinkName = Annotated[str, AfterValidator(_names_a_file)]


class SinkEntry(BaseModel):
    """The configuration of one sink.

    A kind is a subclass with a field ``type`` in :mod:`streamsed.sinks.kinds`, registered in
    :data:`SINKS` by the decorator of the function that makes the sink.

    Attributes:
        type: the kind of sink.
        name: in the log, the status and the file of its position; each sink has its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: str
    name: SinkName

    def beside(self, file: Path) -> Self:
        """Return it with relative paths taken from the folder of the file that it stands in."""
        del file
        return self


SINKS: Registry[Callable[[Any, Any], Sink]] = Registry(
    "sink", package="streamsed.sinks.kinds", key="type"
)
"""Kinds of sinks, by the function that makes one of its entry and a
:class:`streamsed.sinks.context.SinkContext`; it connects to nothing yet."""
