"""A group of recordings through one detector: the unit of work of a replay."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from streamsed.detect.detector import Detector
from streamsed.detect.step_result import StepResult
from streamsed.errors import SourceError
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.grouping import BATCH
from streamsed.replay.job import STEPS_AT_ONCE, Job, forget_engine
from streamsed.replay.outcome import Outcome
from streamsed.replay.recordings import Recording
from streamsed.replay.session import RecordingSession


def replay_group(job: Job, recordings: Sequence[Recording]) -> list[Outcome]:
    """Replay recordings in this process, as many at a time as one batch takes.

    Score files and messages lie in the job's folder when it returns. A recording that cannot be
    read is an outcome too.

    Raises:
        StreamsedError: nothing can be replayed: the bundle or the hardware.
        OSError: results cannot be written.
    """
    return list(replay_each(job, recordings, on_step=lambda _: None))


def replay_each(
    job: Job, recordings: Sequence[Recording], *, on_step: Callable[[float], object]
) -> Iterator[Outcome]:
    """Do as :func:`replay_group` does, and yield each outcome as soon as it is there.

    Args:
        job: what to run.
        recordings: the group.
        on_step: called after each step with the seconds of audio processed in the recordings that
            are under way.
    """
    group = _Group(job, recordings)
    try:
        yield from group.run(on_step)
    finally:
        group.discard()


class _Group:
    def __init__(self, job: Job, recordings: Sequence[Recording]) -> None:
        engine = job.engine()
        report = engine.report
        self._manifest = engine.manifest
        self._width = min(report.max_batch, BATCH if report.device == "cpu" else 2**31)
        self._detector: Detector = job.detector()
        self._disabled = job.disabled
        self._channel, self._gain_db = job.channel, job.gain_db
        self._folder = ReplayFolder(job.folder)
        self._waiting = deque(recordings)
        self._sessions: dict[str, RecordingSession] = {}

    def run(self, on_step: Callable[[float], object]) -> Iterator[Outcome]:
        """Replay everything."""
        rate = self._manifest.sample_rate
        while self._sessions or self._waiting:
            while self._waiting and len(self._sessions) < self._width:
                if (outcome := self._begin(self._waiting.popleft())) is not None:
                    yield outcome
            for session in self._sessions.values():
                self._feed(session)
            if (result := self._detector.step()) is not None:
                yield from self._write(result)
                under_way = (s.processed_samples for s in self._sessions.values())
                on_step(sum(under_way) / rate)

    def discard(self) -> None:
        """Give up what is under way."""
        if self._sessions:
            forget_engine()
        for session in self._sessions.values():
            session.discard()

    def _begin(self, recording: Recording) -> Outcome | None:
        """Open a recording; return the outcome if that is all that can be done with it."""
        if recording.fault is not None:
            return Outcome.of(recording, failure=recording.fault)
        try:
            session = RecordingSession(
                recording,
                self._manifest,
                self._folder,
                channel=self._channel,
                gain_db=self._gain_db,
            )
        except SourceError as error:
            return Outcome.of(recording, failure=str(error))
        self._detector.add(session.name)
        self._sessions[session.name] = session
        return None

    def _feed(self, session: RecordingSession) -> None:
        """Push what the next steps need."""
        detector, samples = self._detector, STEPS_AT_ONCE * self._manifest.chunk_samples
        while session.ended is None and detector.pending_samples(session.name) < samples:
            block = session.read()
            if block is not None:
                detector.push(session.name, block)
            elif session.ended is not None:
                session.bad_samples += detector.bad_samples(session.name)
                detector.end(session.name, session.ended)

    def _write(self, result: StepResult) -> Iterator[Outcome]:
        for transition in result.transitions:
            if transition.label not in self._disabled:
                self._sessions[transition.source].write_event(transition)
        for frames in result.filtered:
            self._sessions[frames.source].write_scores(frames)
        for name in result.bad:
            self._sessions[name].bad_steps += 1
        for name in result.ended:
            yield self._sessions[name].finish()
            del self._sessions[name]
