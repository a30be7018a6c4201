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
from streamsed.service.detection import Detection
from streamsed.service.plan import Plan
from streamsed.service.stream import Stream
from streamsed.service.wakeup import Wakeup
from streamsed.sources.config import PipeSource, SourceConfig

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
        plan: to go on by; it keeps what needs a restart as it was.
        streams: of all sources from then on, in the order of the configuration.
        leaving: streams of sources that were removed or changed.
        coming: streams of sources that were added or changed; those are in ``streams`` too.
        changes: what changes, for people.
        needs_restart: keys that differ and were not applied.
    """

    plan: Plan
    streams: tuple[Stream, ...]
    leaving: tuple[Stream, ...]
    coming: tuple[Stream, ...]
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
    plan: Plan,
    streams: Sequence[Stream],
    build: Callable[[SourceConfig], Stream],
) -> Revision:
    """Prepare a reload; nothing has changed when this fails.

    Args:
        config: as it was read anew.
        plan: the one that is followed now.
        streams: those of now.
        build: makes the stream of a source.

    Raises:
        StreamsedError: the configuration cannot be followed; why.
    """
    kept = {key: getattr(plan.config, key) for key in Config.model_fields if key not in LIVE}
    revised = plan.revised(config.model_copy(update=kept))
    rate, new_rate = (p.bundle.manifest.sample_rate for p in (plan, revised))
    if new_rate != rate:
        raise ConfigError(
            f"{config.origin}: bundle: {config.bundle} wants audio at {new_rate} Hz, and the "
            f"sources were opened at {rate} Hz; that needs a restart"
        )
    present = {stream.name: stream for stream in streams}
    before = {stream.name: stream.config for stream in streams}
    differ = {s.name for s in config.sources if before.get(s.name, s) != s}
    # Standard input is there once: a second reader of it might begin inside a frame.
    stay = {name for name in differ if isinstance(before[name], PipeSource)}
    same = {s.name for s in config.sources if s.name in present and s.name not in differ - stay}
    coming = tuple(build(source) for source in config.sources if source.name not in same)
    _open(coming, present)
    fresh = {stream.name: stream for stream in coming}
    return Revision(
        plan=revised,
        streams=tuple(fresh.get(s.name) or present[s.name] for s in config.sources),
        leaving=tuple(stream for stream in streams if stream.name not in same),
        coming=coming,
        changes=(*_plan_changes(plan, revised), *_source_changes(present, fresh, same)),
        needs_restart=(
            *_differences(plan.config, config, among=kept),
            *(f"sources.{name}" for name in sorted(stay)),
        ),
    )


def apply(
    revision: Revision, detection: Detection, *, wakeup: Wakeup, ending: Callable[[], bool]
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
        lambda: detection.adopt(revision.plan, more_to_come=bool(revision.coming))
    )
    wakeup.sleep_until(lambda: ending() or adopted.done(), look_s=_LOOK_S)
    for stream in revision.leaving:
        stream.stop(Reason.RELOAD, "removed or changed in the configuration")

    def left() -> bool:
        return ending() or not any(detection.knows(stream) for stream in revision.leaving)

    if not wakeup.sleep_until(left, timeout_s=_LEAVE_S, look_s=_LOOK_S):
        for stream in revision.leaving:
            stream.abandon()
        wakeup.sleep_until(left, look_s=_LOOK_S)
    coming = () if ending() else revision.coming
    detection.between_steps(lambda: detection.add(coming))
    if coming is not revision.coming:
        revision.drop()
        return False
    return True


def _open(coming: Iterable[Stream], present: Iterable[str]) -> None:
    """Open what has to be there, but for devices that may still be in use by their old stream."""
    opened: list[Stream] = []
    try:
        for stream in coming:
            if stream.name not in present or not stream.source.live:
                opened.append(stream)
                stream.open()
    except BaseException:
        _drop(opened)
        raise


def _drop(streams: Iterable[Stream]) -> None:
    for stream in streams:
        stream.stop()
        stream.join(0.0)


def _plan_changes(plan: Plan, revised: Plan) -> list[str]:
    if revised.engine is not plan.engine:
        name, provider = revised.bundle_name, revised.engine.report.provider
        return [f"bundle: {name.name} {name.version} on {provider}"]
    keys = _differences(plan.config, revised.config, among=["detect", "log"])
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
