"""The MQTT sink with a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import soundfile
import yaml

from streamsed.detect.events import Kind
from streamsed.errors import SinkError
from streamsed.publish.daemon_status import SinkState
from streamsed.publish.messages import SourceState
from streamsed.sinks.context import SinkContext
from streamsed.sinks.kinds.mqtt import MqttSink
from streamsed.sinks.mqtt.sink import Mqtt
from tests.bundles import SAMPLE_RATE, make_bundle, tones
from tests.cli.command import COMMAND, environment, execute
from tests.sinks.broker import PASSWORD, Broker, Messages, running_broker, subscribed_to
from tests.sinks.recording import Recording, event_message, status_message, wait_for
from tests.sockets import PATIENCE_S

ALARM, DOG = "streamsed/kitchen/Alarm_bell_ringing", "streamsed/kitchen/Dog"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    with running_broker(folder) as broker:
        yield broker


@pytest.fixture
def messages(broker: Broker) -> Iterator[Messages]:
    with subscribed_to(broker) as messages:
        yield messages


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    recording = Recording(tmp_path / "state")
    yield recording
    recording.close()


def sink_of(broker: Broker, recording: Recording, **changes: Any) -> Mqtt:
    return Mqtt(MqttSink.model_validate(broker.settings(**changes)), recording.context)


def test_events_states_and_availability(
    broker: Broker, recording: Recording, messages: Messages
) -> None:
    sink = recording.add(sink_of(broker, recording))
    wait_for(lambda: messages.last("streamsed/status") == "online")
    assert messages.last(f"{DOG}/state") == "OFF"
    assert messages.last("streamsed/kitchen/availability") == "offline"
    recording.publish(status_message("kitchen", SourceState.RUNNING))
    wait_for(lambda: messages.last("streamsed/kitchen/availability") == "online")
    event_id = uuid4()
    recording.publish(event_message("kitchen", "Dog", Kind.ONSET, event_id=event_id))
    wait_for(lambda: messages.last(f"{DOG}/state") == "ON")
    recording.publish(event_message("kitchen", "Dog", Kind.OFFSET, event_id=event_id))
    wait_for(lambda: messages.on(f"{DOG}/state")[-2:] == ["ON", "OFF"])
    onset, offset = map(json.loads, messages.on(f"{DOG}/event"))
    assert (onset["kind"], offset["kind"]) == ("onset", "offset")
    assert onset["event_id"] == offset["event_id"] == str(event_id)
    assert onset["seq"] + 1 == offset["seq"] == recording.sequencer.last_seq
    assert json.loads(messages.last("streamsed/kitchen/last_event") or "") == onset
    recording.publish(status_message("kitchen", SourceState.LOST))
    wait_for(lambda: messages.last("streamsed/kitchen/availability") == "offline")
    wait_for(lambda: sink.condition.waiting == 0)
    assert sink.condition.state is SinkState.ON
    sink.close(PATIENCE_S)
    wait_for(lambda: messages.last("streamsed/status") == "offline")
    with subscribed_to(broker, "late") as late:
        wait_for(lambda: late.last("streamsed/status") == "offline")
        retained = {topic for topic, _, retain in late.all if retain}
    assert f"{DOG}/state" in retained
    assert f"{DOG}/event" not in retained


def test_a_broker_that_was_away_gets_all_events_and_the_states_of_now(
    broker: Broker, recording: Recording, messages: Messages
) -> None:
    sink = recording.add(sink_of(broker, recording))
    first = recording.sequencer.last_seq
    old, new = uuid4(), uuid4()
    recording.publish(event_message("kitchen", "Dog", Kind.ONSET, event_id=old))
    wait_for(lambda: messages.last(f"{DOG}/state") == "ON")
    broker.stop()
    wait_for(lambda: sink.condition.state is SinkState.FAILING)
    hour = timedelta(hours=1)
    over = [uuid4() for _ in range(300)]
    recording.publish(
        event_message("kitchen", "Dog", Kind.OFFSET, event_id=old, age=hour),
        *(
            event_message("kitchen", "Alarm_bell_ringing", kind, event_id=event_id, age=hour)
            for event_id in over
            for kind in (Kind.ONSET, Kind.OFFSET)
        ),
        event_message("kitchen", "Dog", Kind.ONSET, event_id=new, age=hour),
    )
    alarms = len(messages.on(f"{ALARM}/state"))
    broker.start()
    wait_for(lambda: sink.condition.waiting == 0)
    last = recording.sequencer.last_seq

    def seqs() -> set[int]:
        events = messages.on(f"{DOG}/event") + messages.on(f"{ALARM}/event")
        return {json.loads(body)["seq"] for body in events}

    wait_for(lambda: seqs() >= set(range(first + 1, last + 1)))
    wait_for(lambda: messages.last("streamsed/status") == "online")
    assert messages.last(f"{DOG}/state") == "ON", "the event that is open now"
    assert set(messages.on(f"{ALARM}/state")[alarms:]) == {"OFF"}, "no alarm of an hour ago"


def test_a_crash_leaves_the_last_will_and_the_next_start_no_state_on(
    broker: Broker, messages: Messages, tmp_path: Path
) -> None:
    recording = tmp_path / "kitchen.wav"
    soundfile.write(recording, tones([("low", 0.5, 290.0)], duration_s=300.0), SAMPLE_RATE)
    config = tmp_path / "config.yaml"
    content: dict[str, Any] = {
        "bundle": str(make_bundle(tmp_path / "bundle")),
        "sources": [{"type": "file", "name": "kitchen", "path": str(recording)}],
        "publish": {"bind": ["tcp://127.0.0.1:*"]},
        "journal": {"path": str(tmp_path / "journal")},
        "sinks": [broker.settings()],
    }
    config.write_text(yaml.safe_dump(content))
    checked = execute("check", "--config", config)
    assert "sink      home: mqtt, delivers to localhost:" in checked.stdout
    command = [*COMMAND, "run", "--config", str(config)]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(command, env=environment(), stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: messages.last("streamsed/kitchen/low/state") == "ON")
        wait_for(lambda: messages.last("streamsed/kitchen/availability") == "online")
        wait_for(lambda: messages.under("streamsed/kitchen/level"))
        assert "rms_dbfs" in messages.under("streamsed/kitchen/level")["streamsed/kitchen/level"]
        os.kill(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_S)
        wait_for(lambda: messages.last("streamsed/status") == "offline")
    finally:
        process.kill()
        process.wait(PATIENCE_S)
    soundfile.write(recording, tones([], duration_s=300.0), SAMPLE_RATE)
    process = subprocess.Popen(command, env=environment(), stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: messages.last("streamsed/status") == "online")
        assert messages.last("streamsed/kitchen/low/state") == "OFF"
        kinds = lambda: [json.loads(b) for b in messages.on("streamsed/kitchen/low/event")]  # noqa: E731
        wait_for(lambda: kinds()[-1]["reason"] == "interrupted")
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        wait_for(lambda: messages.last("streamsed/status") == "offline")
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        log.close()
    assert PASSWORD not in (tmp_path / "log").read_text() + checked.stdout + checked.stderr


def test_what_goes_from_the_configuration_goes_from_the_broker(
    broker: Broker, recording: Recording, messages: Messages
) -> None:
    sink = recording.add(sink_of(broker, recording))
    wait_for(lambda: messages.last("streamsed/status") == "online")
    before = messages.under("homeassistant/")
    assert len(before) == 4
    recording.classes = ("Dog",)
    sink.wake()
    wait_for(lambda: len(messages.under("homeassistant/")) == 3)
    wait_for(lambda: messages.last(f"{ALARM}/state") == "")
    sink.close(PATIENCE_S)

    recording.sources = ("door",)
    recording.add(sink_of(broker, recording))

    def devices() -> list[str]:
        return [c["device"]["name"] for c in messages.under("homeassistant/").values()]

    wait_for(lambda: devices() == ["door"] * 3)
    wait_for(lambda: messages.last("streamsed/kitchen/availability") == "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"password_file": None, "password": "wrong"}, "ot authori"),
        ({"password_file": "/nonexistent/password"}, "/nonexistent/password: No such file"),
        ({"ca": None}, "its certificate is not valid here"),
        ({"ca": "/nonexistent/ca.pem"}, "/nonexistent/ca.pem: no usable certificate"),
        ({"host": "127.0.0.1"}, "its certificate is not valid here"),
        ({"port": 9}, "localhost:9: Connection refused"),
        ({"host": "nowhere.invalid"}, "nowhere.invalid:"),
    ],
)
def test_a_broker_that_cannot_be_used_gets_one_clear_line(
    broker: Broker, changes: dict[str, Any], reason: str
) -> None:
    config = MqttSink.model_validate(broker.settings(**changes))
    with pytest.raises(SinkError, match=reason) as raised:
        Mqtt(config, SinkContext()).probe()
    assert "\n" not in str(raised.value)
    assert "wrong" not in repr(config)
