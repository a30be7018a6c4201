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
    Level,
    Moment,
    SourceState,
)
from streamsed.service.clips import clips_condition, start_recorder
from streamsed.service.counters import Counters
from streamsed.service.detection import DetectionLoop
from streamsed.service.health import Health, liveness, readiness
from streamsed.service.inbox import Inbox
from streamsed.service.levels import Levels
from streamsed.service.metrics import registry
from streamsed.service.notify import Notifier
from streamsed.service.pipeline import Pipeline
from streamsed.service.reload import Revision, apply, in_background, prepare
from streamsed.service.servers import Servers
from streamsed.service.session import SourceSession
from streamsed.service.sinks import Sinks
from streamsed.service.status import daemon_status, log_condition, source_statuses
from streamsed.service.summary import summary
from streamsed.service.wakeup import Wakeup
from streamsed.service.watchdog import Watchdog
from streamsed.sinks.context import SinkContext
from streamsed.sources.entry import SourceEntry

_FIRST_AUDIO_S = 5.0  # a start waits so long for every source; then it is done without
_LOOK_S = 0.05  # how often it checks meanwhile
_DRAIN_S = 3.0  # for the audio that waits when the daemon is stopped
_GIVE_UP_S = 4.0  # after that, for every source to end without it
_HUNG_S = 3.0  # a step that has taken so long by then hangs
_CLIPS_S = 2.0  # for the clips of the last events to be written
_JOIN_S = 1.0  # after that, for the readers to close what they read

log = structlog.get_logger()


