"""How a replay shows how far it has got."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from streamsed.printable import printable

if TYPE_CHECKING:
    from streamsed.replay.replay import Progress

_LINE_EVERY_S = 10.0
_SETTLING_S = 3.0  # before that, processes start, and the speed means nothing


@contextmanager
def show_progress(*, quiet: bool, title: str = "") -> Iterator[Callable[[Progress], None]]:
    """Yield what shows progress: a bar on a terminal, else a line now and then.

    On standard error. Recordings that fail are named even if ``quiet``. ``title`` stands before
    the progress, where one replay of several is shown.
    """
    if quiet:
        yield _complain
    elif sys.stderr is not None and sys.stderr.isatty():  # None: it was closed at the start
        with _bar(title) as show:
            yield show
    else:
        yield _Lines(title)


class _Lines:
    def __init__(self, title: str) -> None:
        self._title = f"{title}: " if title else ""
        self._began = time.monotonic()
        self._due = self._began + _LINE_EVERY_S

    def __call__(self, progress: Progress) -> None:
        _complain(progress)
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _LINE_EVERY_S
            _line(f"streamsed: {self._title}{_state(progress, now - self._began)}")


@contextmanager
def _bar(title: str) -> Iterator[Callable[[Progress], None]]:
    console = Console(stderr=True, highlight=False)
    began = time.monotonic()
    columns = (
        *([TextColumn("{task.description}")] if title else []),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, state="starting")

        def show(progress: Progress) -> None:
            _complain(progress)
            bar.update(
                task,
                completed=progress.processed_s,
                total=progress.processed_s + progress.left_s,
                state=_state(progress, time.monotonic() - began),
            )

        yield show


def _state(progress: Progress, seconds: float) -> str:
    audio_s = progress.processed_s + progress.left_s
    text = (
        f"{progress.done} of {progress.recordings} recordings, "
        f"{progress.processed_s / 3600:.2f} of {audio_s / 3600:.2f} h"
    )
    if progress.processed_s <= 0 or seconds < _SETTLING_S:
        return text
    speed = progress.processed_s / seconds
    return f"{text}, {speed:.0f} x real time, {_clock(progress.left_s / speed)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _line(text: str) -> None:
    typer.echo(printable(text), err=True)


def _complain(progress: Progress) -> None:
    outcome = progress.latest
    if outcome is None:
        return
    if outcome.failure is not None:
        kept = "" if outcome.duration_s is None else "; what came before is kept"
        _line(f"streamsed: {outcome.name}: {outcome.failure}{kept}")
    if outcome.remark is not None:
        _line(f"streamsed: {outcome.name}: {outcome.remark}")
    for count, what in (
        (
            outcome.bad_samples,
            "values that are no samples (NaN, infinite, absurd) count as silence",
        ),
        (outcome.bad_steps, "steps whose scores are no numbers count as 0, or are clipped"),
    ):
        if count:
            _line(f"streamsed: {outcome.name}: {what}: {count}")
