"""The daemon: from recordings and pipes to messages on a real socket."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from streamsed.detect.events import Kind, Reason
from streamsed.errors import PublishError, SourceError
from streamsed.publish.messages import DaemonState, Heartbeat, SourceState
from streamsed.publish.schema import SCHEMA_FILE
from streamsed.service.daemon import Daemon
from streamsed.service.detection import DetectionLoop
from streamsed.service.pipeline import Pipeline
from tests.bundles import SAMPLE_RATE, tones
from tests.publish.journals import prepare
from tests.service.daemons import (
    PIPE,
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
from tests.service.holding import Given, held_at, standard_input
from tests.sockets import PATIENCE_S, AnyMessage, receive_until


@pytest.fixture(autouse=True)
def _numbers_from_one(state_of_its_own: Path) -> None:
    prepare(state_of_its_own)


TWO_EVENTS = [("low", 0.5, 1.0), ("high", 1.4, 2.0)]


def test_a_recording_becomes_onsets_and_offsets(bundle: Path, tmp_path: Path) -> None:
    source = recording(tmp_path / "kitchen.wav", tones(TWO_EVENTS, duration_s=2.5))
    with running(configure(bundle, [source])) as run:
        messages = run.until_stopped()
    assert run.exit_code == 0
    found = events(messages)
    assert_close(spans(found), TWO_EVENTS)
    assert {event.reason for event in found if event.kind is Kind.OFFSET} == {Reason.SILENCE}
    assert {event.latency_ms for event in found} == {None}, "a recording has no latency"
    assert found[0].topic == b"event/kitchen/low/"
    assert found[0].bundle.name == "tones"
    assert states(messages, "kitchen") == [
        SourceState.CONNECTING,
        SourceState.RUNNING,
        SourceState.ENDED,
    ]
    assert daemon_states(messages) == [
        (DaemonState.STARTED, None),
        (DaemonState.STOPPED, "every source has ended"),
    ]
    numbered = [m.seq for m in messages if not isinstance(m, Heartbeat)]
    assert numbered == list(range(1, len(numbered) + 1)), "nothing lost, nothing twice"
    end = statuses(messages)[-1].position
    assert end is not None
    assert end.sample == 2.5 * SAMPLE_RATE


def test_what_is_sent_satisfies_the_committed_schema(bundle: Path, tmp_path: Path) -> None:
    # At the speed of time, so that there is time for a heartbeat.
    source = recording(tmp_path / "a.wav", tones([("low", 0.2, 0.5)], duration_s=0.8), paced=True)
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text("utf-8")))
    seen = set()
    with running(configure(bundle, [source])) as run:
        stopped = False
        while not stopped:
            frames = run.subscriber.receive_frames(PATIENCE_S)
            assert frames is not None
            content = json.loads(frames[1])
            validator.validate(content)
            seen.add(content["schema"])
            stopped = content.get("state") == "stopped"
    assert seen == {f"streamsed.{kind}/1" for kind in ("event", "status", "daemon", "heartbeat")}


def test_several_sources_at_once(bundle: Path, tmp_path: Path) -> None:
    expected = {
        f"room{i}": [(label, 0.3 + 0.1 * i, 1.1 + 0.1 * i)]
        for i, label in enumerate(["low", "mid", "high", "low", "mid"])
    }
    sources = [
        recording(tmp_path / f"{name}.flac", tones(spans_, duration_s=2.0 + 0.3 * i))
        for i, (name, spans_) in enumerate(expected.items())
    ]
    with running(configure(bundle, sources, max_batch=3)) as run:
        messages = run.until_stopped()
    assert run.exit_code == 0
    for name, wanted in expected.items():
        assert_close(spans(events(messages, name)), wanted)
    assert len({event.event_id for event in events(messages)}) == len(expected)


def test_heard_in_real_time_has_a_latency(bundle: Path, tmp_path: Path) -> None:
    source = recording(tmp_path / "a.wav", tones([("mid", 0.2, 0.6)], duration_s=1), paced=True)
    with running(configure(bundle, [source])) as run:
        messages = run.until_stopped()
    for event in events(messages):
        moment = event.offset or event.onset
        assert event.latency_ms is not None
        elapsed_ms = (event.published - moment.utc).total_seconds() * 1e3
        assert event.latency_ms == pytest.approx(elapsed_ms, abs=2)
        assert event.latency_ms > 0, "published before it was recorded"
    assert len(events(messages)) == 2


def test_updates_and_classes_switched_off(bundle: Path, tmp_path: Path) -> None:
    audio = tones([("low", 0.2, 1.8), ("high", 0.5, 1.0)], duration_s=2.0)
    detect = {"update_every_s": 0.5, "classes": {"high": {"enabled": False}}}
    with running(configure(bundle, [recording(tmp_path / "a.wav", audio)], detect=detect)) as run:
        messages = run.until_stopped()
    kinds = [event.kind for event in events(messages)]
    assert kinds == [Kind.ONSET, Kind.UPDATE, Kind.UPDATE, Kind.UPDATE, Kind.OFFSET]
    assert {event.label for event in events(messages)} == {"low"}
    assert len({event.event_id for event in events(messages)}) == 1


def test_heartbeats_tell_how_every_source_is(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = recording(tmp_path / "done.wav", tones([], duration_s=0.5))

    def all_heard(message: AnyMessage) -> bool:
        if not isinstance(message, Heartbeat):
            return False
        done, pipe = message.sources
        assert (done.source, pipe.source) == ("done", "pipe")
        # The pipe may keep back less than a block.
        received = pipe.position is not None and pipe.position.sample > 0.9 * SAMPLE_RATE
        return received and done.state is SourceState.ENDED and message.last_seq > 0

    with (
        standard_input(monkeypatch) as put,
        running(configure(bundle, [source, PIPE])) as run,
    ):
        put(tones([], duration_s=1.0))
        message = receive_until(run.subscriber, all_heard)[-1]
    assert isinstance(message, Heartbeat)
    assert message.sources[1].state is SourceState.RUNNING
    assert message.provider == "CPUExecutionProvider"

    assert message.uptime_s > 0


def test_stopping_ends_open_events_and_says_so(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standard_input(monkeypatch) as put, running(configure(bundle, [PIPE])) as run:
        put(tones([("low", 0.5, 9.0)], duration_s=1.5))
        messages = run.until(("kind", Kind.ONSET))
        run.daemon.stop("received SIGTERM")
        messages += run.until_stopped()
    assert run.exit_code == 0
    # How much of the tone was read before the stop is a matter of luck: it ends with that.
    last = statuses(messages, "pipe")[-1]
    assert last.position is not None
    assert 0.5 < last.position.seconds <= 1.5
    assert_close(spans(events(messages)), [("low", 0.5, last.position.seconds)])
    assert events(messages)[-1].reason is Reason.SHUTDOWN
    assert daemon_states(messages)[1:] == [
        (DaemonState.STOPPING, "received SIGTERM"),
        (DaemonState.STOPPED, "received SIGTERM"),
    ]
    assert states(messages, "pipe")[-1] is SourceState.ENDED


def test_stopping_does_not_wait_for_all_that_is_queued(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits when the time to drain is over is given up; the open event still ends."""
    monkeypatch.setattr("streamsed.service.daemon._DRAIN_S", 0.05)
    config = configure(bundle, [PIPE])
    pipeline = Pipeline.of(config)
    audio = tones([("low", 0.2, 99.0)], duration_s=4.0)
    discarded, discard = threading.Event(), DetectionLoop.discard

    def observed(detection: DetectionLoop) -> None:
        discard(detection)
        discarded.set()

    monkeypatch.setattr(DetectionLoop, "discard", observed)
    with (
        standard_input(monkeypatch) as put,
        held_at(20, pipeline, monkeypatch) as held,
        running(config) as run,
    ):
        put(audio)
        assert held.reached.wait(PATIENCE_S)
        run.daemon.stop("received SIGTERM")
        assert discarded.wait(PATIENCE_S)
        run.daemon.sessions[0].join(PATIENCE_S)  # its reader was stopped
        held.release.set()
        messages = run.until_stopped()
    assert run.exit_code == 0
    ((_, _, offset_s),) = spans(events(messages))
    assert 1.2 < offset_s < 3.5
    assert events(messages)[-1].reason is Reason.SHUTDOWN


