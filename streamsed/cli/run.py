"""``streamsed run``: the daemon."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from streamsed.cli.options import (
    BindOption,
    BundleOption,
    ConfigOption,
    ProviderOption,
    SourceOption,
    configuration,
)

if TYPE_CHECKING:
    from streamsed.service.daemon import Daemon


class LogFormat(StrEnum):
    """Values of ``--log-format``."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """Values of ``--log-level``."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def run(
    *,
    config: ConfigOption = None,
    source: SourceOption = None,
    bundle: BundleOption = None,
    provider: ProviderOption = None,
    bind: BindOption = None,
    wait_for_subscriber: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Begin with the first subscriber, at most so late."),
    ] = None,
    log_format: Annotated[LogFormat | None, typer.Option(help="Form of the log.")] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="Least severe level shown.")] = None,
) -> int:
    """Detect events and publish them, until every source ends or a signal comes.

    SIGTERM and SIGINT (Ctrl-C) end open events, publish that, and stop; a second one stops at
    once. SIGHUP reads the configuration anew and applies it, unless it came from the end of the
    terminal. The log goes to standard error.
    """
    read = partial(
        configuration,
        config,
        sources=source,
        bundle=bundle,
        provider=provider,
        publish={"bind": bind or None, "wait_for_subscriber_s": wait_for_subscriber},
        log={"format": log_format and log_format.value, "level": log_level and log_level.value},
    )
    settings = read()
    # Only now, so that a mistake in the configuration is reported at once.
    from streamsed import log
    from streamsed.early_signals import take_reload
    from streamsed.service.daemon import Daemon
    from streamsed.service.descriptors import raise_limit
    from streamsed.service.notify import Notifier
    from streamsed.service.pipeline import Pipeline

    log.configure(level=settings.log.level, form=settings.log.format)
    raise_limit()
    if sys.stderr is not None:  # None where it was closed before the start
        faulthandler.enable()  # where each thread was, if the watchdog ends a frozen process
    with closing(Notifier.of_environment()) as notifier:
        notifier.loading(str(settings.bundle))
        daemon = Daemon(Pipeline.of(settings), notifier=notifier, reread=read)
        with _told_by_signals(daemon):
            if take_reload():  # it came while the bundle was loading
                daemon.reload()
            code = daemon.run()
    if daemon.hangs:
        sys.stderr.flush()
        os._exit(code)
    return code


@contextmanager
def _told_by_signals(daemon: Daemon) -> Iterator[None]:
    stopping = (signal.SIGTERM, signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python's signature
        for each in stopping:
            signal.signal(each, signal.SIG_DFL)
        daemon.stop(f"received {signal.Signals(number).name}")

    def reload(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python's signature
        daemon.reload()

    handlers = dict.fromkeys(stopping, stop)
    if hasattr(signal, "SIGHUP"):
        # A terminal that is closed sends it too, and the microphone has to be released after that.
        terminal = sys.stdin is not None and sys.stdin.isatty()
        handlers[signal.SIGHUP] = stop if terminal else reload
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
