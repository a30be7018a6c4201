"""Detection: the one thread that runs the engine, over the queues of all sources."""

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
from streamsed.service.inbox import Inbox
from streamsed.service.levels import Levels
from streamsed.service.losses import Change
from streamsed.service.plan import Plan
from streamsed.service.reader import Ending
from streamsed.service.stream import Stream
from streamsed.service.tally import Tally
from streamsed.service.watchdog import Watchdog
from streamsed.sources.block import Block

Publish = Callable[[message_builders.MessageBuilder], None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """An event whose offset has not been published.

    Attributes:
        last: its latest transition.
        onset: as it was published.
    """

    last: Transition
    onset: Moment


class Detection:
    """Feeds the detector from the queues and hands its transitions to the publisher.

    It takes from a queue only what the next step needs, so that audio waits where waiting is
    bounded. It looks only at streams that have news, and with nothing to do it sleeps.
    """

    def __init__(
        self,
        plan: Plan,
        streams: Iterable[Stream],
        *,
        publish: Publish,
        inbox: Inbox[Stream],
        watchdog: Watchdog,
        tally: Tally,
        levels: Levels,
        clips: ClipRecorder | None = None,
    ) -> None:
        """Take everything that it works with; :meth:`run` does the work.

        Args:
            plan: its detector has no sources yet.
            streams: opened, their readers started or about to be.
            publish: takes builders of messages.
            inbox: names the streams that have a new block, or have ended.
            watchdog: told of every advance.
            tally: counts what is done here.
            levels: takes the reports of levels.
            clips: records audio around events; None for none.
        """
        self._streams = {stream.name: stream for stream in streams}
        self._follow(plan)
        self._publish_at_once = publish
        self._inbox = inbox
        self._watchdog = watchdog
        self._tally = tally
        self._levels = levels
        self._clips = clips
        self._discarding = False
        self._requests: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._more_to_come = False
        self._open: dict[tuple[str, int], OpenEvent] = {}
        self._speaking = threading.RLock()  # what is published and what is open go together
        self._interrupted = False

    def _follow(self, plan: Plan) -> None:
        manifest = plan.bundle.manifest
        self._plan = plan
        self._detector = plan.detector
        self._chunk_samples = manifest.chunk_samples
        self._frame_s = manifest.frame_s
        self._bundle = plan.bundle_name
        self._disabled = plan.config.disabled

    def between_steps(self, action: Callable[[], None]) -> Future[None]:
        """Have the detection thread do something when no step is under way.

        Returns:
            Done when that is; never, if detection ends before.
        """
        done: Future[None] = Future()
        self._requests.append((action, done))
        self._inbox.wake()
        return done

    def adopt(self, plan: Plan, *, more_to_come: bool) -> None:
        """Go on by another plan, between two steps; only what has to ends.

        Args:
            plan: its detector has no sources yet.
            more_to_come: whether :meth:`add` will be called, so that not all is over when the
                last source ends.
        """
        restarted = plan.config.disabled ^ self._disabled
        results = hand_over(self._detector, plan.detector, restarted=restarted)
        self._detector = plan.detector  # the old one knows its sources no more
        for result in results:  # by the old plan: its bundle, and the classes it publishes
            self._handle(result)
        self._follow(plan)
        if self._clips is not None:
            self._clips.follow(clip_extent(plan))
        self._levels.adopt(plan.bundle.manifest.classes, disabled=plan.config.disabled)
        self._tally.expect(plan.bundle.manifest.classes)
        self._more_to_come = more_to_come

    def add(self, streams: Iterable[Stream]) -> None:
        """Take further streams, between two steps."""
        self._streams |= {stream.name: stream for stream in streams}
        self._more_to_come = False

    def knows(self, stream: Stream) -> bool:
        """Whether a stream has not ended for good; any thread may ask."""
        return self._streams.get(stream.name) is stream

    def discard(self) -> None:
        """Give up the audio that still waits, and the readers that do not end."""
        self._discarding = True
        for stream in tuple(self._streams.values()):
            stream.abandon()

    def interrupt(self, reason: Reason = Reason.INTERRUPTED) -> None:
        """Close what is open, for an onset always gets its offset; publish nothing from then on.

        For when detection fails, hangs, or takes too long to end: any thread may call it, and
        whatever :meth:`run` still decides after that is dropped.

        Args:
            reason: of the offsets.
        """
        with self._speaking:
            try:
                for transition in [event.last for event in self._open.values()]:
                    position = self._streams[transition.source].position
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
            more: list[Stream] = []  # whose queues hold more than the last step needed
            idle = True
            while (self._streams or self._more_to_come) and not self._interrupted:
                arrived = self._inbox.take(wait=idle, timeout_s=self._watchdog.interval_s)
                self._tally.begin()
                self._see_to_requests()
                news = dict.fromkeys([*more, *arrived])
                more = [stream for stream in news if not self._feed(stream)]
                began = time.perf_counter()
                result = self._detector.step()
                idle = result is None
                if result is not None:
                    self._tally.steps.observe(time.perf_counter() - began)
                    self._handle(result)
                self._tally.end()
                self._watchdog.beat()
        except BaseException:
            self.interrupt()
            raise

    def _see_to_requests(self) -> None:
        while self._requests:
            action, done = self._requests.popleft()
            action()
            done.set_result(None)

    def _feed(self, stream: Stream) -> bool:
        """Push what the next step needs; return whether the queue was emptied by that."""
        if stream.name not in self._streams:
            return True
        ending = stream.ending  # looked at first: what was put before it is in the queue now
        while not stream.heard or self._detector.pending_samples(stream.name) < self._chunk_samples:
            block = None if ending and self._discarding else stream.queue.get(0)
            if block is None:
                break
            self._push(stream, block)
        else:
            self._note_losses(stream)
            return False
        if stream.heard:
            self._note_losses(stream)
            if ending is not None:
                self._detector.end(stream.name, ending.reason)
        elif ending is not None:
            self._conclude(stream, ending)
        return True

    def _push(self, stream: Stream, block: Block) -> None:
        if not stream.heard:
            self._detector.add(stream.name)
        if self._clips is not None:
            self._clips.hear(stream.name, block)
        changed = stream.take(block)
        self._detector.push(stream.name, block)
        if changed:
            self._say_state(stream)

    def _note_losses(self, stream: Stream) -> None:
        source = stream.source
        bad = self._detector.bad_samples(stream.name) + source.unusable_samples
        kinds = (
            (
                "overload",
                "cannot keep up: dropping the oldest audio",
                stream.overload,
                stream.queue.dropped_samples,
            ),
            ("loss", "audio is lost before it arrives", stream.lost, source.lost_samples),
            ("bad_samples", "audio holds values that are no samples", stream.bad, bad),
        )
        for name, what, burst, total in kinds:
            match burst.update(total, at_sample=stream.position):
                case Change.BEGUN:
                    flags = stream.device_flags if burst is stream.lost else {}
                    log.warning(
                        f"{name}_begun",
                        source=stream.name,
                        why=what,
                        samples=burst.in_burst,
                        **flags,
                    )
                    stream.message = what
                case Change.ENDED:
                    log.info(f"{name}_ended", source=stream.name, samples=burst.in_burst)
                    stream.message = f"over: {what} ({burst.in_burst} samples)"
                case None:
                    continue
            self._publish(message_builders.status(stream.condition()))

    def _handle(self, result: StepResult) -> None:
        for transition in result.transitions:
            if transition.label in self._disabled:
                continue
            self._tally.decide(transition)
            self._publish_event(transition)
        for report in result.levels:
            stream = self._streams[report.source]
            self._levels.note(report, stream.clock)
            if stream.note_level(report):
                self._report_level(stream)
                self._publish(message_builders.status(stream.condition()))
        for name in result.ended:
            stream = self._streams[name]
            assert stream.ending is not None
            self._conclude(stream, stream.ending)
        for scored in result.frames:
            if self._clips is not None:
                self._clips.advance(scored)
            self._tally.hear(scored.source, len(scored.scores) * self._frame_s)
            if (heard := self._streams.get(scored.source)) is not None and heard.heard:
                self._note_bad_steps(heard)

    def _note_bad_steps(self, stream: Stream) -> None:
        steps = self._detector.bad_steps(stream.name)
        if stream.bad_steps.update(steps, at_sample=stream.position) is Change.BEGUN:
            log.warning(
                "bad_scores_begun",
                source=stream.name,
                why="the model gives scores that are no numbers, and count as 0, or outside 0 to "
                "1, and are clipped",
            )

    def _publish(self, builder: message_builders.MessageBuilder) -> None:
        with self._speaking:
            if not self._interrupted:
                self._publish_at_once(builder)

    def _publish_event(self, transition: Transition) -> None:
        clock = self._streams[transition.source].clock
        key = transition.source, transition.number
        with self._speaking:
            before = self._open.pop(key, None)
            onset = before.onset if before else clock.moment(transition.onset_sample)
            if transition.kind is not Kind.OFFSET:
                self._open[key] = OpenEvent(transition, onset)
            builder = message_builders.event(
                transition,
                clock=clock,
                bundle=self._bundle,
                onset=onset,
                clip=self._record(transition, clock.event_id(transition.number), onset),
            )
            self._publish(self._tally.watched(builder))

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

    def _report_level(self, stream: Stream) -> None:
        if stream.level_remark is None:
            log.info("level_fits", source=stream.name)
        else:
            log.warning("level_odd", source=stream.name, why=stream.level_remark)

    def _conclude(self, stream: Stream, ending: Ending) -> None:
        """Say how a source ended, once all that came of its audio is said."""
        self._levels.forget(stream.name)
        if self._clips is not None:
            self._clips.forget(stream.name)
        if stream.note_last_level():
            self._report_level(stream)
        counts = stream.device_flags
        if stream.bad_steps.total:
            counts["bad_steps"] = stream.bad_steps.total
        if stream.end(ending):
            self._say_state(stream)
            if counts:
                log.warning("source_trouble_in_all", source=stream.name, **counts)
        if ending.final:
            del self._streams[stream.name]
        stream.go_on()

    def _say_state(self, stream: Stream) -> None:
        good = stream.state in {SourceState.RUNNING, SourceState.ENDED}
        level = log.info if good else log.warning
        why = {"message": stream.message} if stream.message else {}
        level(f"source_{stream.state}", source=stream.name, **why)
        self._publish(message_builders.status(stream.condition()))
