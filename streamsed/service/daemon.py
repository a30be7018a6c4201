"""Daemon: sources, detection and publisher put together, started, watched and stopped."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from streamsed import __version__
from streamsed.clips.recorder import ClipRecorder
from streamsed.config import Config
from streamsed.detect.events import Reason
from streamsed.errors import StreamsedError
from streamsed.log import configure as configure_log
from streamsed.publish import message_builders
from streamsed.publish.daemon_status import DaemonStatus
from streamsed.publish.messages import (
    DaemonMessage,
    DaemonState,
    Heartbeat,
    Moment,
    SourceState,
)
from streamsed.service.clips import clips_condition, start_recorder
from streamsed.service.detection import Detection
from streamsed.service.health import Health, liveness, readiness
from streamsed.service.inbox import Inbox
from streamsed.service.levels import Levels
from streamsed.service.metrics import registry
from streamsed.service.notify import Notifier
from streamsed.service.outlets import Outlets
from streamsed.service.plan import Plan
from streamsed.service.reload import Revision, apply, in_background, prepare
from streamsed.service.status import daemon_status, log_condition, source_statuses
from streamsed.service.stream import Stream
from streamsed.service.summary import summary
from streamsed.service.tally import Tally
from streamsed.service.wakeup import Wakeup
from streamsed.service.watchdog import Watchdog
from streamsed.sources.config import SourceConfig

_FIRST_AUDIO_S = 5.0  # a start waits so long for every source; then it is done without
_LOOK_S = 0.05  # how often it looks meanwhile
_DRAIN_S = 3.0  # for the audio that waits when the daemon is stopped
_GIVE_UP_S = 4.0  # after that, for every source to end without it
_HUNG_S = 3.0  # a step that has taken so long by then hangs
_CLIPS_S = 2.0  # for the clips of the last events to be written
_JOIN_S = 1.0  # after that, for the readers to close what they read

log = structlog.get_logger()


class Daemon:
    """Detects events in the sources of a plan and publishes them, until all end or it is stopped.

    Threads: a reader for each source, one for detection, one for the publisher, one for clips if
    there are any; the caller's waits.

    Attributes:
        streams: one for each source.
        publisher: bound, and started by :meth:`run`.
        responder: the same.
        tally: what detection counts of its work.
        levels: the latest level of each source.
        monitor: serves metrics and health; None if that is not wanted.
        hangs: whether a thread still computes after :meth:`run`, which the interpreter would not
            survive in good order: end the process by ``os._exit``.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        notifier: Notifier | None = None,
        reread: Callable[[], Config] | None = None,
    ) -> None:
        """Bind the sockets; sources are opened by :meth:`run`.

        Args:
            plan: what to run.
            notifier: told how it gets on; by default nobody is.
            reread: reads the configuration anew, for :meth:`reload`; raises StreamsedError.

        Raises:
            PublishError: an address cannot be bound.
            KeysError: the keys that clients are asked for cannot be used.
        """
        config, manifest = plan.config, plan.bundle.manifest
        self._plan = plan
        self._notifier = notifier or Notifier()
        self._reread = reread or (lambda: plan.config)
        self._began = time.monotonic()
        self._stop_reason: str | None = None
        self._failure: BaseException | None = None
        self._finished = False
        self.hangs = False
        self._ready = False
        self._reload_asked = False
        self._inbox: Inbox[Stream] = Inbox()
        self.streams = [self._stream(source) for source in config.sources]
        self.tally = Tally(label for label in manifest.classes if label not in config.disabled)
        self._outlets = Outlets(
            config,
            heartbeat=self._heartbeat,
            status=self.status,
            position=self._position,
            registry=registry(self.status, self.tally),
            alive=self._health,
            ready=self._readiness,
            wake=self._wake,
        )
        self.publisher, self.responder = self._outlets.publisher, self._outlets.responder
        self.monitor = self._outlets.monitor
        self.levels = Levels(
            classes=manifest.classes,
            disabled=config.disabled,
            every_s=config.publish.levels_every_s,
            publish=self.publisher.publish_level,
        )
        self._clips: ClipRecorder | None = None
        self._wakeup = Wakeup()  # last, for it has to be closed

    def _stream(self, source: SourceConfig) -> Stream:
        config = self._plan.config
        return Stream(
            source,
            sample_rate=self._plan.bundle.manifest.sample_rate,
            queue_s=config.queue_s,
            retry=config.retry,
            inbox=self._inbox,
        )

    def status(self) -> DaemonStatus:
        """Say how everything is; any thread may ask."""
        return daemon_status(
            trouble=self._health().trouble,
            tally=self.tally,
            sources=source_statuses(
                self.streams,
                self.levels,
                sample_rate=self._plan.bundle.manifest.sample_rate,
            ),
            bundle=self._plan.bundle_name,
            provider=self._plan.engine.report.provider,
            last_seq=self.publisher.last_seq,
            journal=self.publisher.sequencer.condition,
            clips=clips_condition(self._clips),
            log=log_condition(),
            uptime_s=time.monotonic() - self._began,
            asked=datetime.now(UTC),
        )

    def stop(self, reason: str) -> None:
        """Ask it to stop gracefully; returns at once. May be called from a signal handler.

        Args:
            reason: for the log and the daemon's last messages.
        """
        self._stop_reason = reason  # no lock here: the thread interrupted may hold any
        self._wake()

    def reload(self) -> None:
        """Ask it to read its configuration anew; returns at once. For signal handlers too."""
        self._reload_asked = True
        self._wake()

    def run(self) -> int:
        """Run until every source has ended or :meth:`stop` is called.

        Returns:
            The exit code: 0, or 1 if detection or publication failed, or if a source failed and
            nothing is left to do.

        Raises:
            SourceError: a source that is required cannot be opened; nothing was started.
        """
        try:
            self._outlets.start()
            self._wait_for_subscriber()
            for stream in self.streams:  # last, because the time of a paced recording runs now
                stream.open(cancelled=lambda: self._ending)
            self._outlets.announce()
            return self._run()
        finally:
            deadline = time.monotonic() + _JOIN_S
            for stream in self.streams:
                stream.stop()
            for stream in self.streams:
                stream.join(timeout_s=max(0.0, deadline - time.monotonic()))
            if self._clips is not None:
                self._clips.close(_CLIPS_S)
            self._outlets.close()
            self._wakeup.close()

    def _run(self) -> int:
        self._say(DaemonState.STARTED)
        for stream in self.streams:
            self._publish(message_builders.status(stream.condition()))
        self._log_start()
        self._clips = start_recorder(self._plan)
        detection = Detection(
            self._plan,
            self.streams,
            publish=self.publisher.publish,
            inbox=self._inbox,
            watchdog=Watchdog.of_environment(self._feed_watchdog),
            tally=self.tally,
            levels=self.levels,
            clips=self._clips,
        )
        worker = threading.Thread(
            target=self._detect, args=(detection,), name="detection", daemon=True
        )
        worker.start()
        for stream in self.streams:
            stream.start()
        self._await_first_audio()
        while not self._ending:
            if self._reload_asked:
                self._reload(detection)
            self._wakeup.sleep_until(lambda: self._ending or self._reload_asked)
        self._notifier.stopping(self._stop_reason or "there is nothing more to do")
        if not self._over:
            log.info("stopping", reason=self._stop_reason)
            self._say(DaemonState.STOPPING, self._stop_reason)
        for stream in self.streams:
            stream.stop()
        self._wakeup.sleep_until(lambda: self._over, timeout_s=_DRAIN_S)
        hung = False
        if not self._over:
            detection.discard()
            self._wakeup.sleep_until(
                lambda: self._over or self._hangs, timeout_s=_GIVE_UP_S, look_s=_LOOK_S
            )
        worker.join(0.0 if not self._over else _HUNG_S)
        if worker.is_alive():
            hung = self._hangs
            with contextlib.suppress(StreamsedError):  # the publisher may be what failed
                detection.interrupt(Reason.INTERRUPTED if hung else Reason.SHUTDOWN)
            if not hung:
                worker.join(_HUNG_S)  # a step that is under way ends
            if worker.is_alive():
                given_up = self._failure
                self._plan.engine.abort()
                worker.join(_JOIN_S)
                self._failure = given_up  # what comes of that is no failure of its own
            self.hangs = worker.is_alive()
        return self._conclude(hung=hung)

    @property
    def _hangs(self) -> bool:
        began = self.tally.round_began
        return began is not None and time.monotonic() - began > _HUNG_S

    def _conclude(self, *, hung: bool) -> int:
        failure = self._failure or self.publisher.failure
        lost = [stream.name for stream in self.streams if stream.state is SourceState.LOST]
        if hung:
            message = "detection hangs; open events were interrupted"
        elif failure is not None:
            message = f"failed: {failure!r}"
        elif self._stop_reason is not None:
            message = self._stop_reason
        elif lost:
            message = f"every source has ended; lost: {', '.join(lost)}"
        else:
            message = "every source has ended"
        if failed := hung or failure is not None:
            log.error("stopped", reason=message, exc_info=failure)
        else:
            log.info("stopped", reason=message)
        self._say(DaemonState.STOPPED, message)
        return 1 if failed or (lost and self._stop_reason is None) else 0

    @property
    def _over(self) -> bool:
        return self._finished or self.publisher.failure is not None

    @property
    def _ending(self) -> bool:
        return self._over or self._stop_reason is not None

    def _await_first_audio(self) -> None:
        """Be ready once every source has been heard, or is known to be missing."""
        heard = self._wakeup.sleep_until(
            lambda: self._ending or not self._unheard(), timeout_s=_FIRST_AUDIO_S, look_s=_LOOK_S
        )
        if not heard:
            log.warning("no_audio_yet", sources=self._unheard())
        if not self._ending:
            self._notifier.ready(self._status_line())
            self._ready = True

    def _unheard(self) -> list[str]:
        return [stream.name for stream in self.streams if stream.state is SourceState.CONNECTING]

    def _reload(self, detection: Detection) -> None:
        self._reload_asked = False
        log.info("reloading", config=self._plan.config.origin)
        self._notifier.reloading()
        prepared = in_background(self._prepare_reload, then=self._wake)
        self._wakeup.sleep_until(lambda: self._ending or prepared.done())
        if self._ending:
            prepared.add_done_callback(_drop)
            return
        try:
            revision = prepared.result()
        except Exception as error:  # whatever it is, what runs goes on
            message = str(error) if isinstance(error, StreamsedError) else f"failed: {error!r}"
            log.error("reload_refused", reason=message)
            self._say(DaemonState.RELOAD_REFUSED, message)
        else:
            self._apply(revision, detection)
        if not self._ending:
            self._notifier.ready(self._status_line())

    def _prepare_reload(self) -> Revision:
        config = self._reread()
        return prepare(config, plan=self._plan, streams=self.streams, build=self._stream)

    def _apply(self, revision: Revision, detection: Detection) -> None:
        applied = apply(revision, detection, wakeup=self._wakeup, ending=lambda: self._ending)
        if (wanted := revision.plan.config.log) != self._plan.config.log:
            configure_log(level=wanted.level, form=wanted.format)
        self._plan = revision.plan
        if not applied:
            return
        self.streams = list(revision.streams)
        for stream in revision.coming:
            self._publish(message_builders.status(stream.condition()))
            log.info("source_configured", source=stream.name, **_described(stream))
            stream.start()
        log.info("reloaded", changes=revision.changes, needs_restart=revision.needs_restart)
        self._say(DaemonState.RELOADED, revision.line)

    def _detect(self, detection: Detection) -> None:
        try:
            detection.run()
        except BaseException as error:
            self._failure = error
        finally:
            self._finished = True
            self._wake()

    def _wait_for_subscriber(self) -> None:
        patience_s = self._plan.config.publish.wait_for_subscriber_s
        if not patience_s:
            return
        endpoints = list(self.publisher.endpoints)
        log.info("waiting_for_subscriber", on=endpoints, at_most_s=patience_s)
        self._notifier.waiting("a subscriber", at_most_s=patience_s)
        self._wakeup.sleep_until(
            lambda: self.publisher.subscribed or self._ending,
            timeout_s=patience_s,
        )
        if not self.publisher.subscribed:
            log.warning("no_subscriber_came", patience_s=patience_s)

    def _wake(self) -> None:
        self._wakeup.wake()

    def _say(self, state: DaemonState, message: str | None = None) -> None:
        def complete(seq: int, published: datetime) -> DaemonMessage:
            return DaemonMessage(
                seq=seq,
                state=state,
                message=message,
                version=__version__,
                provider=self._plan.engine.report.provider,
                bundle=self._plan.bundle_name,
                published=published,
            )

        self._publish(complete)

    def _publish(self, builder: message_builders.MessageBuilder) -> None:
        with contextlib.suppress(StreamsedError):  # that the publisher failed is seen elsewhere
            self.publisher.publish(builder)

    def _health(self) -> Health:
        health = liveness(
            detecting_since=self.tally.round_began,
            recording_since=self.publisher.outbox.busy_since,
            beat_at=self.publisher.beat_at,
            beat_s=self._plan.config.publish.heartbeat_s,
            now=time.monotonic(),
        )
        return replace(health, journal=self.publisher.sequencer.condition.message)

    def _feed_watchdog(self) -> None:
        if self._health().trouble is None:
            self._notifier.alive()

    def _readiness(self) -> Health:
        return readiness(
            started=self._ready,
            ending=self._ending,
            states=[stream.state for stream in self.streams],
        )

    def _status_line(self) -> str:
        return summary(
            [stream.condition() for stream in self.streams],
            sample_rate=self._plan.bundle.manifest.sample_rate,
            real_time_factor=self.tally.real_time_factor(),
        )

    def _heartbeat(self, last_seq: int, published: datetime) -> Heartbeat:
        if self._ready and not self._ending:
            self._notifier.status(self._status_line())
        return Heartbeat(
            last_seq=last_seq,
            interval_s=self._plan.config.publish.heartbeat_s,
            uptime_s=round(time.monotonic() - self._began, 3),
            version=__version__,
            provider=self._plan.engine.report.provider,
            bundle=self._plan.bundle_name,
            sources=tuple(stream.condition() for stream in self.streams),
            journal=self.publisher.sequencer.condition,
            log=log_condition(),
            requests_answered=bool(self.responder.endpoints),
            published=published,
        )

    def _position(self, source: str) -> Moment | None:
        positions = (s.condition().position for s in self.streams if s.name == source)
        return next(positions, None)

    def _log_start(self) -> None:
        plan = self._plan
        log.info("bundle_loaded", runs=plan.bundle_line)
        log.info("provider_chosen", runs=plan.provider_line)
        for stream in self.streams:
            log.info("source_configured", source=stream.name, **_described(stream))
        latencies = [plan.detector.latency(label).total_s for label in plan.bundle.manifest.classes]
        log.info("onset_latency", least_s=round(min(latencies), 3), most_s=round(max(latencies), 3))
        log.info("started", version=__version__, config=plan.config.origin)


def _drop(prepared: Future[Revision]) -> None:
    if prepared.exception() is None:
        prepared.result().drop()


def _described(stream: Stream) -> dict[str, object]:
    return stream.config.model_dump(exclude={"name"}, mode="json", exclude_none=True)
