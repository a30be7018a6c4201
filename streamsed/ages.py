"""Ages: how old things are that bear a time of the clock, though the clock may have been set since.

A board without a battery for its clock begins somewhere in the past, and is set weeks ahead once it
finds a time server. Whatever it recorded until then looks weeks old, and is minutes old. So age is
measured by time that has passed, on a monotonic clock; the clock of the system is only read
to know which time it showed when.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamsed.regular_file import read_regular

STEP_US = 10_000_000
"""The clock was set if it differs by so much from what has passed; less is adjustment."""

WAIT_US = 600_000_000
"""For so long after a step, and after a start of the machine, nothing counts as too old."""

_SAVE_US = 600_000_000
_MOST_BYTES = 1 << 20
_MOST_STEPS = 64  # beyond that the oldest are taken for one
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_RUNNING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the first counts in sleep too

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks at one moment, in microseconds.

    Attributes:
        wall_us: of UTC since 1970; may be set at any time.
        running_us: since the machine was started; comparable within one ``boot``.
        boot: which run of the machine; empty where that is not known.
    """

    wall_us: int
    running_us: int
    boot: str


def read_clocks() -> Reading:
    """Read both clocks of the system."""
    boot = ""
    with contextlib.suppress(OSError):
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    return Reading(time.time_ns() // 1000, time.clock_gettime_ns(_RUNNING) // 1000, boot)


class _Step(BaseModel):
    """From some moment on, the clock showed so much more than has passed."""

    model_config = ConfigDict(extra="forbid")

    passed_us: int
    ahead_us: int


class _Record(BaseModel):
    """What is kept over restarts.

    Attributes:
        passed_us: the time at the first start by the clock, and what has passed since.
        wall_us: the clock when this was written; likewise ``running_us`` and ``boot``.
        wait_us: until then, by ``passed_us``, nothing is too old.
        steps: the oldest first; its own beginning does not matter.
    """

    model_config = ConfigDict(extra="forbid")

    passed_us: int
    wall_us: int
    running_us: int
    boot: str
    wait_us: int
    steps: list[_Step] = Field(min_length=1)


class Ages:
    """Measures the age of what was stamped with the time of the clock.

    While the machine runs, and over restarts of the process, time is counted by the
    boot-time clock, also in sleep. For how long a machine was off only the clock shows: that
    counts once it has not been set for a while after the start, and else counts as nothing.
    Where a stamp may have been given more than once, as after the clock was put back, the latest
    such moment counts: too young rather than too old.

    Belongs to one thread.
    """

    def __init__(
        self, path: Path | None = None, *, read: Callable[[], Reading] = read_clocks
    ) -> None:
        """Begin; nothing is read before :meth:`open`.

        Args:
            path: of the file that keeps what is known over restarts; None for none.
            read: reads both clocks.
        """
        self._path = path
        self._read = read
        self._saved_us = 0
        self._away_us = 0
        self._record = _first(read())

    def open(self) -> None:
        """Go on from what an earlier run has noted, if anything."""
        now = self._read()
        self._record = _first(now)
        self._away_us = 0
        try:
            if self._path is not None:
                self._record = _Record.model_validate_json(
                    read_regular(self._path, most_bytes=_MOST_BYTES)
                )
        except FileNotFoundError:
            self.save()
        except OSError as error:
            log.warning("clock_record_unreadable", path=str(self._path), reason=str(error))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            log.warning(
                "clock_record_unreadable", path=str(self._path), reason=f"damaged: {reason}"
            )
            self.save()  # in its place
        self._saved_us = self._record.passed_us
        if now.boot != self._record.boot or now.running_us < self._record.running_us:
            self._started_anew(now)
        self.observe()

    @property
    def waits(self) -> bool:
        """Whether it is too soon after a step, or a start of the machine, to call anything old."""
        return self._record.passed_us < self._record.wait_us

    def observe(self) -> None:
        """Read the clocks; call it now and then, lest what was stamped after a step be unclear."""
        now, record = self._read(), self._record
        record.passed_us += max(0, now.running_us - record.running_us)
        record.wall_us, record.running_us = now.wall_us, now.running_us
        moved_us = now.wall_us - record.passed_us - record.steps[-1].ahead_us
        if abs(moved_us) >= STEP_US:
            log.warning(
                "clock_stepped",
                seconds=round(moved_us / 1e6, 1),
                reason=f"{self._where}the clock was set; nothing is older by that, and for "
                f"{WAIT_US / 60e6:g} minutes nothing is removed for its age",
            )
            self._step()
            self._away_us = 0
            self.save()
        elif self._away_us and not self.waits:
            self._believe()
        if record.passed_us - self._saved_us >= _SAVE_US:
            self.save()

    def age_us(self, stamp_us: int) -> int:
        """Return for how long it has been since the clock showed a time, in microseconds.

        0 for a time that it has not shown yet.
        """
        record = self._record
        best, moment = None, 0
        end = record.passed_us
        for index in range(len(record.steps) - 1, -1, -1):
            step = record.steps[index]
            passed = stamp_us - step.ahead_us
            within = min(passed if index == 0 else max(passed, step.passed_us), end)
            distance = abs(within - passed)
            if best is None or distance < best:
                best, moment = distance, within
            if best < STEP_US:  # adjustment since the step may have moved the stamp so far
                break
            end = step.passed_us
        return record.passed_us - moment

    def save(self) -> None:
        """Keep what is known for the next run; where that fails, for now it is only known here."""
        self._saved_us = self._record.passed_us
        if self._path is None:
            return
        new = self._path.with_name(self._path.name + ".new")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(new, flags, 0o600)
            try:
                os.write(descriptor, self._record.model_dump_json().encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            new.replace(self._path)

    def _started_anew(self, now: Reading) -> None:
        """Go on after another run of the machine: how long it was off is not known yet."""
        record = self._record
        away_us = now.wall_us - record.wall_us
        if away_us < -STEP_US:
            log.warning(
                "clock_stepped",
                seconds=round(away_us / 1e6, 1),
                reason=f"{self._where}the clock is behind where it was before the machine started",
            )
        record.wall_us, record.running_us, record.boot = now.wall_us, now.running_us, now.boot
        self._away_us = max(0, away_us)
        self._step()

    def _believe(self) -> None:
        """Count the time for which the machine was off, as the clock has it."""
        record = self._record
        record.passed_us += self._away_us
        record.wait_us += self._away_us
        last = record.steps[-1]
        last.passed_us += self._away_us
        last.ahead_us -= self._away_us
        if len(record.steps) > 1 and abs(last.ahead_us - record.steps[-2].ahead_us) < STEP_US:
            record.steps.pop()  # the clock went on while the machine was off, as it should
        self._away_us = 0
        self.save()

    @property
    def _where(self) -> str:
        return "" if self._path is None else f"{self._path}: "

    def _step(self) -> None:
        record = self._record
        ahead_us = record.wall_us - record.passed_us
        record.steps.append(_Step(passed_us=record.passed_us, ahead_us=ahead_us))
        del record.steps[:-_MOST_STEPS]
        record.wait_us = record.passed_us + WAIT_US


def _first(now: Reading) -> _Record:
    return _Record(
        passed_us=now.wall_us,
        wall_us=now.wall_us,
        running_us=now.running_us,
        boot=now.boot,
        wait_us=now.wall_us,
        steps=[_Step(passed_us=now.wall_us, ahead_us=0)],
    )
