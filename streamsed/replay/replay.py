"""A replay from beginning to end: what is left to do, doing it, and the tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from streamsed.errors import ConfigError, ReplayError
from streamsed.replay.description import check_same, describe, write_description
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.job import Job
from streamsed.replay.journal import ReplayJournal, read_in_order, read_journal
from streamsed.replay.outcome import Outcome
from streamsed.replay.processes import Processed
from streamsed.replay.recordings import Recording
from streamsed.replay.tables import compile_tables

Work = Callable[[Sequence[Recording]], Generator[Outcome | Processed, None, None]]
"""Replays recordings, here or elsewhere, and yields each outcome once."""


class Earlier(Enum):
    """What to do with an earlier replay in the same folder."""

    REFUSE = auto()
    RESUME = auto()
    OVERWRITE = auto()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay has got.

    Attributes:
        done: recordings that are finished or have failed, those of an earlier run included.
        recordings: in all.
        processed_s: audio processed in this run.
        left_s: audio still to be processed, by the headers of the recordings.
        latest: what has just become of a recording; None between.
    """

    done: int
    recordings: int
    processed_s: float
    left_s: float
    latest: Outcome | None


@dataclass(slots=True)
class Totals:
    """What has become of recordings, together: outcomes themselves may be too many to hold.

    Attributes:
        done: recordings that are finished or have failed.
        audio_s: length of all of them together, as far as they were read.
        events: of all of them together.
        failures: those that could not be read, or not to their end.
    """

    done: int = 0
    audio_s: float = 0.0
    events: int = 0
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one recording."""
        self.done += 1
        self.audio_s += outcome.duration_s or 0.0
        self.events += outcome.events
        if outcome.failure is not None:
            self.failures.append(outcome)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a replay came to.

    Attributes:
        totals: of all that is done, recordings of an earlier run included.
        complete: whether all are done, and the tables written.
        kept: recordings of an earlier run that were not done again.
        processed_s: audio processed in this run.
        seconds: that this run took.
    """

    totals: Totals
    complete: bool
    kept: int
    processed_s: float
    seconds: float


class Replay:
    """A folder that has been made ready for the results of a job.

    Args:
        job: what to run.
        recordings: what to run it on.
        earlier: what to do with an earlier replay in the job's folder.
        description: of the job, if it is other machines that run it.

    Attributes:
        waiting: the recordings that are to be replayed.

    Raises:
        BundleError: the bundle is missing, corrupt, or fails its self-test.
        ProviderError: the hardware that is required cannot be used.
        ConfigError: the folder holds something else, or results that would be mixed with others.
    """

    def __init__(
        self,
        job: Job,
        recordings: Sequence[Recording],
        *,
        earlier: Earlier,
        description: dict[str, Any] | None = None,
    ) -> None:
        self._recordings = recordings
        self._folder = ReplayFolder(job.folder)
        self._kept = self._prepare(description or describe(job), earlier)
        self.waiting = [r for r in recordings if r.name not in self._kept]

    def _prepare(self, description: dict[str, Any], earlier: Earlier) -> dict[str, Outcome]:
        """Make the folder ready; return the outcomes that still hold."""
        folder = self._folder
        replayed = folder.description.exists()
        if (contents := folder.contents) and not replayed:
            raise ConfigError(
                f"{folder.path}: holds {contents[0]}, which no replay wrote; "
                "another folder would be right"
            )
        if replayed and earlier is Earlier.REFUSE:
            raise ConfigError(
                f"{folder.path}: holds an earlier replay; "
                "--resume goes on with it, --overwrite replaces it"
            )
        before: dict[str, Outcome] = {}
        if replayed and earlier is Earlier.RESUME:
            check_same(folder, description)
            before = read_journal(folder)
        try:
            if earlier is Earlier.OVERWRITE:
                folder.clear()
            folder.remove_partial()
            folder.remove_tables()
            folder.make()
            kept = self._still_holding(before)
            write_description(folder, description)
        except OSError as error:
            raise ConfigError(
                f"{error.filename or folder.path}: cannot be written: {error.strerror}"
            ) from error
        return kept

    def _still_holding(self, before: dict[str, Outcome]) -> dict[str, Outcome]:
        """Choose the outcomes of recordings that need not be replayed; remove the others' files."""
        kept = {}
        for recording in self._recordings:
            outcome = before.get(recording.name)
            if outcome and outcome.holds_for(recording) and self._folder.holds(outcome):
                kept[recording.name] = outcome
        stems = {outcome.stem for outcome in kept.values()}
        for outcome in before.values():
            if outcome.stem not in stems:
                self._folder.remove(outcome)
        return kept

    def run(self, work: Work, on_progress: Callable[[Progress], object]) -> Summary:
        """Replay what is to be replayed, and write the tables if that was everything.

        Args:
            work: does it; it may end early, and what it has not done is left for a resume.
            on_progress: called whenever there is news.

        Raises:
            StreamsedError: nothing can be replayed; what is done is kept for a resume.
        """
        began, folder, totals = time.monotonic(), self._folder, Totals()
        expected_s = {r.name: r.duration_s or 0.0 for r in self.waiting}
        left_s, processed_s, under_way_s = sum(expected_s.values()), 0.0, 0.0
        for outcome in self._kept.values():
            totals.add(outcome)
        kept = totals.done
        try:
            with ReplayJournal(folder, self._kept.values()) as journal:
                self._kept.clear()
                with closing(work(self.waiting)) as news:
                    for update in news:
                        latest = update if isinstance(update, Outcome) else None
                        match update:
                            case Outcome():
                                self._note(update, journal)
                                totals.add(update)
                                left_s -= expected_s.pop(update.name)
                                processed_s += update.duration_s or 0.0
                            case Processed():
                                under_way_s = update.seconds
                        progress = Progress(
                            done=totals.done,
                            recordings=len(self._recordings),
                            processed_s=processed_s + under_way_s,
                            left_s=max(0.0, left_s - under_way_s),
                            latest=latest,
                        )
                        on_progress(progress)
            if complete := totals.done == len(self._recordings):
                compile_tables(folder, read_in_order(folder, self._recordings))
        except OSError as error:
            raise ReplayError(
                f"{error.filename or folder.path}: cannot be written: {error.strerror}"
            ) from error
        finally:
            folder.remove_partial()
        return Summary(
            totals=totals,
            complete=complete,
            kept=kept,
            processed_s=processed_s,
            seconds=time.monotonic() - began,
        )

    def _note(self, outcome: Outcome, journal: ReplayJournal) -> None:
        if outcome.duration_s is None:
            self._folder.remove(outcome)
        journal.add(outcome)
