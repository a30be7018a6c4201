"""Detection loop: the one thread that runs the engine, over the queues of all sources."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import structlog

from streamsed.clips.recorder import ClipRecorder
from streamsed.detect.events import Kind, Reason, Transition
from streamsed.detect.handover import hand_over
from streamsed.detect.step_result import StepResult
from streamsed.publish import message_builders
from streamsed.publish.messages import Moment, SourceState
from streamsed.service.clips import clip_extent
from streamsed.service.counters import Counters
from streamsed.service.inbox import Inbox
from streamsed.service.levels import Levels
from streamsed.service.losses import BurstChange
from streamsed.service.pipeline import Pipeline
from streamsed.service.reader import Ending
from streamsed.service.session import SourceSession
from streamsed.service.watchdog import Watchdog
from streamsed.sources.block import Block

Publish = Callable[[message_builders.MessageBuilder], None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """An event whose offset has not been published.

    Attributes:
        last: its latest transition.
        onset: as it was published.
    """

    last: Transition
    onset: Moment


class DetectionLoop:
    """Feeds the detector from the queues and hands its transitions to the publisher.

    It takes from a queue only what the next step needs, so that audio waits where waiting is
    bounded. It visits only sessions that have something new, and with nothing to do it sleeps.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sessions: Iterable[SourceSession],
        *,
        publish: Publish,
        inbox: Inbox[SourceSession],
        watchdog: Watchdog,
        counters: Counters,
        levels: Levels,
        clips: ClipRecorder | None = None,
    ) -> None:
        """Take everything that it works with; :meth:`run` does the work.

        Args:
            pipeline: its detector has no sources yet.
            sessions: opened, their readers started or about to be.
            publish: takes builders of messages.
            inbox: names the sessions that have a new block, or have ended.
            watchdog: reset at every advance.
            counters: counts what is done here.
            levels: takes the levels that the detector reports.
            clips: records audio around events; None for none.
        """
        self._sessions = {session.name: session for session in sessions}
        self._follow(pipeline)
        self._publish_at_once = publish
        self._inbox = inbox
        self._watchdog = watchdog
        self._counters = counters
        self._levels = levels
        self._clips = clips
        self._discarding = False
        self._requests: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._more_to_come = False
        self._open: dict[tuple[str, int], PublishedEvent] = {}
        self._publishing = threading.RLock()  # what is published and what is open go together
        self._interrupted = False

    def _follow(self, pipeline: Pipeline) -> None:
        manifest = pipeline.bundle.manifest
        self._pipeline = pipeline
        self._detector = pipeline.detector
        self._chunk_samples = manifest.chunk_samples
        self._frame_s = manifest.frame_s
        self._bundle = pipeline.bundle_name
        self._disabled = pipeline.config.disabled

    def between_steps(self, action: Callable[[], None]) -> Future[None]:
        """Have the detection thread do something when no step is under way.

        Returns:
            Done when that is; never, if detection ends before.
        """
        done: Future[None] = Future()
        self._requests.append((action, done))
        self._inbox.wake()
        return done

    def adopt(self, pipeline: Pipeline, *, more_to_come: bool) -> None:
        """Go on by another pipeline, between two steps; only what has to ends.

        Args:
            pipeline: its detector has no sources yet.
            more_to_come: whether :meth:`add` will be called, so that not all is over when the
                last source ends.
        """
        restarted = pipeline.config.disabled ^ self._disabled
        results = hand_over(self._detector, pipeline.detector, restarted=restarted)
        self._detector = pipeline.detector  # the old one has no sources any more
        for result in results:  # by the old pipeline: its bundle, and the classes it publishes
            self._handle(result)
        self._follow(pipeline)
        if self._clips is not None:
            self._clips.follow(clip_extent(pipeline))
        self._levels.adopt(pipeline.bundle.manifest.classes, disabled=pipeline.config.disabled)
        self._counters.add_classes(pipeline.bundle.manifest.classes)
        self._more_to_come = more_to_come

    def add(self, sessions: Iterable[SourceSession]) -> None:
        """Take further sessions, between two steps."""
        self._sessions |= {session.name: session for session in sessions}
        self._more_to_come = False

    def has(self, session: SourceSession) -> bool:
        """Whether a session has not ended for good; any thread may call it."""
        return self._sessions.get(session.name) is session

    def discard(self) -> None:
        """Give up the audio that still waits, and the readers that do not end."""
        self._discarding = True
        for session in tuple(self._sessions.values()):
            session.abandon()

    def interrupt(self, reason: Reason = Reason.INTERRUPTED) -> None:
        """Close what is open, for an onset always gets its offset; publish nothing from then on.

        For when detection fails, hangs, or takes too long to end: any thread may call it, and
        whatever :meth:`run` still decides after that is dropped.

        Args:
            reason: of the offsets.
        """
        with self._publishing:
            try:
                for transition in [event.last for event in self._open.values()]:
                    position = self._sessions[transition.source].position
                    offset = replace(
                        transition,
                        kind=Kind.OFFSET,
                        offset_sample=max(position, transition.onset_sample),
                        reason=reason,
                        decided_sample=position,
                    )
                    self._publish_event(offset)
            finally:
                self._interrupted = True

    def run(self) -> None:
        """Work until every source has ended and every event is closed."""
        try:
            more: list[SourceSession] = []  # whose queues hold more than the last step needed
            idle = True
            while (self._sessions or self._more_to_come) and not self._interrupted:
                arrived = self._inbox.take(wait=idle, timeout_s=self._watchdog.interval_s)
                self._counters.begin()
                self._run_requests()
                news = dict.fromkeys([*more, *arrived])
                more = [session for session in news if not self._feed(session)]
                began = time.perf_counter()
                result = self._detector.step()
                idle = result is None
                if result is not None:
                    self._counters.steps.observe(time.perf_counter() - began)
                    self._handle(result)
                self._counters.end()
                self._watchdog.beat()
        except BaseException:
            self.interrupt()
            raise

    def _run_requests(self) -> None:
        while self._requests:
            action, done = self._requests.popleft()
            action()
            done.set_result(None)

    def _feed(self, session: SourceSession) -> bool:
        """Push what the next step needs; return whether the queue was emptied by that."""
        if session.name not in self._sessions:
            return True
        ending = session.ending  # looked at first: what was put before it is in the queue now
        while (
            not session.has_audio
            or self._detector.pending_samples(session.name) < self._chunk_samples
        ):
            block = None if ending and self._discarding else session.queue.get(0)
            if block is None:
                break
            self._push(session, block)
        else:
            self._note_losses(session)
            return False
        if session.has_audio:
            self._note_losses(session)
            if ending is not None:
                self._detector.end(session.name, ending.reason)
        elif ending is not None:
            self._conclude(session, ending)
        return True

    def _push(self, session: SourceSession, block: Block) -> None:
        if not session.has_audio:
            self._detector.add(session.name)
        if self._clips is not None:
            self._clips.add(session.name, block)
        changed = session.take(block)
        self._detector.push(session.name, block)
        if changed:
            self._publish_state(session)

    def _note_losses(self, session: SourceSession) -> None:
        source = session.source
        bad = self._detector.bad_samples(session.name) + source.unusable_samples
        kinds = (
            (
                "overload",
                "cannot keep up: dropping the oldest audio",
                session.overload,
                session.queue.dropped_samples,
            ),
            ("loss", "audio is lost before it arrives", session.lost, source.lost_samples),
            ("bad_samples", "audio holds values that are no samples", session.bad, bad),
        )
        for name, what, burst, total in kinds:
            match burst.update(total, at_sample=session.position):
                case BurstChange.BEGUN:
                    flags = session.device_flags if burst is session.lost else {}
                    log.warning(
                        f"{name}_begun",
                        source=session.name,
                        why=what,
                        samples=burst.in_burst,
                        **flags,
                    )
                    session.message = what
                case BurstChange.ENDED:
                    log.info(f"{name}_ended", source=session.name, samples=burst.in_burst)
                    session.message = f"over: {what} ({burst.in_burst} samples)"
                case None:
                    continue
            self._publish(message_builders.status(session.condition()))

    def _handle(self, result: StepResult) -> None:
        for transition in result.transitions:
            if transition.label in self._disabled:
                continue
            self._counters.count_event(transition)
            self._publish_event(transition)
        for report in result.levels:
            session = self._sessions[report.source]
            self._levels.note(report, session.clock)
            if session.note_level(report):
                self._report_level(session)
                self._publish(message_builders.status(session.condition()))
        for name in result.ended:
            session = self._sessions[name]
            assert session.ending is not None
            self._conclude(session, session.ending)
        for scored in result.frames:
            if self._clips is not None:
                self._clips.advance(scored)
            self._counters.count_audio(scored.source, len(scored.scores) * self._frame_s)
            of_source = self._sessions.get(scored.source)
            if of_source is not None and of_source.has_audio:
                self._note_bad_steps(of_source)

    def _note_bad_steps(self, session: SourceSession) -> None:
        steps = self._detector.bad_steps(session.name)
        if session.bad_steps.update(steps, at_sample=session.position) is BurstChange.BEGUN:
            log.warning(
                "bad_scores_begun",
                source=session.name,
                why="the model gives scores that are no numbers, and count as 0, or outside 0 to "
                "1, and are clipped",
            )

    def _publish(self, builder: message_builders.MessageBuilder) -> None:
        with self._publishing:
            if not self._interrupted:
                self._publish_at_once(builder)

    def _publish_event(self, transition: Transition) -> None:
        clock = self._sessions[transition.source].clock
        key = transition.source, transition.number
        with self._publishing:
            before = self._open.pop(key, None)
            onset = before.onset if before else clock.moment(transition.onset_sample)
            if transition.kind is not Kind.OFFSET:
                self._open[key] = PublishedEvent(transition, onset)
            builder = message_builders.event(
                transition,
                clock=clock,
                bundle=self._bundle,
                onset=onset,
                clip=self._record(transition, clock.event_id(transition.number), onset),
            )
            self._publish(self._counters.with_latency(builder))

    def _record(self, transition: Transition, event_id: UUID, onset: Moment) -> Path | None:
        """Begin or end the event's clip; return where an ended one lies."""
        if self._clips is None:
            return None
        if transition.kind is Kind.ONSET:
            self._clips.begin(
                transition.source,
                event_id,
                label=transition.label,
                onset_sample=transition.onset_sample,
                utc=onset.utc,
            )
        if transition.offset_sample is None:
            return None
        return self._clips.end(transition.source, event_id, offset_sample=transition.offset_sample)

    def _report_level(self, session: SourceSession) -> None:
        if session.level_remark is None:
            log.info("level_fits", source=session.name)
        else:
            log.warning("level_odd", source=session.name, why=session.level_remark)

    def _conclude(self, session: SourceSession, ending: Ending) -> None:
        """Publish how a source ended, once the results of all its audio are published."""
        self._levels.forget(session.name)
        if self._clips is not None:
            self._clips.forget(session.name)
        if session.note_last_level():
            self._report_level(session)
        counts = session.device_flags
        if session.bad_steps.total:
            counts["bad_steps"] = session.bad_steps.total
        if session.end(ending):
            self._publish_state(session)
            if counts:
                log.warning("source_trouble_in_all", source=session.name, **counts)
        if ending.final:
            del self._sessions[session.name]
        session.go_on()

    def _publish_state(self, session: SourceSession) -> None:
        good = session.state in {SourceState.RUNNING, SourceState.ENDED}
        level = log.info if good else log.warning
        why = {"message": session.message} if session.message else {}
        level(f"source_{session.state}", source=session.name, **why)
        self._publish(message_builders.status(session.condition()))
