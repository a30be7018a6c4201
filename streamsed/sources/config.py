"""Sources of the ``sources:`` list of the config file and of ``--source`` arguments."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import ValidationError

from streamsed.errors import ConfigError
from streamsed.sources.address import shown
from streamsed.sources.entry import SOURCES, SourceEntry
from streamsed.sources.gain import make_gain
from streamsed.sources.protocol import Source
from streamsed.validation_messages import mistakes

SourceConfig = Annotated[SourceEntry, SOURCES]
"""An entry of any registered kind, by its ``type``."""

_NAMED = re.compile(r"(?P<name>[^=/\\]*)=(?P<spec>.*)", re.DOTALL)
_LAST = "file"
"""Kind that takes every argument, and so is asked after the others."""


def build_source(config: SourceEntry) -> Source:
    """Make the source that a configuration describes; nothing is opened yet.

    Raises:
        SourceError: this machine lacks a program for it.
    """
    source = SOURCES.maker(config.type)(config)
    source.gain = make_gain(config.gain_db)
    return source


def parse_source(text: str) -> SourceEntry:
    """Read one ``--source`` argument.

    It is written in one of these forms::

        [NAME=]mic[:DEVICE]                        a microphone: index, stable id, part of its name
        [NAME=]-                                   standard input, s16le at 16000 Hz, mono
        [NAME=]pipe:FORMAT@RATE[xCHANNELS][,live]  standard input; FORMAT as ffmpeg calls it
        [NAME=]SCHEME://...                        a stream from the network, through ffmpeg
        [NAME=]PATH                                a recording or a playlist, at real-time speed
        [NAME=]file:///PATH                        the same

    A path that contains ``=``, or looks like another form, is written ``./PATH``.

    Without ``NAME=`` a microphone is called ``mic``, standard input ``stdin``, a stream like its
    host, and a recording like its file without folder and extension. What is asked for by hand
    has to be there at the start (``required``); what a configuration file names may come later.

    Raises:
        ConfigError: it has none of the forms, or a value in it is out of range.
    """
    named = _NAMED.fullmatch(text)
    name, spec = (named["name"], named["spec"]) if named else (None, text)
    where = f"--source {(shown(text) if '://' in text else text)!r}"
    try:
        return _of_argument(spec, name=name)
    except ValidationError as error:
        model = next(kind for kind in SOURCES.configs().values() if kind.__name__ == error.title)
        raise ConfigError(
            *(f"{where}: {mistake}" for mistake in mistakes(error, model=model))
        ) from error
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _of_argument(spec: str, *, name: str | None) -> SourceEntry:
    kinds = SOURCES.configs()
    for kind in (*(kind for kind in kinds if kind != _LAST), _LAST):
        entry: type[SourceEntry] = kinds[kind]
        found = entry.of_argument(spec, name=name)
        if found is not None:
            return found
    raise AssertionError(spec)
