"""Configuration of metrics, clips and the log."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from streamsed.config.strict import Strict, UserPath
from streamsed.publish.endpoints import http_address
from streamsed.publish.journal_folder import state_directory


class MetricsConfig(Strict):
    """The HTTP server with ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz``.

    Attributes:
        bind: ``HOST:PORT``; None for no server.
        insecure: allow an address that other machines reach, without any authentication.
    """

    bind: str | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _bind_allowed(self) -> Self:
        if self.bind is not None:
            http_address(self.bind, insecure=self.insecure)
        return self


class WebConfig(Strict):
    """The page, for browsers on this machine.

    Attributes:
        bind: ``HOST:PORT`` of this machine, such as ``127.0.0.1:8577``; None for no page.
    """

    bind: str | None = None

    @model_validator(mode="after")
    def _bind_allowed(self) -> Self:
        if self.bind is not None:
            host, _ = http_address(self.bind, insecure=True)
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                raise ValueError(
                    f"{self.bind!r} is reachable from other machines, which the page is not for; "
                    "127.0.0.1:8577 would be right"
                )
        return self


class ClipsConfig(Strict):
    """Recordings of the audio around events, in FLAC files.

    Attributes:
        enabled: whether there are any.
        path: their folder; by default ``clips`` in the service's or the user's state directory.
        pre_s: audio before the onset.
        post_s: audio after the offset.
        max_clip_s: length of a clip; a longer event is recorded so far.
        keep_days: age beyond which clips are removed.
        max_mb: size of all (in units of 2^20 bytes) beyond which the oldest are removed.
        classes: those whose events are recorded; null for all.
        sources: those that are recorded; null for all.
    """

    enabled: bool = False
    path: UserPath = Field(default_factory=lambda: state_directory() / "clips")
    pre_s: Annotated[float, Field(ge=0.0, le=60.0)] = 2.0
    post_s: Annotated[float, Field(ge=0.0, le=60.0)] = 2.0
    max_clip_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 60.0
    keep_days: Annotated[float, Field(gt=0.0, le=36_500.0)] = 30.0
    max_mb: Annotated[float, Field(ge=1.0, le=10_000_000.0)] = 1024.0
    classes: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _longer_than_before(self) -> Self:
        if self.max_clip_s <= self.pre_s:
            raise ValueError("max_clip_s must be more than pre_s, or no clip reaches its event")
        return self


class LogConfig(Strict):
    """What is logged, to standard error.

    Attributes:
        level: the least important lines that are logged.
        format: ``auto`` is console on a terminal, else JSON.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
