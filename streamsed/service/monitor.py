"""Monitor: metrics and health over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streamsed.config import MetricsConfig
from streamsed.publish.endpoints import http_address
from streamsed.service.health import Health
from streamsed.service.http_server import HttpResponse, HttpServer, Page


def monitor(
    config: MetricsConfig,
    *,
    registry: CollectorRegistry,
    alive: Callable[[], Health],
    ready: Callable[[], Health],
) -> HttpServer | None:
    """Bind the configured server; None if there is to be none.

    Args:
        config: where.
        registry: served as ``/metrics``.
        alive: returns what ``/healthz`` shows.
        ready: returns what ``/readyz`` shows.

    Raises:
        PublishError: the address cannot be bound.
    """
    if config.bind is None:
        return None
    host, port = http_address(config.bind, insecure=config.insecure)
    pages = {"/metrics": _metrics(registry), "/healthz": _health(alive), "/readyz": _health(ready)}
    return HttpServer(host, port, pages)


def _metrics(registry: CollectorRegistry) -> Page:
    one_at_a_time = threading.Lock()  # or eight scrapes at once would compete with detection

    def page(accept: str) -> HttpResponse:
        encode, content_type = choose_encoder(accept)
        with one_at_a_time:
            return HttpResponse(200, content_type, encode(registry))

    return page


def _health(check: Callable[[], Health]) -> Page:
    def page(accept: str) -> HttpResponse:  # noqa: ARG001 - there is but one form
        health = check()
        return HttpResponse(health.http_status, "application/json", health.body)

    return page
