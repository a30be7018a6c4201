"""Logging: one line for each thing worth knowing, for people or for machines."""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from streamsed.log_repeats import RepeatLimit
from streamsed.log_sink import LogFailure, LogSink
from streamsed.printable import printable, printable_lines
from streamsed.redaction import disclosed

# Of syslog(3), as systemd reads them at the head of a line: sd-daemon(3).
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

_sinks: deque[LogSink] = deque(maxlen=1)  # the one that is in use, if any


def configure(
    *,
    level: Literal["debug", "info", "warning", "error"],
    form: Literal["auto", "console", "json"],
) -> None:
    """Log to standard error.

    What cannot be written is dropped and counted: see :func:`failure`.

    Where that is systemd's journal, each line begins with its priority, which the journal takes
    off, so that ``journalctl -p warning`` works.

    Args:
        level: the least severe level that is shown.
        form: ``console`` for people, ``json`` for machines, ``auto`` for the first on a
            terminal and the second elsewhere.
    """
    sink = LogSink(before=failure())
    _sinks.append(sink)
    terminal = sys.stderr is not None and sys.stderr.isatty()
    console = form == "console" or (form == "auto" and terminal)
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=terminal, pad_event_to=0)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.format_exc_info,
            RepeatLimit(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
            _redact,
            _count_dropped,
            *([_make_printable] if console else []),  # JSON is, by itself
            renderer,
            *([_with_priority] if _is_journal() else []),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, sink)),
    )


def failure() -> LogFailure:
    """Return how writing the log goes."""
    return _sinks[0].failure if _sinks else LogFailure()


def _count_dropped(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001 - structlog's signature
    """Let the first line that can be written again carry how many were dropped."""
    gone = failure()
    return event if gone.reason is None else {**event, "dropped_lines": gone.dropped_lines}


def _redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001 - structlog's signature
    return {key: disclosed(value, key=key) for key, value in event.items()}


def _make_printable(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001 - structlog's signature
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = (printable_lines if key == "exception" else printable)(value)
    return event


def _is_journal() -> bool:
    """Whether standard error is the stream that systemd has connected to the journal."""
    stream = os.environ.get("JOURNAL_STREAM")
    if stream is None:
        return False
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # it is closed
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def _with_priority(logger: WrappedLogger, method: str, text: EventDict) -> str:  # noqa: ARG001 - structlog's signature
    prefix = f"<{_PRIORITIES[method]}>"
    return "\n".join(prefix + line for line in str(text).split("\n"))
