"""Reload: from a configuration that was read anew to what changes in a daemon that goes on.

Everything that can fail, or takes time, is done before anything changes: the bundle is loaded and
self-tested beside the one that runs, and added sources that have to be there are opened. Then the
detection thread changes over between two steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from streamsed.config import Config
from streamsed.detect.events import Reason
from streamsed.errors import ConfigError
from streamsed.service.detection import DetectionLoop
from streamsed.service.pipeline import Pipeline
from streamsed.service.session import SourceSession
from streamsed.service.wakeup import Wakeup
from streamsed.sources.entry import SourceEntry

T = TypeVar("T")

LIVE = frozenset(
    {"bundle", "provider", "require_gpu", "threads", "max_batch", "sources", "detect", "log"}
)
"""What a reload applies; everything else needs a restart."""

_LEAVE_S = 3.0  # for the audio of a source that leaves; then its reader is taken to hang
_LOOK_S = 0.05
_DEEPEST = 2  # detect.classes.Dog


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What a reload is going to change.

    Attributes:
        pipeline: to go on by; it keeps what needs a restart as it was.
        sessions: of all sources from then on, in the order of the configuration.
        leaving: sessions of sources that were removed or changed.
        coming: sessions of sources that were added or changed; those are in ``sessions`` too.
        changes: what changes, for people.
        needs_restart: keys that differ and were not applied.
    """

    pipeline: Pipeline
    sessions: tuple[SourceSession, ...]
    leaving: tuple[SourceSession, ...]
    coming: tuple[SourceSession, ...]
    changes: tuple[str, ...]
    needs_restart: tuple[str, ...]

    def drop(self) -> None:
        """Close what was opened for it: it is not wanted any more."""
        _drop(self.coming)

    @property
    def line(self) -> str:
        """All of it, for people."""
        parts = list(self.changes) or ["nothing changed"]
        if self.needs_restart:
            parts.append(f"needs a restart: {', '.join(self.needs_restart)}")
        return "; ".join(parts)


def in_background(task: Callable[[], T], *, then: Callable[[], None]) -> Future[T]:
    """Do something in a thread that the process does not wait for at its end.

    Args:
        task: what.
        then: called when that is done, or has failed.
    """
    future: Future[T] = Future()
    future.add_done_callback(lambda _: then())

    def work() -> None:
        try:
            future.set_result(task())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="reload", daemon=True).start()
    return future


def prepare(
    config: Config,
    *,
    pipeline: Pipeline,
    sessions: Sequence[SourceSession],
    build: Callable[[SourceEntry], SourceSession],
) -> Revision:
    """Prepare a reload; nothing has changed when this fails.

    Args:
        config: as it was read anew.
        pipeline: the one that is followed now.
        sessions: those of now.
        build: makes the session of a source.

    Raises:
        StreamsedError: the configuration cannot be followed; why.
    """
    kept = {key: getattr(pipeline.config, key) for key in Config.model_fields if key not in LIVE}
    revised = pipeline.revised(config.model_copy(update=kept))
    rate, new_rate = (p.bundle.manifest.sample_rate for p in (pipeline, revised))
    if new_rate != rate:
        raise ConfigError(
            f"{config.origin}: bundle: {config.bundle} wants audio at {new_rate} Hz, and the "
            f"sources were opened at {rate} Hz; that needs a restart"
        )
    present = {session.name: session for session in sessions}
    before = {session.name: session.config for session in sessions}
    differ = {s.name for s in config.sources if before.get(s.name, s) != s}
    # A second reader of standard input might begin inside a frame.
    stay = {name for name in differ if before[name].once}
    same = {s.name for s in config.sources if s.name in present and s.name not in differ - stay}
    coming = tuple(build(source) for source in config.sources if source.name not in same)
    _open(coming, present)
    fresh = {session.name: session for session in coming}
    return Revision(
        pipeline=revised,
        sessions=tuple(fresh.get(s.name) or present[s.name] for s in config.sources),
        leaving=tuple(session for session in sessions if session.name not in same),
        coming=coming,
        changes=(*_pipeline_changes(pipeline, revised), *_source_changes(present, fresh, same)),
        needs_restart=(
            *_differences(pipeline.config, config, among=kept),
            *(f"sources.{name}" for name in sorted(stay)),
        ),
    )


def apply(
    revision: Revision, detection: DetectionLoop, *, wakeup: Wakeup, ending: Callable[[], bool]
) -> bool:
    """Change over; the caller starts what is coming.

    Args:
        revision: as prepared.
        detection: runs.
        wakeup: of the caller's thread.
        ending: whether the daemon has come to its end.

    Returns:
        False if the end came first; what was opened is closed then.
    """
    adopted = detection.between_steps(
        lambda: detection.adopt(revision.pipeline, more_to_come=bool(revision.coming))
    )
    wakeup.sleep_until(lambda: ending() or adopted.done(), look_s=_LOOK_S)
    for session in revision.leaving:
        session.stop(Reason.RELOAD, "removed or changed in the configuration")

    def left() -> bool:
        return ending() or not any(detection.has(session) for session in revision.leaving)

    if not wakeup.sleep_until(left, timeout_s=_LEAVE_S, look_s=_LOOK_S):
        for session in revision.leaving:
            session.abandon()
        wakeup.sleep_until(left, look_s=_LOOK_S)
    coming = () if ending() else revision.coming
    detection.between_steps(lambda: detection.add(coming))
    if coming is not revision.coming:
        revision.drop()
        return False
    return True


def _open(coming: Iterable[SourceSession], present: Iterable[str]) -> None:
    """Open what has to be there, but for devices that may still be in use by their old session."""
    opened: list[SourceSession] = []
    try:
        for session in coming:
            if session.name not in present or not session.source.live:
                opened.append(session)
                session.open()
    except BaseException:
        _drop(opened)
        raise


def _drop(sessions: Iterable[SourceSession]) -> None:
    for session in sessions:
        session.stop()
        session.join(0.0)


def _pipeline_changes(pipeline: Pipeline, revised: Pipeline) -> list[str]:
    if revised.engine is not pipeline.engine:
        name, provider = revised.bundle_name, revised.engine.report.provider
        return [f"bundle: {name.name} {name.version} on {provider}"]
    keys = _differences(pipeline.config, revised.config, among=["detect", "log"])
    return [f"changed: {', '.join(keys)}"] if keys else []


def _source_changes(present: Iterable[str], fresh: Iterable[str], same: Iterable[str]) -> list[str]:
    before, coming = set(present), set(fresh)
    kinds = {
        "sources added": coming - before,
        "sources changed": coming & before,
        "sources removed": before - coming - set(same),
    }
    return [f"{what}: {', '.join(sorted(names))}" for what, names in kinds.items() if names]


def _differences(old: Config, new: Config, *, among: Iterable[str]) -> list[str]:
    """Name the keys that differ, such as ``publish.bind`` or ``detect.classes.Dog``."""
    keys = sorted(among)
    before, after = (config.model_dump(include=set(keys)) for config in (old, new))
    return [path for key in keys for path in _paths(key, before[key], after[key])]


def _paths(path: str, before: object, after: object) -> Iterator[str]:
    if before == after:
        return
    if not (isinstance(before, dict) and isinstance(after, dict)) or path.count(".") == _DEEPEST:
        yield path
        return
    for key in sorted(before.keys() | after.keys()):
        yield from _paths(f"{path}.{key}", before.get(key), after.get(key))
