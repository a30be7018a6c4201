"""``streamsed check``: would it run, and what would really run."""

from __future__ import annotations

import math
import os
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from time import monotonic
from typing import TYPE_CHECKING

from streamsed.cli.columns import echo_columns
from streamsed.cli.options import (
    BindOption,
    BundleOption,
    ConfigOption,
    ProviderOption,
    SourceOption,
    configuration,
)
from streamsed.cli.output import echo
from streamsed.cli.standard_streams import print_error
from streamsed.errors import ConfigError, SourceError
from streamsed.printable import printable
from streamsed.redaction import redacted

if TYPE_CHECKING:
    from streamsed.config import Config
    from streamsed.sources.entry import SourceEntry
    from streamsed.sources.protocol import Source

OPEN_S = 30.0
"""So long all sources together may take to be opened."""

LOOK_S = 2.0
"""So long each that is open is read, for its level."""

_TRIED_BYTES = 1 << 16


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
    is not there is none, unless it is required: the daemon waits for it. It waits for a stream too,
    for a disk that the journal can be written to, and for what a sink delivers to; but then the
    exit code is 1.
    """
    settings = configuration(
        config,
        sources=source,
        bundle=bundle,
        provider=provider,
        publish={"bind": bind or None},
    )
    # Only now, so that a mistake in the configuration is shown at once.
    from streamsed.service.pipeline import CLASS_COLUMNS, Pipeline

    pipeline = Pipeline.of(settings)
    echo(f"config    {settings.origin}")
    echo(f"bundle    {pipeline.bundle_line}; self-test passed")
    echo(f"provider  {pipeline.provider_line}")
    failures = _check_sources(settings, sample_rate=pipeline.bundle.manifest.sample_rate)
    echo_columns(CLASS_COLUMNS, pipeline.class_rows())
    kept = _check_journal(settings)
    with ExitStack() as held:  # all at once, for one may be in the way of another
        _check_binds(settings, held)
        _check_metrics(settings, held)
        _check_page(settings, held)
    _check_clips(settings)
    delivers = _check_sinks(settings)
    missing = [entry for entry, _ in failures]
    if required := [error for entry, error in failures if entry.supervision.required]:
        for error in required:
            print_error(f"streamsed: {redacted(printable(error))}")
        return 2
    return 1 if not (kept and delivers) or any(entry.remote for entry in missing) else 0


def _check_sources(config: Config, *, sample_rate: int) -> list[tuple[SourceEntry, SourceError]]:
    """Open all sources but standard input; return those that cannot be opened."""
    from streamsed.sources.config import build_source
    from streamsed.sources.opening import try_to_open

    tried = [entry for entry in config.sources if not entry.once]
    trials = try_to_open(
        [build_source(entry.for_trial()) for entry in tried],
        sample_rate=sample_rate,
        within_s=OPEN_S,
        inspect=lambda source: _level_remark(source, sample_rate),
    )
    outcomes = {entry.name: trial for entry, trial in zip(tried, trials, strict=True)}
    errors = {name: trial.error for name, trial in outcomes.items() if trial.error is not None}
    for entry in config.sources:
        error = errors.get(entry.name)
        if entry.once:
            what = "not opened: it can be read only once"
        elif error is None:
            remark = outcomes[entry.name].remark
            what = f"can be opened; {remark}" if remark else "can be opened"
        elif entry.supervision.required:
            what = f"cannot be opened, and is required: {error}"
        else:
            what = f"not there now: {error}"
        echo(f"source    {entry.name}: {entry.type}, {redacted(what)}")
    return [(entry, errors[entry.name]) for entry in tried if entry.name in errors]


def _level_remark(source: Source, sample_rate: int) -> str | None:
    """Return what is odd about the level of a source that is open, as far as it shows so soon."""
    from streamsed.detect.loudness import FIRST_S, Loudness
    from streamsed.sources.protocol import EndOfSource

    loudness = Loudness(sample_rate, first_s=math.inf)
    over = monotonic() + LOOK_S
    samples, silent = 0, True
    with suppress(EndOfSource, SourceError):  # what breaks off later is no matter of opening
        while samples < FIRST_S * sample_rate and (left_s := over - monotonic()) > 0:
            if (block := source.read(left_s)) is None:
                continue
            samples += len(block.samples)
            silent &= not block.samples.any()
            loudness.add(
                energy=float(block.samples @ block.samples),
                samples=len(block.samples),
                mix_loss_db=getattr(source, "mix_loss_db", None),
            )
    if samples and silent:
        return f"but nothing but zeros in {samples / sample_rate:.1f} s"
    loudness.end(shortest_s=1.0)
    return loudness.remark


def _check_binds(config: Config, held: ExitStack) -> None:
    from streamsed.publish.binding import BoundSocket, SocketLimits

    publish = config.publish
    authentication = publish.authentication()
    for purpose, binds in (("listens", publish.bind), ("answers", publish.request_binds)):
        bound = BoundSocket(
            binds, SocketLimits(), ipc_mode=publish.ipc_permissions, authentication=authentication
        )
        held.callback(bound.close)
        for address in binds:
            echo(f"{purpose:<9} {address}, which is free")
    if authentication is None:
        return
    clients = authentication.clients
    names = ", ".join(sorted(clients.names().values()))
    echo(f"keys      required; the daemon's is {authentication.pair.public}")
    echo(f"clients   {names or 'none'} may connect: {clients.folder}")
    for problem in clients.files().values():
        if not isinstance(problem, str):
            echo(f"client    cannot connect: {problem}")


def _check_metrics(config: Config, held: ExitStack) -> None:
    from streamsed.publish.endpoints import http_address
    from streamsed.service.http_server import HttpServer

    if config.metrics.bind is None:
        return
    address = http_address(config.metrics.bind, insecure=config.metrics.insecure)
    server = HttpServer(*address, pages={})
    held.callback(server.close)
    echo(f"metrics   {server.url}/metrics, which is free")


def _check_page(config: Config, held: ExitStack) -> None:
    if config.web.bind is None:
        return
    from streamsed.web.server import PageServer

    server = PageServer(config.web.bind, dict)
    held.callback(server.close)
    echo(f"page      {server.url}, which is free")


def _check_journal(config: Config) -> bool:
    if not config.journal.enabled:
        return True
    path = config.journal.path.absolute()
    if (problem := _unwritable(path)) is None:
        echo(f"journal   goes to {path}")
    else:
        echo(f"journal   cannot be kept, and messages go without: {problem}")
    return problem is None


def _check_clips(config: Config) -> None:
    if not config.clips.enabled:
        return
    path = config.clips.path.absolute()
    if (problem := _unwritable(path)) is not None:
        raise ConfigError(f"{config.origin}: clips.path: {problem}")
    free_mb = shutil.disk_usage(_there(path)).free // 2**20
    echo(f"clips     go to {path}, where {free_mb} MB are free")


def _check_sinks(config: Config) -> bool:
    """Connect to what each sink delivers to; return whether all can."""
    from streamsed.errors import SinkError
    from streamsed.sinks.config import build_sink
    from streamsed.sinks.context import SinkContext

    delivers = True
    for entry in config.sinks:
        try:
            what = f"delivers to {build_sink(entry, SinkContext()).probe()}"
        except SinkError as error:
            what, delivers = f"cannot deliver now: {error}", False
        echo(f"sink      {entry.name}: {entry.type}, {redacted(printable(what))}")
    return delivers


def _there(path: Path) -> Path:
    """Return the folder, or the one in which it would be made."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _unwritable(path: Path) -> str | None:
    """Try to make a folder, or to write in one that is there; leave nothing, return what fails."""
    try:
        there = _there(path)
        if not there.is_dir():
            return f"{there} is no folder that can be written"
        with ExitStack() as held:
            folder = there
            if there != path:
                folder = Path(held.enter_context(TemporaryDirectory(dir=there)))
            with TemporaryFile(dir=folder) as file:
                file.write(bytes(_TRIED_BYTES))
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        return f"{path} is no folder that can be written: {error.strerror}"
    return None
