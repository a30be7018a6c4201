"""Disk thread: work on a disk that may hang, with a time limit for those who wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable


class DiskThread:
    """Runs one job at a time; its caller waits no longer than a limit.

    A system call that the disk holds up cannot be cut short. So the job goes on in its thread, and
    nothing else is begun until it has come back.
    """

    def __init__(self) -> None:
        self._job: Callable[[], None] | None = None
        self._failure: BaseException | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def call(self, job: Callable[[], None], *, timeout_s: float) -> bool:
        """Have a job done.

        Returns:
            Whether it was done in time; False at once if an earlier one has not come back.

        Raises:
            Exception: what the job raised, or an earlier one that was not done in time.
        """
        with self._changed:
            if self._job is not None:
                return False
            self._raise()
            if self._thread.ident is None:
                self._thread.start()
            self._job = job
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._job is not job, timeout_s)
            self._raise()
        return done

    def close(self) -> None:
        """End the thread, unless its job has not come back: then once it has. Twice is fine."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            idle = self._job is None
        if idle and self._thread.ident is not None:
            self._thread.join()

    def _raise(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._job is not None or self._closing)
                job = self._job
            if job is None:
                return
            failure = None
            try:
                job()
            except BaseException as error:
                failure = error
            with self._changed:
                self._job = None
                self._failure = failure
                self._changed.notify_all()
