"""Ledger: the second place, beside the journal, where numbers and open events are recorded.

The journal alone cannot prove that it lacks nothing: SQLite passes over the end of a write-ahead
log that was damaged or removed, and an older copy from a backup looks as good as the newest. So
after each group of messages the last number, the onsets and the offsets are written here as well,
without a flush of the disk: that survives the end of the process, and after a power cut nothing of
it is believed but as a lower bound.

Two files of a fixed size take turns, each beginning with a whole snapshot, so that writing goes on
where the disk is full. Each record has a checksum. A copy from a backup gives itself away: the
file system's time of its last change is not that of its last record.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from streamsed.publish.messages import EventMessage
from streamsed.regular_file import read_regular

NAMES = ("journal.ledger.a", "journal.ledger.b")
LARGEST_NUMBER = 2**53 - 2**32  # beyond that JSON readers no longer count one by one

_FILE_BYTES = 256 * 1024
_MOST_BYTES = 16 * 2**20  # nothing that was written here is longer
SAME_TIME_NS = 1_000_000_000  # from the time in a record to its being written
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class LedgerContent:
    """What a ledger holds of earlier runs.

    Attributes:
        last: the highest number recorded; 0 for none.
        open_events: without offset when the last record was written, by id.
        ended: events whose offsets are recorded.
        doubt: why ``last`` may not be the last number that was used; None if it was.
        exists: whether there is anything.
        whole: whether what is there is as it was written, and so complete up to ``last``.
        closed: whether the last run ended in good order.
        written_ns: when the last record was written, in nanoseconds since 1970.
        changed: whether the file was changed after that, by others; also where it is damaged.
    """

    last: int = 0
    open_events: Mapping[UUID, EventMessage] = field(default_factory=dict)
    ended: frozenset[UUID] = frozenset()
    doubt: str | None = "there is no ledger"
    exists: bool = False
    whole: bool = False
    closed: bool = False
    written_ns: int = 0
    changed: bool = False


class Ledger:
    """The two files, written by one thread. Every method may raise :class:`OSError`."""

    def __init__(self, folder: Path) -> None:
        """Name the files; nothing is touched."""
        self._paths = tuple(folder / name for name in NAMES)
        self._descriptor: int | None = None
        self._turn = 0  # which of the files is being written
        self._generation = 0
        self._size = 0
        self._snapshot_bytes = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a file to write to."""
        return self._descriptor is not None

    def read(self) -> LedgerContent:
        """Read what earlier runs have left, whatever that is."""
        files = [_read(path) for path in self._paths]
        found = sorted((f for f in files if f.records), key=lambda f: f.generation)
        if not found:
            damaged = any(f.damaged for f in files)
            return (
                LedgerContent(doubt="the ledger is damaged", exists=True)
                if damaged
                else LedgerContent()
            )
        newest = found[-1]
        self._generation = newest.generation
        self._turn = files.index(newest)
        last, open_events, ended = 0, dict[UUID, EventMessage](), set[UUID]()
        for record in (record for content in found for record in content.records):
            last = max(last, record.last)
            if record.snapshot:
                open_events = {}
            open_events.update({event.event_id: event for event in record.onsets})
            for event_id in record.offsets:
                open_events.pop(event_id, None)
                ended.add(event_id)
        damaged = newest.damaged or any(f.damaged and not f.records for f in files)
        written_ns = newest.records[-1].written_ns
        changed = abs(newest.changed_ns - written_ns) > SAME_TIME_NS
        closed = newest.records[-1].closed
        doubt = None
        if damaged:
            doubt = "the ledger is damaged"
        elif changed:
            doubt = "the ledger is a copy, or was changed"
        elif not closed and newest.records[0].boot != _boot():
            doubt = "the machine was switched off meanwhile"
        return LedgerContent(
            last,
            open_events,
            frozenset(ended),
            doubt,
            exists=True,
            whole=not damaged,
            closed=closed,
            written_ns=written_ns,
            changed=changed,
        )

    def begin(self, last: int, open_events: Iterable[bytes]) -> None:
        """Take the other file, and write all that is known into it.

        Where there is no room for that file, the one that is being written stays open.

        Args:
            last: the last number.
            open_events: the latest message of each event without offset, as JSON.
        """
        path = self._paths[1 - self._turn]
        _make_room(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o600)
        try:
            if os.fstat(descriptor).st_size < _FILE_BYTES:
                os.posix_fallocate(descriptor, 0, _FILE_BYTES)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)  # there is nothing in it, and it would count as cut off
            raise
        self.release()
        self._turn = 1 - self._turn
        self._generation += 1
        self._descriptor, self._size = descriptor, 0
        try:
            self._append(last, onsets=open_events, boot=_boot())
            # What is flushed here is a lower bound after a power cut, whatever becomes of the rest.
            os.fsync(descriptor)
        except OSError:
            self.release()  # it would hide what the other file holds
            raise
        self._snapshot_bytes = self._size

    def note(
        self, last: int, *, onsets: Iterable[bytes] = (), offsets: Iterable[UUID] = ()
    ) -> bool:
        """Record numbers up to ``last``, and the events that began and ended with them.

        Args:
            last: the last number.
            onsets: messages of events that begin or go on, as JSON.
            offsets: ids of events that end.

        Returns:
            Whether there is little room left, so that :meth:`begin` is called for.
        """
        self._append(last, onsets=onsets, offsets=offsets)
        return self._size > max(_FILE_BYTES // 2, 4 * self._snapshot_bytes)

    def close(self, last: int) -> None:
        """Record that no further number will be used, and let go of the files."""
        if self._descriptor is not None:
            self._append(last, closed=True)
            os.fsync(self._descriptor)
        self.release()

    def remove(self) -> None:
        """Remove the files: numbers are about to be used that are recorded nowhere here."""
        self.release()
        for path in self._paths:
            path.unlink(missing_ok=True)

    def release(self) -> None:
        """Let go of the file as it is."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(
        self,
        last: int,
        *,
        onsets: Iterable[bytes] = (),
        offsets: Iterable[UUID] = (),
        boot: str | None = None,
        closed: bool = False,
    ) -> None:
        assert self._descriptor is not None
        record: dict[str, Any] = {"g": self._generation, "n": last, "t": time.time_ns()}
        if boot is not None:
            record["boot"] = boot
        if closed:
            record["closed"] = True
        if off := [event_id.hex for event_id in offsets]:
            record["off"] = off
        line = json.dumps(record, separators=(",", ":"), ensure_ascii=True).encode()
        if on := b",".join(onsets):
            line = b'%s,"on":[%s]}' % (line[:-1], on)
        line = b"%08x %s\n\0" % (zlib.crc32(line), line)  # what follows the NUL was written before
        written = os.pwrite(self._descriptor, line, self._size)
        if written < len(line):
            raise OSError(28, "No space left on device")
        self._size += len(line) - 1


@dataclass(frozen=True, slots=True)
class _Record:
    generation: int
    last: int
    written_ns: int
    onsets: tuple[EventMessage, ...]
    offsets: tuple[UUID, ...]
    boot: str | None
    closed: bool

    @property
    def snapshot(self) -> bool:
        return self.boot is not None


@dataclass(frozen=True, slots=True)
class _File:
    records: tuple[_Record, ...] = ()
    damaged: bool = False
    changed_ns: int = 0

    @property
    def generation(self) -> int:
        return self.records[-1].generation


def _read(path: Path) -> _File:
    try:
        content = read_regular(path, most_bytes=_MOST_BYTES, follow_links=False)
        changed_ns = path.stat().st_ctime_ns
    except FileNotFoundError:
        return _File()
    except OSError:
        return _File(damaged=True)
    lines = list(_lines(content))
    records = tuple(record for line in lines if (record := _parsed(line)) is not None)
    damaged = len(records) < len(lines) or bool(records and not records[0].snapshot)
    damaged |= len(content) < _FILE_BYTES  # it was cut off; where, perhaps between two records
    return _File(records, damaged, changed_ns)


def _lines(content: bytes) -> Iterator[bytes]:
    begin = 0
    while begin < len(content) and content[begin]:
        end = content.find(b"\n", begin)
        if end < 0:
            yield content[begin:]
            return
        yield content[begin:end]
        begin = end + 1


def _parsed(line: bytes) -> _Record | None:
    crc, _, text = line.partition(b" ")
    try:
        if int(crc, 16) != zlib.crc32(text):
            return None
        content = json.loads(text)
        last = int(content["n"])
        if not 0 <= last <= LARGEST_NUMBER:
            return None
        return _Record(
            generation=int(content["g"]),
            last=last,
            written_ns=int(content["t"]),
            onsets=tuple(EventMessage.model_validate(event) for event in content.get("on", ())),
            offsets=tuple(UUID(hex=event_id) for event_id in content.get("off", ())),
            boot=content.get("boot"),
            closed=bool(content.get("closed")),
        )
    except (ValueError, TypeError, KeyError, ValidationError):
        return None


def _make_room(path: Path) -> None:
    """Move away what is no regular file; a file of ours that is too long begins anew."""
    with contextlib.suppress(FileNotFoundError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            path.rename(path.with_name(f"{path.name}.{time.time_ns()}.broken"))
        elif status.st_size > _FILE_BYTES:
            path.unlink()


def _boot() -> str:
    """Identify this run of the machine; the same for all, where the system does not name it."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown boot"
