"""The page, as configured: the daemon's status and open events for browsers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streamsed import web
from streamsed.config import WebConfig
from streamsed.publish.daemon_status import DaemonStatus
from streamsed.publish.requests import ActiveReply


def page(
    config: WebConfig,
    *,
    status: Callable[[], DaemonStatus],
    active: Callable[[], ActiveReply],
    thresholds: Callable[[], Mapping[str, float]],
) -> web.PageServer | None:
    """Bind the configured server; None if there is to be none.

    Args:
        config: where.
        status: returns the status of the daemon.
        active: returns the open events.
        thresholds: returns the score from which each class makes events.

    Raises:
        PublishError: the address cannot be bound.
    """
    if config.bind is None:
        return None

    def state() -> dict[str, object]:
        return {
            "status": status().model_dump(mode="json"),
            "open": active().model_dump(mode="json")["sources"],
            "thresholds": dict(thresholds()),
        }

    return web.PageServer(config.bind, state)
