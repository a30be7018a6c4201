"""Sources that are lost and come back: their events, their states, and what others notice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamsed.detect.events import Kind, Reason
from streamsed.publish.messages import SourceState
from tests.bundles import SAMPLE_RATE, tones
from tests.pulse import PulseServer
from tests.service.daemons import (
    PIPE,
    configure,
    events,
    recording,
    running,
    spans,
    states,
    statuses,
)
from tests.service.holding import standard_input
from tests.service.recovery import QUICK, ends, until_state
from tests.sockets import AnyMessage

MICROPHONE = {"type": "microphone", "name": "mic", "device": "pulse", "stall_s": 2.0}


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A recording for a sound server: next to nothing, then a tone for longer than any test."""
    audio = tones([("low", 0.5, 60.0)], duration_s=60.0)
    path = tmp_path / "tone.wav"
    soundfile.write(path, np.stack([audio, audio], axis=1), SAMPLE_RATE)
    return path


def test_a_microphone_is_unplugged_and_comes_back(
    bundle: Path, tone: Path, pulse: PulseServer
) -> None:
    with running(configure(bundle, [MICROPHONE], retry=QUICK)) as run:
        messages = until_state(run, "mic", SourceState.RUNNING)
        pulse.play(tone)
        messages += run.until(("kind", Kind.ONSET))
        pulse.unplug()
        messages += until_state(run, "mic", SourceState.LOST)
        pulse.plug_in()
        messages += until_state(run, "mic", SourceState.RUNNING)
        pulse.play(tone)
        messages += run.until(("kind", Kind.ONSET))
        run.daemon.stop("the test is over")
        messages += run.until_stopped()
    assert ends(messages, "mic") == [
        SourceState.CONNECTING,
        SourceState.RUNNING,
        Reason.SOURCE_LOST,
        SourceState.LOST,
        SourceState.RUNNING,
        Reason.SHUTDOWN,
        SourceState.ENDED,
    ]
    assert len(spans(events(messages))) == 2, "each onset has its offset, under an id of its own"
    for onset in (event for event in events(messages) if event.kind is Kind.ONSET):
        assert onset.latency_ms is not None
        assert 0 < onset.latency_ms < 5_000, "its time is right after a reconnection too"
    lost, back = statuses(messages)[2:4]
    assert "was it unplugged" in (lost.message or "")
    assert back.message is None
    assert back.reconnections == 1
    assert lost.since is not None
    assert back.since is not None
    assert lost.since < back.since


def test_a_microphone_that_is_not_there_yet(bundle: Path, pulse: PulseServer) -> None:
    pulse.unplug()
    with running(configure(bundle, [MICROPHONE], retry=QUICK)) as run:
        messages = until_state(run, "mic", SourceState.LOST)
        pulse.plug_in()
        messages += until_state(run, "mic", SourceState.RUNNING)
    assert states(messages, "mic")[0] is SourceState.CONNECTING
    assert "trying again" in (statuses(messages)[1].message or "")
    assert statuses(messages)[-1].reconnections == 0


def test_a_microphone_is_plugged_in_while_another_is_heard(
    bundle: Path, pulse: PulseServer
) -> None:
    late = MICROPHONE | {"name": "late", "device": "late"}
    with running(configure(bundle, [MICROPHONE, late], retry=QUICK)) as run:
        messages = until_state(run, "late", SourceState.LOST)
        if SourceState.RUNNING not in states(messages, "mic"):
            messages += until_state(run, "mic", SourceState.RUNNING)
        pulse.add_device("late")
        messages += until_state(run, "late", SourceState.RUNNING)
    assert "no input device 'late'" in (statuses(messages, "late")[1].message or "")
    assert states(messages, "mic") == [SourceState.CONNECTING, SourceState.RUNNING]


def test_a_sound_server_that_hangs(bundle: Path, pulse: PulseServer) -> None:
    with running(configure(bundle, [MICROPHONE], retry=QUICK)) as run:
        messages = until_state(run, "mic", SourceState.RUNNING)
        pulse.suspend()
        try:
            messages += until_state(run, "mic", SourceState.STALLED)
        finally:
            pulse.resume()
        messages += until_state(run, "mic", SourceState.RUNNING)
        pulse.suspend()
        try:
            messages += until_state(run, "mic", SourceState.STALLED)
            run.daemon.stop("the test is over")
            messages += run.until_stopped()
        finally:
            pulse.resume()
    assert run.exit_code == 0
    assert "no audio for 2 s" in (statuses(messages)[2].message or "")


def test_a_sound_server_that_plays_nothing_is_digital_silence(
    bundle: Path, tone: Path, pulse: PulseServer
) -> None:
    with running(configure(bundle, [MICROPHONE | {"silence_s": 0.5}])) as run:
        messages = until_state(run, "mic", SourceState.SILENT)
        player = pulse.play(tone)
        messages += until_state(run, "mic", SourceState.RUNNING)
        player.kill()
        messages += until_state(run, "mic", SourceState.SILENT)
    assert "every sample is zero" in (statuses(messages)[-1].message or "")
    assert statuses(messages)[-1].reconnections == 0


def test_a_pipe_that_stalls_ends_its_events_and_goes_on(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = tones([("low", 0.5, 9.0)], duration_s=3.0)
    with (
        standard_input(monkeypatch) as put,
        running(configure(bundle, [PIPE | {"live": True, "stall_s": 0.3}])) as run,
    ):
        put(audio[: 2 * SAMPLE_RATE])
        messages = until_state(run, "pipe", SourceState.STALLED)
        put(audio[2 * SAMPLE_RATE :])
        messages += until_state(run, "pipe", SourceState.RUNNING)
        put(None)
        messages += run.until_stopped()
    assert run.exit_code == 0
    assert [reason for reason in ends(messages, "pipe") if isinstance(reason, Reason)] == [
        Reason.SOURCE_LOST,
        Reason.END_OF_STREAM,
    ]
    first, second = spans(events(messages))
    assert first[2] <= 2.0 <= second[1], "the clock of a pipe goes on"


def test_others_never_notice(bundle: Path, tmp_path: Path, tone: Path, pulse: PulseServer) -> None:
    sounds = [(label, 0.4 * i + 0.1, 0.4 * i + 0.3) for i, label in enumerate(["low", "high"] * 5)]
    good = recording(tmp_path / "good.wav", tones(sounds, duration_s=4.1), paced=True)
    with running(configure(bundle, [good])) as run:
        alone = run.until_stopped()
    with running(configure(bundle, [MICROPHONE, good], retry=QUICK)) as run:
        beside = until_state(run, "mic", SourceState.RUNNING)
        pulse.unplug()
        beside += until_state(run, "mic", SourceState.LOST)
        pulse.plug_in()
        beside += until_state(run, "good", SourceState.ENDED)
        run.daemon.stop("the test is over")
        beside += run.until_stopped()

    def contents(messages: Sequence[AnyMessage]) -> list[str]:
        clocks = {
            "seq": True,
            "event_id": True,
            "latency_ms": True,
            "published": True,
            "onset": {"utc"},
            "offset": {"utc"},
        }
        return [event.model_dump_json(exclude=clocks) for event in events(messages, "good")]

    assert len(contents(alone)) == 2 * len(sounds)
    assert contents(beside) == contents(alone)
