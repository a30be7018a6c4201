"""Killed, and then its files are damaged: is a number used twice, an offset missing or doubled?

About ten minutes for 600 cases (``--cases``). What numbers and journals messages is killed in the
midst of work, some of its files are damaged, and it is started again, a few times over. What it
handed on to be sent is counted. An event that was open when all that recorded it was lost cannot be
known of, and is counted apart.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streamsed.detect.events import Kind, Reason
from streamsed.publish import message_builders
from streamsed.publish.journal_reader import JournalReader
from streamsed.publish.messages import (
    BundleName,
    EventMessage,
    EventScore,
    Moment,
    SourceCondition,
    SourceState,
)
from streamsed.publish.sequencer import Sequencer

# What was written outlives a process there as on a disk, and takes less time.
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own
CASES = 600
RUNS = 4  # of one case
LONGEST_S = 0.15  # of a run that is killed
LATER_S = 1.2  # after which a copy differs in its change time from the original

ABOUT_TO, SENT = b"+", b"="

JOURNAL = ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm")


def event(kind: Kind, event_id: UUID) -> message_builders.MessageBuilder:
    """Build a message of an event."""
    onset = Moment(seconds=1.0, sample=16_000, utc=datetime.now(UTC))
    ended = kind is Kind.OFFSET
    return lambda seq, published: EventMessage(
        seq=seq,
        kind=kind,
        event_id=event_id,
        source="kitchen",
        label="Dog",
        onset=onset,
        offset=onset if ended else None,
        duration=0.0 if ended else None,
        score=EventScore(current=0.5, peak=0.9, mean=0.7),
        reason=Reason.SILENCE if ended else None,
        latency_ms=None,
        bundle=BundleName(name="tones", version="1"),
        published=published,
    )


def status() -> message_builders.MessageBuilder:
    """Build a message of another kind."""
    return message_builders.status(
        SourceCondition(source="kitchen", state=SourceState.RUNNING, message="x")
    )


def event_ids(builders: Sequence[message_builders.MessageBuilder]) -> Iterator[bytes]:
    """Return the events that messages are about."""
    for builder in builders:
        message = builder(1, datetime.now(UTC))
        if isinstance(message, EventMessage):
            yield str(message.event_id).encode()


def work(folder: Path, sent: Connection, seed: int, *, until_s: float | None) -> None:
    """Number messages and send them on, for so long, or until killed."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    sequencer = Sequencer(folder)
    sequencer.open()
    end = time.monotonic() + (until_s or 3600.0)
    open_events: list[UUID] = []
    while True:
        builders = sequencer.take_interrupted()
        for _ in range(chance.randint(1, 6)):
            match chance.randrange(3):
                case 0 if time.monotonic() < end:
                    open_events.append(uuid4())
                    builders.append(event(Kind.ONSET, open_events[-1]))
                case 1 if open_events:
                    place = chance.randrange(len(open_events))
                    builders.append(event(Kind.OFFSET, open_events.pop(place)))
                case _:
                    builders.append(status())
        if over := time.monotonic() >= end:
            builders += [event(Kind.OFFSET, open_events.pop()) for _ in range(len(open_events))]
        sent.send_bytes(ABOUT_TO + b"\n".join(event_ids(builders)))
        entries = sequencer.record(builders)
        sent.send_bytes(SENT + b"\n".join(entry.body for entry in entries))
        if chance.random() < 0.1:
            sequencer.beat()
            sequencer.tidy()
        if over:
            sequencer.close()
            return


@dataclass
class Sent:
    """Everything that was sent in one case."""

    numbers: Counter[int] = field(default_factory=Counter)
    fallen: int = 0
    highest: int = 0
    onsets: set[str] = field(default_factory=set)
    offsets: Counter[str] = field(default_factory=Counter)
    unknowable: set[str] = field(default_factory=set)

    def take(self, reports: Sequence[bytes]) -> None:
        """Count what one run reported."""
        for report in reports:
            if report.startswith(SENT):
                for body in report[1:].split(b"\n"):
                    self._count(body)
        # The last group may have been recorded and not sent, or neither.
        if reports[-1].startswith(ABOUT_TO):
            self.unknowable |= set(reports[-1][1:].decode().split("\n"))

    def catch_up(self, rows: Sequence[tuple[int, str, str]]) -> None:
        """Count what the journal has and was never sent, because of a kill just then."""
        for seq, _, body in rows:
            if seq not in self.numbers:
                self.highest = 0
                self._count(body.encode())

    def _count(self, body: bytes) -> None:
        message = json.loads(body)
        seq = message["seq"]
        self.numbers[seq] += 1
        self.fallen += seq < self.highest
        self.highest = max(self.highest, seq)
        if "event_id" in message:
            if message["kind"] == "offset":
                self.offsets[message["event_id"]] += 1
            else:
                self.onsets.add(message["event_id"])

    @property
    def open(self) -> set[str]:
        """Events without offset."""
        return self.onsets - self.offsets.keys()


