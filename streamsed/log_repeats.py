"""Repeats: log lines that repeat are counted, and logged at intervals."""

from __future__ import annotations

import atexit
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from structlog.typing import EventDict, WrappedLogger

HELD_BACK = "held_back"
"""Key of lines that stand for others: how many equal lines were held back before this one."""

_Key = tuple[str, str]


@dataclass(slots=True)
class _Window:
    ends_at: float
    held_back: int = 0
    method: str = ""
    last: EventDict | None = None


class RepeatLimit:
    """A structlog processor that holds back repeated lines about the same source.

    The first line of an event and a source (or, if it names none, a reason) is passed on. Those
    that follow within ``window_s`` are held back; at the end of the window the last of them is
    logged, with how many they were, and a new window begins. So a log never stays at an old state,
    and a flood of one kind costs one line a window. Lines of level info that name no source are
    actions of the operator and are always passed on.

    Works from any thread; memory is bounded by ``most_kinds``.

    Args:
        window_s: seconds.
        most_kinds: pairs of event and source that are kept in mind; beyond that the oldest is
            forgotten, and what it held back is logged.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        window_s: float = 10.0,
        most_kinds: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window_s = window_s
        self._most_kinds = most_kinds
        self._clock = clock
        self._windows: OrderedDict[_Key, _Window] = OrderedDict()  # by the end of the window
        self._changing = threading.Lock()
        self._timer: threading.Timer | None = None
        atexit.register(self.flush)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG002 - structlog's signature
        """Pass a line on, or hold it back.

        Raises:
            structlog.DropEvent: it is held back.
        """
        if HELD_BACK in event or (method in {"debug", "info"} and "source" not in event):
            return event
        key = event["event"], str(event.get("source", event.get("reason")))
        forgotten = None
        with self._changing:
            now = self._clock()
            window = self._windows.get(key)
            if window is not None and (window.held_back or now < window.ends_at):
                window.held_back += 1
                window.method, window.last = method, dict(event)
                self._set_timer(now)
                raise structlog.DropEvent
            self._begin(key, now)
            if len(self._windows) > self._most_kinds:
                forgotten = self._windows.popitem(last=False)[1]
        if forgotten is not None:
            _say(forgotten)
        return event

    def flush(self, *, due_only: bool = False) -> None:
        """Log what was held back; ``due_only``: where the window has ended."""
        with self._changing:
            now = self._clock()
            due = [
                (key, window)
                for key, window in self._windows.items()
                if window.held_back and (now >= window.ends_at or not due_only)
            ]
            for key, _ in due:
                self._begin(key, now)
        for _, window in due:
            _say(window)

    def _begin(self, key: _Key, now: float) -> None:
        self._windows[key] = _Window(now + self._window_s)
        self._windows.move_to_end(key)

    def _set_timer(self, now: float) -> None:
        """Set the timer to the end of the first window that holds lines back."""
        if self._timer is None:
            first = next(window for window in self._windows.values() if window.held_back)
            self._timer = threading.Timer(max(0.0, first.ends_at - now), self._ring)
            self._timer.daemon = True
            self._timer.start()

    def _ring(self) -> None:
        self.flush(due_only=True)
        with self._changing:
            self._timer = None
            if any(window.held_back for window in self._windows.values()):
                self._set_timer(self._clock())


def _say(window: _Window) -> None:
    if window.last is not None:
        write = getattr(structlog.get_logger(), window.method)
        write(**window.last, **{HELD_BACK: window.held_back})
