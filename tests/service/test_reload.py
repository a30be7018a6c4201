"""Reload: what changes does, what stays goes on, and a wrong configuration changes nothing."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from streamsed.config import Config
from streamsed.detect import selftest
from streamsed.detect.events import Kind, Reason
from streamsed.errors import ConfigError
from streamsed.publish.messages import DaemonState, EventMessage, Heartbeat, SourceState
from streamsed.service.notify import Notifier
from streamsed.service.pipeline import Pipeline
from tests.bundle.test_odd_bundles import changed, loop_while
from tests.bundles import SAMPLE_RATE, ToneMember, make_bundle, tones
from tests.service.daemons import (
    Running,
    assert_close,
    configure,
    daemon_states,
    events,
    recording,
    running,
    spans,
    states,
    statuses,
)
from tests.service.holding import standard_input
from tests.service.systemd_socket import service_manager
from tests.service.test_stopping import hanging
from tests.sockets import PATIENCE_S, AnyMessage

PIPE = {"type": "pipe", "name": "pipe", "rate": SAMPLE_RATE, "format": "f32le"}
BEFORE_S = 1.5
SPANS = [("low", 0.3, 0.8), ("mid", 0.5, 2.6), ("low", 1.2, 2.0), ("high", 2.2, 2.8)]
AUDIO = tones(SPANS, duration_s=3.2)
OFTEN = {"update_every_s": 0.1}  # an update is a sign that an event is open


def heard_by(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    then: Callable[[Running], list[AnyMessage]] | None = None,
    *,
    audio: NDArray[Any] = AUDIO,
) -> list[AnyMessage]:
    """Run with the audio on standard input; do something after ``BEFORE_S`` of it."""
    first = round(BEFORE_S * SAMPLE_RATE)
    with standard_input(monkeypatch) as put, running(config) as run:
        put(audio[:first])
        messages = run.until(("label", "low"), ("kind", Kind.OFFSET))
        messages += run.until(("label", "low"), ("kind", Kind.ONSET))
        messages += then(run) if then is not None else []
        put(audio[first:])
        put(None)
        messages += run.until_stopped()
    assert run.exit_code == 0
    return messages


def content(messages: list[EventMessage]) -> list[tuple[Any, ...]]:
    """Return what samples decide of events."""
    ends = [m for m in messages if m.kind is not Kind.UPDATE]
    return [(m.kind, m.label, m.onset.sample, m.duration, m.score, m.reason) for m in ends]


@pytest.fixture
def undisturbed(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    return content(events(heard_by(configure(bundle, [PIPE]), monkeypatch)))


def test_what_has_not_changed_goes_on(
    bundle: Path,
    tmp_path: Path,
    undisturbed: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A source comes and goes: not a sample of the other is lost."""
    added = recording(
        tmp_path / "added.wav", tones([("high", 0.2, 0.6)], duration_s=9.0), paced=True
    )

    def then(run: Running) -> list[AnyMessage]:
        messages = run.reload(configure(bundle, [added, PIPE], queue_s=9.0))
        if len(events(messages, "added")) < 2:
            messages += run.until(("source", "added"), ("kind", Kind.OFFSET))
        return messages + run.reload(configure(bundle, [PIPE]))

    with capture_logs() as logs:
        messages = heard_by(configure(bundle, [PIPE]), monkeypatch, then)
    assert content(events(messages, "pipe")) == undisturbed
    assert_close(spans(events(messages, "added")), [("high", 0.2, 0.6)])
    assert states(messages, "added") == [
        SourceState.CONNECTING,
        SourceState.RUNNING,
        SourceState.ENDED,
    ]
    assert daemon_states(messages)[1:-1] == [
        (DaemonState.RELOADED, "sources added: added; needs a restart: queue_s"),
        (DaemonState.RELOADED, "sources removed: added"),
    ]
    output = [entry for entry in logs if entry["event"] == "reloaded"]
    assert [entry["needs_restart"] for entry in output] == [("queue_s",), ()]
    beats = [len(m.sources) for m in messages if isinstance(m, Heartbeat)]
    assert set(beats) <= {1, 2}


