"""Servers: the sockets on which the daemon publishes, answers requests and serves metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog
from prometheus_client import CollectorRegistry

from streamsed.config import Config
from streamsed.errors import PublishError
from streamsed.publish.binding import SocketLimits
from streamsed.publish.catch_up import CatchUp
from streamsed.publish.daemon_status import DaemonStatus
from streamsed.publish.front import FrontLimits
from streamsed.publish.journal import Retention
from streamsed.publish.messages import Heartbeat, Moment
from streamsed.publish.publisher import Publisher
from streamsed.publish.requests import ActiveReply, ActiveRequest, SinceRequest, StatusRequest
from streamsed.publish.responder import RequestHandler, Responder
from streamsed.publish.sequencer import Sequencer
from streamsed.service.descriptors import connections
from streamsed.service.health import Health
from streamsed.service.monitor import monitor
from streamsed.service.page import page

_ATTEMPTS = 50  # to bind a wildcard's port whose next one is free too

log = structlog.get_logger()


def bind_both(
    publisher: Callable[[], Publisher],
    responder: Callable[[Publisher], Responder],
    *,
    attempts: int,
) -> tuple[Publisher, Responder]:
    """Bind the sockets of messages and of requests.

    Clients derive one address from the other, so where the system chooses the port
    of the first, the second may be taken: then both are bound anew.

    Raises:
        PublishError: one of them could not be bound in any attempt; none is held then.
    """
    while True:
        attempts -= 1
        bound = publisher()
        try:
            return bound, responder(bound)
        except BaseException as error:
            bound.close()
            if not isinstance(error, PublishError) or not attempts:
                raise


class Servers:
    """Publishes, answers requests, and serves metrics and health.

    Attributes:
        publisher: of messages, which it journals.
        responder: to requests.
        monitor: of metrics and health; None if that is not wanted.
        page: for browsers; None if that is not wanted.
    """

    def __init__(
        self,
        config: Config,
        *,
        heartbeat: Callable[[int, datetime], Heartbeat],
        status: Callable[[], DaemonStatus],
        position: Callable[[str], Moment | None],
        registry: CollectorRegistry,
        alive: Callable[[], Health],
        ready: Callable[[], Health],
        recorded: Callable[[], None],
        wake: Callable[[], None],
        thresholds: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """Bind all of it, or nothing.

        Args:
            config: what is wanted, and where.
            heartbeat: makes the heartbeat, given the last number and the time.
            status: returns the status of the daemon.
            position: returns how far a source has got.
            registry: of the metrics.
            alive: returns whether detection advances.
            ready: returns whether events can be expected.
            recorded: called, in the outbox's thread, after messages were recorded.
            wake: called, in the publisher's thread, when a client subscribes or it fails.
            thresholds: returns the score from which each class makes events, for the page.

        Raises:
            PublishError: an address cannot be bound.
            KeysError: the configured keys cannot be used.
        """
        publish, journal = config.publish, config.journal
        subscribers, requesting = connections(
            wanted=publish.max_connections, sources=len(config.sources)
        )

        def publisher() -> Publisher:
            return Publisher(
                publish.bind,
                heartbeat=heartbeat,
                heartbeat_s=publish.heartbeat_s,
                limits=SocketLimits(
                    send_high_water=publish.send_high_water,
                    linger_s=publish.linger_s,
                    front=FrontLimits(connections=subscribers),
                ),
                ipc_mode=publish.ipc_permissions,
                authentication=publish.authentication(),
                sequencer=Sequencer(
                    journal.path if journal.enabled else None,
                    retention=Retention.of(keep_days=journal.keep_days, max_mb=journal.max_mb),
                    position=position,
                ),
                on_recorded=recorded,
                on_subscriber=wake,
                on_failure=wake,
            )

        def responder(publisher: Publisher) -> Responder:
            catch_up = CatchUp(publisher.sequencer)
            return Responder(
                publish.request_binds_beside(publisher.endpoints),
                {
                    "active": RequestHandler(ActiveRequest, self._active),
                    "since": RequestHandler(SinceRequest, catch_up.answer),
                    "status": RequestHandler(StatusRequest, lambda request: status()),  # noqa: ARG005
                },
                ipc_mode=publish.ipc_permissions,
                authentication=publish.authentication(),
                connections=requesting,
                on_end=catch_up.close,
            )

        with contextlib.ExitStack() as bound:
            self.publisher, self.responder = bind_both(
                publisher, responder, attempts=_ATTEMPTS if publish.any_port else 1
            )
            bound.callback(self.publisher.close)
            bound.callback(self.responder.close)
            self.monitor = monitor(config.metrics, registry=registry, alive=alive, ready=ready)
            if self.monitor is not None:
                bound.callback(self.monitor.close)
            self.page = page(
                config.web,
                status=status,
                active=lambda: self._active(ActiveRequest(get="active")),
                thresholds=thresholds,
            )
            bound.pop_all()

    def start(self) -> None:
        """Begin to send and to answer."""
        self.publisher.start()
        self.responder.start()
        if self.monitor is not None:
            self.monitor.start()
            log.info("serving_metrics", on=self.monitor.url)
        if self.page is not None:
            self.page.start()
            log.info("serving_page", on=self.page.url)

    def announce(self) -> None:
        """Log the addresses."""
        log.info(
            "listening",
            on=list(self.publisher.endpoints),
            requests=list(self.responder.endpoints),
        )

    def close(self) -> None:
        """Send what was handed over, and close everything."""
        if self.page is not None:
            self.page.close()
        if self.monitor is not None:
            self.monitor.close()
        self.publisher.close()
        self.responder.finish()
        self.responder.close()

    def _active(self, request: ActiveRequest) -> ActiveReply:  # noqa: ARG002
        sequencer = self.publisher.sequencer
        return ActiveReply(
            last_seq=sequencer.last_seq,
            sources=sequencer.last_value_cache.by_source(),
            answered=datetime.now(UTC),
        )