def test_stopping_while_detection_hangs_says_so(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsed.service.daemon._DRAIN_S", 0.05)
    monkeypatch.setattr("streamsed.service.daemon._GIVE_UP_S", 0.05)
    monkeypatch.setattr("streamsed.service.daemon._HUNG_S", 0.05)
    config = configure(bundle, [PIPE])
    pipeline = Pipeline.of(config)
    with (
        standard_input(monkeypatch) as put,
        held_at(20, pipeline, monkeypatch) as held,
        running(config) as run,
    ):
        put(tones([("low", 0.3, 9.0)], duration_s=3.0))
        assert held.reached.wait(PATIENCE_S)
        run.daemon.stop("received SIGTERM")
        messages = run.until_stopped()
    assert run.exit_code == 1
    assert "hangs" in (daemon_states(messages)[-1][1] or "")
    ((label, onset_s, offset_s),) = spans(events(messages))
    assert label == "low"
    assert onset_s < 0.4 < offset_s
    assert events(messages)[-1].reason is Reason.INTERRUPTED


def test_a_source_that_fails_costs_the_others_nothing(bundle: Path, tmp_path: Path) -> None:
    good = recording(tmp_path / "good.wav", tones(TWO_EVENTS, duration_s=2.5))
    broken = recording(tmp_path / "broken.wav", tones([("mid", 0.5, 2.5)], duration_s=3.0))
    whole = (tmp_path / "broken.wav").read_bytes()
    (tmp_path / "broken.wav").write_bytes(whole[: len(whole) // 2])
    with running(configure(bundle, [good, broken])) as run:
        messages = run.until_stopped()
    assert run.exit_code == 1
    assert_close(spans(events(messages, "good")), TWO_EVENTS)
    assert_close(spans(events(messages, "broken")), [("mid", 0.5, 1.5)])
    assert events(messages, "broken")[-1].reason is Reason.SOURCE_LOST
    assert states(messages, "broken")[-1] is SourceState.LOST
    assert "cut short" in (statuses(messages, "broken")[-1].message or "")
    assert daemon_states(messages)[-1] == (
        DaemonState.STOPPED,
        "every source has ended; lost: broken",
    )


def test_a_source_that_cannot_be_closed_ends_all_the_same(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(source: Any) -> None:
        raise RuntimeError("the driver is stuck")

    monkeypatch.setattr("streamsed.sources.file.AudioFile.close", close)
    source = recording(tmp_path / "kitchen.wav", tones(TWO_EVENTS, duration_s=2.5))
    with capture_logs() as logs, running(configure(bundle, [source])) as run:
        messages = run.until_stopped()
    assert run.exit_code == 0
    assert_close(spans(events(messages)), TWO_EVENTS)
    assert states(messages, "kitchen")[-1] is SourceState.ENDED
    assert "source_close_failed" in {entry["event"] for entry in logs}


def test_overload_drops_the_oldest_audio_and_says_so(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Detection is held while 30 s arrive at once; 4 s of them may wait."""
    config = configure(bundle, [PIPE | {"live": True}], queue_s=4.0)
    pipeline = Pipeline.of(config)
    before, during = [("low", 0.3, 0.7)], [("mid", 5.0, 6.0), ("high", 30.0, 31.0)]
    audio = tones(before + during, duration_s=32.0)
    first = 2 * SAMPLE_RATE
    with (
        standard_input(monkeypatch) as put,
        capture_logs() as logs,
        held_at(20, pipeline, monkeypatch) as held,
        running(config) as run,
    ):
        put(audio[:first])
        assert held.reached.wait(PATIENCE_S)
        put(audio[first:])
        put(None)
        (stream,) = run.daemon.sessions
        stream.join(PATIENCE_S)  # the reader has read all, for nothing holds it up
        held.release.set()
        messages = run.until_stopped()
    assert run.exit_code == 0
    assert_close(spans(events(messages)), [*before, during[1]])
    bursts = [s for s in statuses(messages) if s.overloaded]
    assert len(bursts) == 1
    assert bursts[0].message == "cannot keep up: dropping the oldest audio"
    last = statuses(messages)[-1]
    assert (last.state, last.overload_bursts, last.overloaded) == (SourceState.ENDED, 1, False)
    assert 25 * SAMPLE_RATE < last.dropped_samples < 28 * SAMPLE_RATE
    assert last.dropped_samples == bursts[0].dropped_samples
    lines = [entry for entry in logs if entry["event"] == "overload_begun"]
    assert [(line["source"], line["log_level"]) for line in lines] == [("pipe", "warning")]


def test_when_detection_fails_open_events_still_end(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(bundle, [PIPE])
    pipeline = Pipeline.of(config)
    broken = threading.Event()
    step = pipeline.engine.step

    def failing_step(slots: Any) -> None:
        if broken.is_set():
            raise RuntimeError("the GPU fell off the bus")
        step(slots)

    monkeypatch.setattr(pipeline.engine, "step", failing_step)
    monkeypatch.setattr("tests.service.daemons.Pipeline", Given(pipeline))
    audio = tones([("low", 0.5, 9.0)], duration_s=3.0)
    with standard_input(monkeypatch) as put, running(config) as run:
        put(audio[: 2 * SAMPLE_RATE])
        messages = run.until(("kind", Kind.ONSET))
        broken.set()
        put(audio[2 * SAMPLE_RATE :])
        messages += run.until_stopped()
    assert run.exit_code == 1
    ((label, onset_s, offset_s),) = spans(events(messages))
    assert label == "low"
    assert onset_s < 0.6 < offset_s
    assert events(messages)[-1].reason is Reason.INTERRUPTED
    assert "the GPU fell off the bus" in (daemon_states(messages)[-1][1] or "")


def test_values_that_are_no_samples_are_told(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = tones(TWO_EVENTS, duration_s=2.5)
    audio[100:200] = np.nan
    with standard_input(monkeypatch) as put, running(configure(bundle, [PIPE])) as run:
        put(audio)
        put(None)
        messages = run.until_stopped()
    assert run.exit_code == 0
    assert_close(spans(events(messages)), TWO_EVENTS)
    assert statuses(messages)[-1].bad_samples == 100
    assert any("no samples" in (s.message or "") for s in statuses(messages))


def test_scores_that_are_no_numbers_are_logged_once(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(bundle, [recording(tmp_path / "a.wav", tones(TWO_EVENTS, duration_s=2.5))])
    pipeline = Pipeline.of(config)
    scores, calls = pipeline.engine.scores, itertools.count(1)

    def failing(member: str) -> NDArray[np.float32]:
        found = scores(member).copy()
        if next(calls) in {5, 7, 9}:
            found[:] = np.nan
        return found

    monkeypatch.setattr(pipeline.engine, "scores", failing)
    monkeypatch.setattr("tests.service.daemons.Pipeline", Given(pipeline))
    with capture_logs() as logs, running(config) as run:
        run.until_stopped()
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [entry["event"] for entry in warnings] == ["bad_scores_begun", "source_trouble_in_all"]
    assert (warnings[1]["source"], warnings[1]["bad_steps"]) == ("a", 3)


def test_what_the_device_complained_of_is_logged_at_the_end(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = {"input_overflow": 2, "input_underflow": 0}
    monkeypatch.setattr("streamsed.sources.file.AudioFile.status_flags", flags, raising=False)
    source = recording(tmp_path / "a.wav", tones([], duration_s=0.5))
    with capture_logs() as logs, running(configure(bundle, [source])) as run:
        run.until_stopped()
    (warning,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert warning["input_overflow"] == 2
    assert "input_underflow" not in warning


def test_an_empty_pipe_is_a_lost_source(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_input(monkeypatch) as put, running(configure(bundle, [PIPE])) as run:
        put(None)
        messages = run.until_stopped()
    assert run.exit_code == 1
    assert "standard input was empty" in (statuses(messages)[-1].message or "")


def test_a_source_that_cannot_be_opened_stops_the_start(bundle: Path, tmp_path: Path) -> None:
    good = recording(tmp_path / "good.wav", tones([], duration_s=1.0))
    missing = {"type": "file", "name": "gone", "path": str(tmp_path / "gone.wav")}
    threads = threading.active_count()
    for sources in ([good, missing], [missing, good]):
        config = configure(bundle, sources, publish={"wait_for_subscriber_s": 0.0})
        with pytest.raises(SourceError, match=r"gone\.wav: no such file"):
            Daemon(Pipeline.of(config)).run()
    assert threading.active_count() == threads


def test_an_address_in_use_stops_the_start(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_input(monkeypatch), running(configure(bundle, [PIPE])) as run:
        run.until(("state", DaemonState.STARTED))
        taken = run.daemon.publisher.endpoints[0]
        again = Pipeline.of(configure(bundle, [PIPE], publish={"bind": [taken]}))
        with pytest.raises(PublishError, match="address already in use"):
            Daemon(again)


def test_it_does_not_wait_for_a_subscriber_for_ever(bundle: Path, tmp_path: Path) -> None:
    source = recording(tmp_path / "a.wav", tones([], duration_s=0.2))
    config = configure(bundle, [source], publish={"wait_for_subscriber_s": 0.05})
    with capture_logs() as logs:
        assert Daemon(Pipeline.of(config)).run() == 0
    assert [e for e in logs if e["event"] == "no_subscriber_came"]
