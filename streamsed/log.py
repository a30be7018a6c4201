"""Logging: one line for each thing worth knowing, for people or for machines."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from streamsed.redaction import redacted


def configure(
    *,
    level: Literal["debug", "info", "warning", "error"],
    form: Literal["auto", "console", "json"],
) -> None:
    """Log to standard error.

    Args:
        level: the least severe level that is shown.
        form: ``console`` for people, ``json`` for machines, ``auto`` for the first on a
            terminal and the second elsewhere.
    """
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
            structlog.processors.format_exc_info,
            _redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


def _redact(
    logger: object,  # noqa: ARG001 - structlog's signature
    method: str,  # noqa: ARG001
    event: structlog.typing.EventDict,
) -> structlog.typing.EventDict:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redacted(value)
    return event