def test_reloads_one_upon_the_other_and_a_changed_standard_input(
    bundle: Path, undisturbed: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another class is changed and changed back; standard input cannot be opened again."""

    def then(run: Running) -> list[AnyMessage]:
        messages = []
        for enter in (0.6, 0.7, 0.8, 0.6, 0.5):
            detect = {"classes": {"high": {"enter": enter}}}
            messages += run.reload(configure(bundle, [PIPE], detect=detect))
        return messages + run.reload(configure(bundle, [PIPE | {"live": True}]))

    messages = heard_by(configure(bundle, [PIPE]), monkeypatch, then)
    assert content(events(messages)) == undisturbed
    output = [message for _, message in daemon_states(messages)[1:-1]]
    changed = "changed: detect.classes.high"
    assert output == [*5 * [changed], f"{changed}; needs a restart: sources.pipe"]


@pytest.fixture
def long(tmp_path: Path) -> dict[str, Any]:
    """A recording at the speed of time with an event that does not end."""
    audio = tones([("high", 0.1, 99.0)], duration_s=99.0)
    return recording(tmp_path / "long.wav", audio, paced=True)


def test_events_of_a_source_that_is_removed_end(
    bundle: Path,
    long: dict[str, Any],
    undisturbed: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def then(run: Running) -> list[AnyMessage]:
        messages = run.until(("source", "long"), ("kind", Kind.UPDATE))
        return messages + run.reload(configure(bundle, [PIPE], detect=OFTEN))

    messages = heard_by(configure(bundle, [long, PIPE], detect=OFTEN), monkeypatch, then)
    ((label, _, offset_s),) = spans(events(messages, "long"))
    assert label == "high"
    assert events(messages, "long")[-1].reason is Reason.RELOAD
    last = statuses(messages, "long")[-1]
    assert last.state is SourceState.ENDED
    assert last.position is not None
    assert offset_s == pytest.approx(last.position.seconds, abs=0.1)
    assert content(events(messages, "pipe")) == undisturbed


def test_a_source_that_is_changed_begins_anew(
    bundle: Path,
    tmp_path: Path,
    long: dict[str, Any],
    undisturbed: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = recording(tmp_path / "new.wav", tones([("mid", 0.3, 0.7)], duration_s=1.0))

    def then(run: Running) -> list[AnyMessage]:
        messages = run.until(("source", "room"), ("kind", Kind.UPDATE))
        changed = configure(bundle, [new | {"name": "room"}, PIPE], detect=OFTEN)
        return messages + run.reload(changed)

    config = configure(bundle, [long | {"name": "room"}, PIPE], detect=OFTEN)
    messages = heard_by(config, monkeypatch, then)
    found = [event for event in events(messages, "room") if event.kind is not Kind.UPDATE]
    assert [(e.label, e.kind, e.reason) for e in found] == [
        ("high", Kind.ONSET, None),
        ("high", Kind.OFFSET, Reason.RELOAD),
        ("mid", Kind.ONSET, None),
        ("mid", Kind.OFFSET, Reason.SILENCE),
    ]
    assert_close(spans(found)[-1:], [("mid", 0.3, 0.7)])
    assert len({e.event_id for e in found}) == 2
    assert daemon_states(messages)[1] == (DaemonState.RELOADED, "sources changed: room")
    assert content(events(messages, "pipe")) == undisturbed


def test_the_only_source_may_be_replaced(
    bundle: Path, tmp_path: Path, long: dict[str, Any]
) -> None:
    new = recording(tmp_path / "new.wav", tones([("mid", 0.3, 0.7)], duration_s=1.0))
    with running(configure(bundle, [long])) as run:
        messages = run.until(("kind", Kind.ONSET))
        messages += run.reload(configure(bundle, [new]))
        messages += run.until_stopped()
    assert run.exit_code == 0
    assert [label for label, _, _ in spans(events(messages))] == ["high", "mid"]
    assert daemon_states(messages)[-1] == (DaemonState.STOPPED, "every source has ended")


def test_only_the_class_with_another_threshold_notices(
    bundle: Path, undisturbed: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def then(run: Running) -> list[AnyMessage]:
        detect = {"classes": {"mid": {"enter": 0.4, "exit": 0.4}}, "update_every_s": 0.2}
        return run.reload(configure(bundle, [PIPE], detect=detect))

    found = events(heard_by(configure(bundle, [PIPE]), monkeypatch, then))
    assert_close(spans([e for e in found if e.label == "low"]), [SPANS[0], SPANS[2]])
    others = [event for event in found if event.label != "mid" and event.kind is not Kind.UPDATE]
    assert content(others) == [event for event in undisturbed if event[1] != "mid"]
    (_, first, second, _) = [e for e in found if e.label == "mid" and e.kind is not Kind.UPDATE]
    assert first.reason is Reason.RELOAD
    assert first.offset is not None
    assert second.onset.sample == first.offset.sample, "not a frame between them"
    assert second.event_id != first.event_id
    assert any(event.kind is Kind.UPDATE for event in found)


def test_classes_are_switched_off_and_on_with_their_open_events(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def then(run: Running) -> list[AnyMessage]:
        off = {"classes": {"mid": {"enabled": False}}}
        messages = run.reload(configure(bundle, [PIPE], detect=off))
        assert [(e.label, e.kind, e.reason) for e in events(messages)][-1:] == [
            ("mid", Kind.OFFSET, Reason.RELOAD)
        ]
        return messages + run.reload(configure(bundle, [PIPE]))

    found = events(heard_by(configure(bundle, [PIPE]), monkeypatch, then))
    mids = [(e.kind, e.reason) for e in found if e.label == "mid"]
    assert mids == [
        (Kind.ONSET, None),
        (Kind.OFFSET, Reason.RELOAD),
        (Kind.ONSET, None),
        (Kind.OFFSET, Reason.SILENCE),
    ]
    assert len(spans(found)) == 5


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A bundle with a longer chunk and other classes."""
    return make_bundle(
        tmp_path / "other",
        classes=("low", "mid"),
        members=(ToneMember(sharpness=1.5),),
        chunk_samples=1536,
        name="other",
    )


@pytest.mark.parametrize("latency_frames", [0, 6])
def test_another_bundle_goes_on_with_the_next_sample(
    tmp_path: Path, other: Path, latency_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "tones", latency_frames=latency_frames)

    def then(run: Running) -> list[AnyMessage]:
        messages = run.reload(configure(other, [PIPE]))
        status = run.daemon.status()
        assert status.bundle.name == "other"
        return messages

    messages = heard_by(configure(bundle, [PIPE]), monkeypatch, then)
    found = events(messages)
    ended = [e for e in found if e.reason is Reason.RELOAD]
    assert {(e.label, e.bundle.name) for e in ended} == {("mid", "tones"), ("low", "tones")}
    (at_sample,) = {e.offset.sample for e in ended if e.offset is not None}
    after = found[found.index(ended[-1]) + 1 :]
    assert {e.bundle.name for e in after} == {"other"}
    begun = {e.label: e.onset.sample for e in reversed(after) if e.kind is Kind.ONSET}
    assert begun["mid"] >= at_sample
    assert begun["mid"] - at_sample < 0.1 * SAMPLE_RATE
    assert_close(
        [(label, at_sample / SAMPLE_RATE, end) for label, _, end in spans(after)],
        [("low", at_sample / SAMPLE_RATE, 2.0), ("mid", at_sample / SAMPLE_RATE, 2.6)],
    )
    assert len({e.event_id for e in found}) == len(spans(found)) == 5
    assert daemon_states(messages)[1][1] == "bundle: other 1 on CPUExecutionProvider"
    position = statuses(messages, "pipe")[-1].position
    assert position is not None
    assert position.sample == len(AUDIO)


@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        ({"detect": {"classes": {"lwo": {"enter": 0.4}}}}, "no class of bundle 'tones'"),
        ({"bundle": "nowhere"}, "nowhere"),
        ({"sources": [PIPE, {"type": "file", "name": "a", "path": "gone.wav"}]}, "no such file"),
        (None, "queue_s: input should be"),
    ],
)
def test_a_wrong_configuration_changes_nothing(
    bundle: Path,
    undisturbed: list[tuple[Any, ...]],
    mistake: dict[str, Any] | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = configure(bundle, [PIPE])

    def then(run: Running) -> list[AnyMessage]:
        if mistake is None:

            def reread() -> Config:
                raise ConfigError("config.yaml: queue_s: input should be a number")

            return run.reload(reread)
        changed = {"sources": [PIPE]} | mistake
        sources = changed.pop("sources")
        where = Path(changed.pop("bundle", bundle))
        return run.reload(configure(where, sources, **changed))

    with capture_logs() as logs:
        messages = heard_by(config, monkeypatch, then)
    assert content(events(messages)) == undisturbed
    ((state, why),) = daemon_states(messages)[1:-1]
    assert state is DaemonState.RELOAD_REFUSED
    assert expected in (why or "")
    (line,) = [entry for entry in logs if entry["event"] == "reload_refused"]
    assert line["reason"] == why


def test_what_a_refused_reload_had_opened_is_closed(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = recording(tmp_path / "good.wav", AUDIO)
    gone = {"type": "file", "name": "gone", "path": "gone.wav"}

    def then(run: Running) -> list[AnyMessage]:
        messages = run.reload(configure(bundle, [PIPE, good, gone]))
        for thread in threading.enumerate():
            if thread.name == "read good":
                thread.join(PATIENCE_S)
                assert not thread.is_alive()
        return messages

    messages = heard_by(configure(bundle, [PIPE]), monkeypatch, then)
    assert daemon_states(messages)[1][0] is DaemonState.RELOAD_REFUSED


def test_a_bundle_of_another_rate_needs_a_restart(
    bundle: Path,
    tmp_path: Path,
    undisturbed: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    manifest = (other / "manifest.yaml").read_text("utf-8")
    assert "sample_rate: 16000" in manifest
    (other / "manifest.yaml").write_text(manifest.replace("rate: 16000", "rate: 8000"), "utf-8")
    messages = heard_by(
        configure(bundle, [PIPE]),
        monkeypatch,
        lambda run: run.reload(configure(other, [PIPE])),
    )
    assert content(events(messages)) == undisturbed
    assert "8000 Hz" in (daemon_states(messages)[1][1] or "")


def test_a_reader_that_hangs_does_not_hold_the_reload_up(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsed.service.reload._LEAVE_S", 0.3)
    monkeypatch.setattr("streamsed.service.daemon._JOIN_S", 0.1)
    stuck = recording(tmp_path / "stuck.wav", tones([("low", 0.3, 3.0)], duration_s=3.0))
    fine = recording(tmp_path / "fine.wav", tones([("mid", 0.1, 0.5)], duration_s=1.0))
    with hanging("stuck", monkeypatch) as hangs, running(configure(bundle, [stuck])) as run:
        assert hangs.wait(PATIENCE_S)
        messages = run.until(("kind", Kind.ONSET))
        messages += run.reload(configure(bundle, [fine]))
        messages += run.until_stopped()
    assert run.exit_code == 0
    assert_close(spans(events(messages)), [("mid", 0.1, 0.5), ("low", 0.3, 1.0)])
    assert events(messages, "stuck")[-1].reason is Reason.RELOAD


def test_a_stop_does_not_wait_for_a_reload(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release, begun = threading.Event(), threading.Event()

    def slow(pipeline: Pipeline, config: Config) -> Pipeline:
        begun.set()
        assert release.wait(PATIENCE_S)
        return pipeline

    monkeypatch.setattr(Pipeline, "revised", slow)
    with standard_input(monkeypatch) as put, running(configure(bundle, [PIPE])) as run:
        put(AUDIO)
        run.until(("kind", Kind.ONSET))
        run.daemon.reload()
        assert begun.wait(PATIENCE_S)
        run.daemon.stop("received SIGTERM")
        messages = run.until_stopped()
        release.set()
    assert run.exit_code == 0
    assert DaemonState.RELOADED not in dict(daemon_states(messages))


def test_the_service_manager_is_told(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = tmp_path / "notify"
    with (
        service_manager(address) as manager,
        standard_input(monkeypatch) as put,
        running(configure(bundle, [PIPE]), notifier=Notifier(str(address))) as run,
    ):
        put(tones([], duration_s=1.0))
        manager.until_said("READY")
        run.reload(configure(bundle, [PIPE]))
        reloading = manager.until_said("RELOADING")[-1]
        assert int(reloading["MONOTONIC_USEC"]) > 0
        manager.until_said("READY")
        run.daemon.stop("the test is over")
        run.until_stopped()
        run.daemon._notifier.close()


def test_a_bundle_that_never_comes_back_is_refused_while_detection_goes_on(
    bundle: Path,
    tmp_path: Path,
    undisturbed: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(selftest, "_LONGEST_RUN_S", 0.5)
    endless = changed(make_bundle(tmp_path / "endless"), loop_while("always"))
    messages = heard_by(
        configure(bundle, [PIPE]), monkeypatch, lambda run: run.reload(configure(endless, [PIPE]))
    )
    assert content(events(messages)) == undisturbed
    ((state, why),) = daemon_states(messages)[1:-1]
    assert state is DaemonState.RELOAD_REFUSED
    assert "one step took more than 0.5 s" in (why or "")
