"""``streamsed check``: would it run, and what would really run."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import typer

from streamsed.cli.columns import echo_columns
from streamsed.cli.options import (
    BindOption,
    BundleOption,
    ConfigOption,
    ProviderOption,
    SourceOption,
    configuration,
)
from streamsed.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from streamsed.config import Config


def check(
    *,
    config: ConfigOption = None,
    source: SourceOption = None,
    bundle: BundleOption = None,
    provider: ProviderOption = None,
    bind: BindOption = None,
) -> int:
    """Validate the configuration and the bundle, open every source and address for a moment.

    Prints what would run. Each mistake is one line, and the exit code 2. A microphone that
    is not there is none, unless it is required: the daemon waits for it.
    """
    settings = configuration(
        config,
        sources=source,
        bundle=bundle,
        provider=provider,
        publish={"bind": bind or None},
    )
    # Only now, so that a mistake in the configuration is told at once.
    from streamsed.service.plan import CLASS_COLUMNS, Plan

    plan = Plan.of(settings)
    typer.echo(f"config    {settings.origin}")
    typer.echo(f"bundle    {plan.bundle_line}; self-test passed")
    typer.echo(f"provider  {plan.provider_line}")
    _check_sources(settings, sample_rate=plan.bundle.manifest.sample_rate)
    echo_columns(CLASS_COLUMNS, plan.class_rows())
    with ExitStack() as held:  # all at once, for one may be in the way of another
        _check_binds(settings, held)
        _check_metrics(settings, held)
    _check_clips(settings)
    return 0


def _check_sources(config: Config, *, sample_rate: int) -> None:
    from streamsed.service.supervision import Supervision
    from streamsed.sources.config import PipeSource, build
    from streamsed.sources.url import Url

    for entry in config.sources:
        if isinstance(entry, PipeSource):
            typer.echo(f"source    {entry.name}: pipe, not opened: standard input is not read here")
            continue
        source = build(entry)
        if isinstance(source, Url):
            typer.echo(f"source    {entry.name}: url, not connected to; through {source.ffmpeg}")
            continue
        try:
            source.open(sample_rate)
        except SourceError as error:
            if Supervision.of(entry).required:
                raise
            typer.echo(f"source    {entry.name}: {entry.type}, not there now: {error}")
        else:
            typer.echo(f"source    {entry.name}: {entry.type}, can be opened")
        finally:
            source.close()


def _check_binds(config: Config, held: ExitStack) -> None:
    from streamsed.publish.binding import BoundSocket, SocketLimits

    publish = config.publish
    admission = publish.admission()
    for purpose, binds in (("listens", publish.bind), ("answers", publish.request_binds)):
        bound = BoundSocket(
            binds, SocketLimits(), ipc_mode=publish.ipc_permissions, admission=admission
        )
        held.callback(bound.close)
        for address in binds:
            typer.echo(f"{purpose:<9} {address}, which is free")
    if admission is None:
        return
    clients = admission.clients
    names = ", ".join(sorted(clients.names().values()))
    typer.echo(f"keys      asked for; the daemon's is {admission.pair.public}")
    typer.echo(f"clients   {names or 'none'} may connect: {clients.folder}")
    for problem in clients.files().values():
        if not isinstance(problem, str):
            typer.echo(f"client    cannot connect: {problem}")


def _check_metrics(config: Config, held: ExitStack) -> None:
    from streamsed.publish.endpoints import http_address
    from streamsed.service.http_server import HttpServer

    if config.metrics.bind is None:
        return
    address = http_address(config.metrics.bind, insecure=config.metrics.insecure)
    server = HttpServer(*address, pages={})
    held.callback(server.close)
    typer.echo(f"metrics   {server.url}/metrics, which is free")


def _check_clips(config: Config) -> None:
    if not config.clips.enabled:
        return
    path = config.clips.path.absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise ConfigError(f"{config.origin}: clips.path: {there} is no folder that can be written")
    free_mb = shutil.disk_usage(there).free // 2**20
    typer.echo(f"clips     go to {path}, where {free_mb} MB are free")