class Daemon:
    """Detects events in the configured sources and publishes them, until all end or it is stopped.

    Threads: a reader for each source, one for detection, one for the publisher, one for clips if
    there are any; the caller's waits.

    Attributes:
        sessions: one for each source.
        publisher: bound, and started by :meth:`run`.
        responder: the same.
        counters: what detection counts of its work.
        levels: the latest level of each source.
        monitor: serves metrics and health; None if that is not wanted.
        page: serves browsers; None if that is not wanted.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        notifier: Notifier | None = None,
        reread: Callable[[], Config] | None = None,
    ) -> None:
        """Bind the sockets; sources are opened by :meth:`run`.

        Args:
            pipeline: what to run.
            notifier: gets the state of the daemon, for systemd; by default it is not sent.
            reread: reads the configuration anew, for :meth:`reload`; raises StreamsedError.

        Raises:
            PublishError: an address cannot be bound.
            KeysError: the configured keys cannot be used.
        """
        config, manifest = pipeline.config, pipeline.bundle.manifest
        self._pipeline = pipeline
        self._notifier = notifier or Notifier()
        self._reread = reread or (lambda: pipeline.config)
        self._began = time.monotonic()
        self._stop_reason: str | None = None
        self._failure: BaseException | None = None
        self._finished = False
        self._detection_hangs = False
        self._preparing: Future[Revision] | None = None  # the latest reload
        self._ready = False
        self._reload_asked = False
        self._inbox: Inbox[SourceSession] = Inbox()
        self.sessions = [self._session(source) for source in config.sources]
        self.counters = Counters(
            label for label in manifest.classes if label not in config.disabled
        )
        self._servers = Servers(
            config,
            heartbeat=self._heartbeat,
            status=self.status,
            position=self._position,
            registry=registry(self.status, self.counters),
            alive=self._health,
            ready=self._readiness,
            recorded=self._wake_sinks,
            wake=self._wake,
            thresholds=self._thresholds,
        )
        self.publisher, self.responder = self._servers.publisher, self._servers.responder
        self.monitor = self._servers.monitor
        self.page = self._servers.page
        self.levels = Levels(
            classes=manifest.classes,
            disabled=config.disabled,
            every_s=config.publish.levels_every_s,
            publish=self.publisher.publish_level,
        )
        self._sinks = Sinks(
            config.sinks,
            SinkContext(
                sequencer=self.publisher.sequencer,
                folder=config.journal.path.absolute() if config.journal.enabled else None,
                sources=lambda: tuple(session.name for session in self.sessions),
                classes=self._published_classes,
                level=self._level,
            ),
        )
        self._clips: ClipRecorder | None = None
        self._wakeup = Wakeup()  # last, for it has to be closed

    def _session(self, source: SourceEntry) -> SourceSession:
        config = self._pipeline.config
        return SourceSession(
            source,
            sample_rate=self._pipeline.bundle.manifest.sample_rate,
            queue_s=config.queue_s,
            retry=config.retry,
            inbox=self._inbox,
        )

    def status(self) -> DaemonStatus:
        """Return the status of daemon and sources; any thread may call it."""
        return daemon_status(
            trouble=self._health().trouble,
            counters=self.counters,
            sources=source_statuses(
                self.sessions,
                self.levels,
                sample_rate=self._pipeline.bundle.manifest.sample_rate,
            ),
            bundle=self._pipeline.bundle_name,
            provider=self._pipeline.engine.report.provider,
            last_seq=self.publisher.last_seq,
            journal=self.publisher.sequencer.condition,
            clips=clips_condition(self._clips),
            log=log_condition(),
            sinks=self._sinks.conditions(),
            uptime_s=time.monotonic() - self._began,
            asked=datetime.now(UTC),
        )

    def _thresholds(self) -> dict[str, float]:
        pipeline = self._pipeline  # replaced as a whole by a reload
        entries = pipeline.config.postprocessing(pipeline.bundle.manifest)
        return {label: entry.enter for label, entry in entries.items()}

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
            self._servers.start()
            self._sinks.start()
            self._wait_for_subscriber()
            for session in self.sessions:  # last, because the time of a paced recording runs now
                session.open(cancelled=lambda: self._ending)
            self._servers.announce()
            return self._run()
        finally:
            deadline = time.monotonic() + _JOIN_S
            for session in self.sessions:
                session.stop()
            for session in self.sessions:
                session.join(timeout_s=max(0.0, deadline - time.monotonic()))
            if self._clips is not None:
                self._clips.close(_CLIPS_S)
            self._servers.close()  # what comes last is recorded by then
            self._sinks.close()
            self._wakeup.close()

    def _run(self) -> int:
        self._publish_state(DaemonState.STARTED)
        for session in self.sessions:
            self._publish(message_builders.status(session.condition()))
        self._log_start()
        self._clips = start_recorder(self._pipeline)
        detection = DetectionLoop(
            self._pipeline,
            self.sessions,
            publish=self.publisher.publish,
            inbox=self._inbox,
            watchdog=Watchdog.of_environment(self._feed_watchdog),
            counters=self.counters,
            levels=self.levels,
            clips=self._clips,
        )
        worker = threading.Thread(
            target=self._detect, args=(detection,), name="detection", daemon=True
        )
        worker.start()
        for session in self.sessions:
            session.start()
        self._await_first_audio()
        while not self._ending:
            if self._reload_asked:
                self._reload(detection)
            self._wakeup.sleep_until(lambda: self._ending or self._reload_asked)
        self._notifier.stopping(self._stop_reason or "there is nothing more to do")
        if not self._over:
            log.info("stopping", reason=self._stop_reason)
            self._publish_state(DaemonState.STOPPING, self._stop_reason)
        for session in self.sessions:
            session.stop()
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
                self._pipeline.engine.abort()
                worker.join(_JOIN_S)
                self._failure = given_up  # what comes of that is no failure of its own
            self._detection_hangs = worker.is_alive()
        return self._conclude(hung=hung)

    @property
    def hangs(self) -> bool:
        """Whether a thread still computes after :meth:`run`.

        The interpreter would not survive it in good order: end the process by ``os._exit``.
        """
        loads = self._preparing is not None and not self._preparing.done()
        return self._detection_hangs or loads

    @property
    def _hangs(self) -> bool:
        began = self.counters.round_began
        return began is not None and time.monotonic() - began > _HUNG_S

    def _conclude(self, *, hung: bool) -> int:
        failure = self._failure or self.publisher.failure
        lost = [session.name for session in self.sessions if session.state is SourceState.LOST]
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
        self._publish_state(DaemonState.STOPPED, message)
        return 1 if failed or (lost and self._stop_reason is None) else 0

    @property
    def _over(self) -> bool:
        return self._finished or self.publisher.failure is not None

    @property
    def _ending(self) -> bool:
        return self._over or self._stop_reason is not None

    def _await_first_audio(self) -> None:
        """Report readiness once every source has delivered audio, or is known to be missing."""
        complete = self._wakeup.sleep_until(
            lambda: self._ending or not self._without_audio(),
            timeout_s=_FIRST_AUDIO_S,
            look_s=_LOOK_S,
        )
        if not complete:
            log.warning("no_audio_yet", sources=self._without_audio())
        if not self._ending:
            self._notifier.ready(self._status_line())
            self._ready = True

    def _without_audio(self) -> list[str]:
        return [
            session.name for session in self.sessions if session.state is SourceState.CONNECTING
        ]

    def _reload(self, detection: DetectionLoop) -> None:
        self._reload_asked = False
        log.info("reloading", config=self._pipeline.config.origin)
        self._notifier.reloading()
        prepared = self._preparing = in_background(self._prepare_reload, then=self._wake)
        self._wakeup.sleep_until(lambda: self._ending or prepared.done())
        if self._ending:
            prepared.add_done_callback(_drop)
            return
        try:
            revision = prepared.result()
        except Exception as error:  # whatever it is, what runs goes on
            message = str(error) if isinstance(error, StreamsedError) else f"failed: {error!r}"
            log.error("reload_refused", reason=message)
            self._publish_state(DaemonState.RELOAD_REFUSED, message)
        else:
            self._apply(revision, detection)
        if not self._ending:
            self._notifier.ready(self._status_line())

    def _prepare_reload(self) -> Revision:
        config = self._reread()
        return prepare(config, pipeline=self._pipeline, sessions=self.sessions, build=self._session)

    def _apply(self, revision: Revision, detection: DetectionLoop) -> None:
        applied = apply(revision, detection, wakeup=self._wakeup, ending=lambda: self._ending)
        if (wanted := revision.pipeline.config.log) != self._pipeline.config.log:
            configure_log(level=wanted.level, form=wanted.format)
        self._pipeline = revision.pipeline
        if not applied:
            return
        self.sessions = list(revision.sessions)
        for session in revision.coming:
            self._publish(message_builders.status(session.condition()))
            log.info("source_configured", source=session.name, **_described(session))
            session.start()
        log.info("reloaded", changes=revision.changes, needs_restart=revision.needs_restart)
        self._publish_state(DaemonState.RELOADED, revision.line)

    def _detect(self, detection: DetectionLoop) -> None:
        try:
            detection.run()
        except BaseException as error:
            self._failure = error
        finally:
            self._finished = True
            self._wake()

    def _wait_for_subscriber(self) -> None:
        patience_s = self._pipeline.config.publish.wait_for_subscriber_s
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

    def _publish_state(self, state: DaemonState, message: str | None = None) -> None:
        def complete(seq: int, published: datetime) -> DaemonMessage:
            return DaemonMessage(
                seq=seq,
                state=state,
                message=message,
                version=__version__,
                provider=self._pipeline.engine.report.provider,
                bundle=self._pipeline.bundle_name,
                published=published,
            )

        self._publish(complete)

    def _publish(self, builder: message_builders.MessageBuilder) -> None:
        with contextlib.suppress(StreamsedError):  # that the publisher failed is seen elsewhere
            self.publisher.publish(builder)

    def _health(self) -> Health:
        health = liveness(
            detecting_since=self.counters.round_began,
            recording_since=self.publisher.outbox.busy_since,
            beat_at=self.publisher.beat_at,
            beat_s=self._pipeline.config.publish.heartbeat_s,
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
            states=[session.state for session in self.sessions],
        )

    def _status_line(self) -> str:
        return summary(
            [session.condition() for session in self.sessions],
            sample_rate=self._pipeline.bundle.manifest.sample_rate,
            real_time_factor=self.counters.real_time_factor(),
        )

    def _heartbeat(self, last_seq: int, published: datetime) -> Heartbeat:
        if self._ready and not self._ending:
            self._notifier.status(self._status_line())
        return Heartbeat(
            last_seq=last_seq,
            interval_s=self._pipeline.config.publish.heartbeat_s,
            uptime_s=round(time.monotonic() - self._began, 3),
            version=__version__,
            provider=self._pipeline.engine.report.provider,
            bundle=self._pipeline.bundle_name,
            sources=tuple(session.condition() for session in self.sessions),
            journal=self.publisher.sequencer.condition,
            log=log_condition(),
            requests_answered=bool(self.responder.endpoints),
            published=published,
        )

    def _position(self, source: str) -> Moment | None:
        positions = (s.condition().position for s in self.sessions if s.name == source)
        return next(positions, None)

    def _wake_sinks(self) -> None:
        self._sinks.wake()

    def _published_classes(self) -> tuple[str, ...]:
        pipeline = self._pipeline
        classes = pipeline.bundle.manifest.classes
        return tuple(label for label in classes if label not in pipeline.config.disabled)

    def _level(self, source: str) -> Level | None:
        with_audio = (SourceState.RUNNING, SourceState.SILENT)
        has_audio = any(s.name == source and s.state in with_audio for s in self.sessions)
        return self.levels.latest(source) if has_audio else None

    def _log_start(self) -> None:
        pipeline = self._pipeline
        log.info("bundle_loaded", runs=pipeline.bundle_line)
        log.info("provider_chosen", runs=pipeline.provider_line)
        for session in self.sessions:
            log.info("source_configured", source=session.name, **_described(session))
        latencies = [
            pipeline.detector.latency(label).total_s for label in pipeline.bundle.manifest.classes
        ]
        log.info("onset_latency", least_s=round(min(latencies), 3), most_s=round(max(latencies), 3))
        log.info("started", version=__version__, config=pipeline.config.origin)


def _drop(prepared: Future[Revision]) -> None:
    if prepared.exception() is None:
        prepared.result().drop()


def _described(session: SourceSession) -> dict[str, object]:
    return session.config.model_dump(exclude={"name"}, mode="json", exclude_none=True)