@dataclass(frozen=True)
class Case:
    """What a damage works on."""

    folder: Path
    copy: Path
    chance: random.Random
    sent: Sent

    def flip(self, *names: str) -> None:
        """Flip a bit somewhere in one of the files."""
        present = [self.folder / name for name in names if (self.folder / name).is_file()]
        sizes = [path.stat().st_size for path in present]
        if not sum(sizes):
            return
        (path,) = self.chance.choices(present, sizes)
        place = self.chance.randrange(path.stat().st_size)
        with path.open("r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ (1 << self.chance.randrange(8))]))

    def remove(self, *names: str) -> None:
        """Remove files."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def truncate(self, name: str) -> None:
        """Cut a file off somewhere."""
        path = self.folder / name
        if path.exists():
            os.truncate(path, self.chance.randrange(path.stat().st_size + 1))

    def restore(self, *, only_journal: bool) -> None:
        """Put back what was copied in the midst of the run before."""
        if not self.copy.exists():
            return
        time.sleep(LATER_S)
        for path in self.folder.iterdir():
            if not only_journal or path.name in JOURNAL:
                path.unlink()
        for path in self.copy.iterdir():
            if not only_journal or path.name in JOURNAL:
                shutil.copy2(path, self.folder)
        if not only_journal:
            self.sent.unknowable |= self.sent.open

    def lose(self, *, remake: bool) -> None:
        """Remove the whole folder."""
        shutil.rmtree(self.folder)
        if remake:
            self.folder.mkdir()
        self.sent.unknowable |= self.sent.open


SECOND_PLACE = ("journal.ledger.a", "journal.ledger.b", "journal.sealed")
DAMAGES: dict[str, Callable[[Case], None]] = {
    "nothing but the kill": lambda case: None,  # noqa: ARG005
    "the write-ahead log gone": lambda case: case.remove(*JOURNAL[1:]),
    "a bit of the write-ahead log": lambda case: case.flip(JOURNAL[1]),
    "a bit of the database": lambda case: case.flip(JOURNAL[0]),
    "a bit of the journal's files": lambda case: case.flip(*JOURNAL),
    "a bit of the second place": lambda case: case.flip(*SECOND_PLACE),
    "the write-ahead log cut off": lambda case: case.truncate(JOURNAL[1]),
    "the database cut off": lambda case: case.truncate(JOURNAL[0]),
    "the journal gone": lambda case: case.remove(*JOURNAL),
    "the second place gone": lambda case: case.remove(*SECOND_PLACE),
    "an older journal restored": lambda case: case.restore(only_journal=True),
    "an older folder restored": lambda case: case.restore(only_journal=False),
    "the folder gone": lambda case: case.lose(remake=False),
    "the folder made anew": lambda case: case.lose(remake=True),
}


def run(case: Case, seed: int, *, until_s: float | None) -> None:
    """Let it work, and kill it unless it is to end by itself."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([Sequencer.__module__, "rich.progress", "rich.table"])
    ours, its = context.Pipe(duplex=False)
    process = context.Process(
        target=work, args=(case.folder, its, seed), kwargs={"until_s": until_s}, daemon=True
    )
    process.start()
    its.close()
    reports: list[bytes] = []
    with suppress(EOFError):
        reports.append(ours.recv_bytes())
        kill_at = time.monotonic() + case.chance.uniform(0.0, LONGEST_S)
        copy_at = time.monotonic() + case.chance.uniform(0.0, LONGEST_S) / 2
        while until_s is not None or time.monotonic() < kill_at:
            if ours.poll(0.005):
                reports.append(ours.recv_bytes())
            if time.monotonic() >= copy_at and not case.copy.exists():
                shutil.copytree(case.folder, case.copy)
        process.kill()
        while True:
            reports.append(ours.recv_bytes())
    process.join()
    case.sent.take(reports)


def attempt(damage: Callable[[Case], None], seed: int) -> Sent:
    """Run, kill, damage and start again, a few times."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as name:
        case = Case(Path(name) / "state", Path(name) / "copy", chance, Sent())
        for number in range(RUNS):
            shutil.rmtree(case.copy, ignore_errors=True)
            run(case, seed * RUNS + number, until_s=None)
            damage(case)
        run(case, seed, until_s=0.02)
        reader = JournalReader(case.folder / JOURNAL[0])
        case.sent.catch_up(reader.after(0, rows=1_000_000).rows)
        reader.close()
    return case.sent


@dataclass
class DamageCounts:
    """What went wrong, over the cases of one damage."""

    cases: int = 0
    messages: int = 0
    reused: int = 0
    fallen: int = 0
    none: int = 0
    several: int = 0
    unknowable: int = 0
    wrong_cases: int = 0

    def add(self, sent: Sent) -> None:
        """Add a case."""
        reused = sum(count - 1 for count in sent.numbers.values())
        several = sum(count > 1 for count in sent.offsets.values())
        none = len(sent.open - sent.unknowable)
        self.cases += 1
        self.messages += sum(sent.numbers.values())
        self.reused += reused
        self.fallen += sent.fallen
        self.none += none
        self.several += several
        self.unknowable += len(sent.open & sent.unknowable)
        self.wrong_cases += bool(reused or sent.fallen or several or none)


def measure(cases: int) -> dict[str, DamageCounts]:
    """Try each damage as often as the others."""
    found: dict[str, DamageCounts] = defaultdict(DamageCounts)
    names = list(DAMAGES)
    for number in track(range(cases), "killing", console=Console(stderr=True), transient=True):
        name = names[number % len(names)]
        found[name].add(attempt(DAMAGES[name], number))
    return found


def main() -> int:
    """Damage, and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=CASES)
    found = measure(parser.parse_args().cases)
    table = Table("damage", *("cases", "messages", "numbers used twice", "numbers fallen"))
    for column in ("events without offset", "with several", "not to be known", "cases wrong"):
        table.add_column(column)
    for name, counts in found.items():
        row = (
            counts.cases,
            counts.messages,
            counts.reused,
            counts.fallen,
            counts.none,
            counts.several,
            counts.unknowable,
            counts.wrong_cases,
        )
        table.add_row(name, *map(str, row))
    Console(width=140).print(table)
    return int(any(counts.wrong_cases for counts in found.values()))


if __name__ == "__main__":
    sys.exit(main())
