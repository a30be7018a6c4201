"""The messages are a contract with other people's programs: every field is pinned here."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import jsonschema
import numpy as np
import pytest
from pydantic import ValidationError

from streamsed.client import parse
from streamsed.detect.events import Kind, Reason, Score, Transition
from streamsed.detect.level import LevelReport
from streamsed.errors import MessageError
from streamsed.publish import message_builders
from streamsed.publish.messages import (
    BundleName,
    DaemonMessage,
    DaemonState,
    EventScore,
    Heartbeat,
    Level,
    SourceCondition,
    SourceState,
    rfc3339,
)
from streamsed.publish.schema import SCHEMA_FILE, render_schema
from streamsed.publish.stream_clock import StreamClock

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BUNDLE = BundleName(name="domestic", version="1")
CLOCK = StreamClock(started_at=STARTED, sample_rate=16000, real_time=True)

NULL = "null"
MOMENT = {"seconds": "number", "sample": "integer", "utc": "date-time"}
SCORE = {"current": "number", "peak": "number", "mean": "number"}
BUNDLE_NAME = {"name": "string", "version": "string"}
CONDITION = {
    "source": "string",
    "state": ["connecting", "running", "silent", "stalled", "lost", "ended"],
    "since": {"date-time", NULL},
    "message": {"string", NULL},
    "position": [MOMENT, NULL],
    "lost_samples": "integer",
    "dropped_samples": "integer",
    "bad_samples": "integer",
    "reconnections": "integer",
    "overload_bursts": "integer",
    "overloaded": "boolean",
}
REASONS = [
    "silence",
    "max_duration",
    "gap",
    "end_of_stream",
    "source_lost",
    "reload",
    "shutdown",
    "interrupted",
]
LEVEL = {
    "end": MOMENT,
    "duration": "number",
    "rms_dbfs": {"number", NULL},
    "peak_dbfs": {"number", NULL},
    "clipped_samples": "integer",
    "digital_silence": "boolean",
    "top": ("array", {"label": "string", "score": "number"}),
}
LOG = {"state": ["on", "degraded"], "message": {"string", NULL}, "dropped_lines": "integer"}
JOURNAL = {"state": ["on", "off", "degraded"], "message": {"string", NULL}}
LATENCY = {"messages": "integer", "p50_s": "number", "p99_s": "number"}
SINK = {
    "name": "string",
    "type": "string",
    "state": ["connecting", "on", "failing"],
    "delivered": "integer",
    "waiting": "integer",
    "missed": "integer",
    "failures": "integer",
    "last_error": {"string", NULL},
}
CONTRACT = {
    "streamsed.event/1": {
        "schema": "streamsed.event/1",
        "kind": ["onset", "update", "offset"],
        "seq": "integer",
        "replay": "boolean",
        "event_id": "uuid",
        "source": "string",
        "label": "string",
        "onset": MOMENT,
        "offset": [MOMENT, NULL],
        "duration": {"number", NULL},
        "score": SCORE,
        "reason": [REASONS, NULL],
        "latency_ms": {"number", NULL},
        "bundle": BUNDLE_NAME,
        "clip": {"string", NULL},
        "published": "date-time",
    },
    "streamsed.status/1": {
        "schema": "streamsed.status/1",
        "seq": "integer",
        "replay": "boolean",
        **CONDITION,
        "published": "date-time",
    },
    "streamsed.daemon/1": {
        "schema": "streamsed.daemon/1",
        "seq": "integer",
        "replay": "boolean",
        "state": ["started", "reloaded", "reload_refused", "stopping", "stopped"],
        "message": {"string", NULL},
        "version": "string",
        "provider": "string",
        "bundle": BUNDLE_NAME,
        "published": "date-time",
    },
    "streamsed.heartbeat/1": {
        "schema": "streamsed.heartbeat/1",
        "last_seq": "integer",
        "interval_s": "number",
        "uptime_s": "number",
        "version": "string",
        "provider": "string",
        "bundle": BUNDLE_NAME,
        "sources": ("array", CONDITION),
        "journal": JOURNAL,
        "log": LOG,
        "requests_answered": "boolean",
        "published": "date-time",
    },
    "streamsed.level/1": {
        "schema": "streamsed.level/1",
        "source": "string",
        **LEVEL,
        "published": "date-time",
    },
    "streamsed.since/1": {
        "schema": "streamsed.since/1",
        "through": "integer",
        "more": "boolean",
        "last_seq": "integer",
        "missing": ("array", {"first": "integer", "last": "integer"}),
        "messages": ("array", {"streamsed.event/1", "streamsed.status/1", "streamsed.daemon/1"}),
    },
    "streamsed.daemon-status/1": {
        "schema": "streamsed.daemon-status/1",
        "version": "string",
        "uptime_s": "number",
        "trouble": {"string", NULL},
        "provider": "string",
        "bundle": BUNDLE_NAME,
        "last_seq": "integer",
        "real_time_factor": {"number", NULL},
        "onset_latency": [LATENCY, NULL],
        "offset_latency": [LATENCY, NULL],
        "sources": ("array", {**CONDITION, "queued_s": "number", "level": [LEVEL, NULL]}),
        "journal": JOURNAL,
        "clips": {"state": ["on", "off", "failing"], "message": {"string", NULL}},
        "log": LOG,
        "sinks": ("array", SINK),
        "asked": "date-time",
    },
    "streamsed.error/1": {"schema": "streamsed.error/1", "error": "string"},
}
CONTRACT["streamsed.active/1"] = {
    "schema": "streamsed.active/1",
    "last_seq": "integer",
    "sources": ("object", ("array", CONTRACT["streamsed.event/1"])),
    "answered": "date-time",
}


def outline(node: dict[str, Any], definitions: dict[str, Any]) -> Any:  # noqa: PLR0911
    """Reduce a JSON Schema to names and types, in the notation of CONTRACT."""
    if "$ref" in node:
        return outline(definitions[node["$ref"].removeprefix("#/$defs/")], definitions)
    if "oneOf" in node:
        return set(node["discriminator"]["mapping"])
    if "additionalProperties" in node:
        return ("object", outline(node["additionalProperties"], definitions))
    if "anyOf" in node:
        parts = [outline(part, definitions) for part in node["anyOf"]]
        return set(parts) if all(isinstance(part, str) for part in parts) else parts
    if "const" in node:
        return node["const"]
    if "enum" in node:
        return node["enum"]
    if node["type"] == "array":
        return ("array", outline(node["items"], definitions))
    if node["type"] == "object":
        assert set(node["required"]) == set(node["properties"]), node["title"]
        return {name: outline(part, definitions) for name, part in node["properties"].items()}
    return node.get("format", node["type"])


def transition(kind: Kind = Kind.OFFSET, **changes: Any) -> Transition:
    fields: dict[str, Any] = {
        "source": "kitchen",
        "kind": kind,
        "number": 7,
        "label": "Running_water",
        "onset_sample": 197632,
        "offset_sample": 213632 if kind is Kind.OFFSET else None,
        "score": Score(current=0.83, peak=0.91, mean=0.78),
        "reason": Reason.SILENCE if kind is Kind.OFFSET else None,
        "decided_sample": 220000,
    }
    return Transition(**(fields | changes))


def payload(
    builder: message_builders.MessageBuilder, seq: int = 1042, published: datetime = STARTED
) -> Any:
    return json.loads(builder(seq, published).frames()[1])


def examples() -> list[Any]:
    """One real message of every kind, as subscribers get them."""
    condition = SourceCondition(
        source="kitchen",
        state=SourceState.LOST,
        message="unplugged",
        position=CLOCK.moment(16000),
        dropped_samples=12,
        overload_bursts=1,
    )
    daemon = DaemonMessage(
        seq=1,
        state=DaemonState.STARTED,
        message=None,
        version="0.1",
        provider="CPUExecutionProvider",
        bundle=BUNDLE,
        published=STARTED,
    )
    heartbeat = Heartbeat(
        last_seq=4,
        interval_s=1.0,
        uptime_s=2.5,
        version="0.1",
        provider="CPUExecutionProvider",
        bundle=BUNDLE,
        sources=(condition,),
        published=STARTED,
    )
    events = [message_builders.event(transition(kind), clock=CLOCK, bundle=BUNDLE) for kind in Kind]
    return [
        *(builder(3, STARTED) for builder in events),
        message_builders.status(condition)(3, STARTED),
        daemon,
        heartbeat,
        *(
            message_builders.level_message("kitchen", level)(STARTED)
            for level in (level(0.5), level(0.0))
        ),
    ]


def level(peak: float) -> Level:
    report = LevelReport(
        source="kitchen",
        end_sample=32000,
        samples=16000,
        energy=16000 * (peak / 2) ** 2,
        peak=peak,
        clipped_samples=0,
        scores=np.array([0.1, 0.7, 0.3, 0.0, 0.9, 0.2, 0.6], np.float32),
    )
    return message_builders.level(report, clock=CLOCK, classes="ABCDEFG")


def test_every_field_and_type_is_pinned() -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    found = {
        name: outline({"$ref": reference}, schema["$defs"])
        for name, reference in schema["discriminator"]["mapping"].items()
    }
    assert found == CONTRACT


def test_the_committed_schema_is_what_the_types_generate() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == render_schema(), (
        "run: python -m streamsed.publish.schema"
    )


@pytest.mark.parametrize("message", examples(), ids=lambda m: f"{m.schema_}-{m.topic.decode()}")
def test_messages_satisfy_the_schema_and_can_be_read_back(message: Any) -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    topic, content = message.frames()
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    validator.validate(json.loads(content))
    assert next(iter(json.loads(content))) == "schema"
    assert parse(content) == message
    assert topic.endswith(b"/")


def test_the_schema_refuses_what_is_no_message() -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    content = json.loads(examples()[0].frames()[1])
    del content["source"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema)


def test_an_offset_message_says_what_the_contract_shows() -> None:
    published = STARTED + timedelta(seconds=13.764)
    found = payload(
        message_builders.event(transition(), clock=CLOCK, bundle=BUNDLE), published=published
    )
    assert found == {
        "schema": "streamsed.event/1",
        "kind": "offset",
        "seq": 1042,
        "replay": False,
        "event_id": str(CLOCK.event_id(7)),
        "source": "kitchen",
        "label": "Running_water",
        "onset": {"seconds": 12.352, "sample": 197632, "utc": "2026-01-02T03:04:17.352Z"},
        "offset": {"seconds": 13.352, "sample": 213632, "utc": "2026-01-02T03:04:18.352Z"},
        "duration": 1.0,
        "score": {"current": 0.83, "peak": 0.91, "mean": 0.78},
        "reason": "silence",
        "latency_ms": 412.0,
        "bundle": {"name": "domestic", "version": "1"},
        "clip": None,
        "published": "2026-01-02T03:04:18.764Z",
    }


def test_an_onset_message_has_no_end_yet() -> None:
    builder = message_builders.event(transition(Kind.ONSET), clock=CLOCK, bundle=BUNDLE)
    found = payload(builder, published=STARTED + timedelta(seconds=12.5))
    assert [found[key] for key in ("offset", "duration", "reason")] == [None] * 3
    assert found["latency_ms"] == pytest.approx(148.0)


@pytest.mark.parametrize(
    ("kind", "real_time"), [(Kind.UPDATE, True), (Kind.ONSET, False), (Kind.OFFSET, False)]
)
def test_latency_is_null_where_it_means_nothing(kind: Kind, real_time: bool) -> None:
    clock = StreamClock(started_at=STARTED, sample_rate=16000, real_time=real_time)
    builder = message_builders.event(transition(kind), clock=clock, bundle=BUNDLE)
    assert payload(builder)["latency_ms"] is None


def test_time_of_a_sample_is_exact_at_hour_40_and_beyond_32_bits() -> None:
    sample = 40 * 3600 * 48000 + 24000
    moment = StreamClock(started_at=STARTED, sample_rate=48000, real_time=True).moment(sample)
    assert sample > 2**32
    assert moment.seconds == 40 * 3600 + 0.5
    assert rfc3339(moment.utc) == "2026-01-03T19:04:05.500Z"


def test_event_ids_tie_the_messages_of_one_event_and_no_others() -> None:
    other = StreamClock(started_at=STARTED, sample_rate=16000, real_time=True)
    ids = {clock.event_id(number) for clock in (CLOCK, other) for number in range(100)}
    assert len(ids) == 200, "another opening of a source counts from 0 again, with other ids"
    assert CLOCK.event_id(7) == CLOCK.event_id(7)
    assert isinstance(CLOCK.event_id(7), UUID)


def test_a_level_message_says_what_the_contract_shows() -> None:
    message = message_builders.level_message("kitchen", level(0.5))(STARTED)
    topic, content = message.frames()
    assert topic == b"status/kitchen/level/"
    assert json.loads(content) == {
        "schema": "streamsed.level/1",
        "source": "kitchen",
        "end": {"seconds": 2.0, "sample": 32000, "utc": "2026-01-02T03:04:07.000Z"},
        "duration": 1.0,
        "rms_dbfs": -12.04,
        "peak_dbfs": -6.02,
        "clipped_samples": 0,
        "digital_silence": False,
        "top": [
            {"label": "E", "score": 0.9},
            {"label": "B", "score": 0.7},
            {"label": "G", "score": 0.6},
            {"label": "C", "score": 0.3},
            {"label": "F", "score": 0.2},
        ],
        "published": "2026-01-02T03:04:05.000Z",
    }
    silent = level(0.0)
    assert (silent.rms_dbfs, silent.peak_dbfs, silent.digital_silence) == (None, None, True)


def test_times_are_written_in_utc_with_milliseconds() -> None:
    local = datetime(2026, 1, 2, 5, 4, 5, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(local) == "2026-01-02T03:04:05.123Z"
    assert re.fullmatch(r"[\d:T.-]{23}Z", rfc3339(STARTED))


def test_a_score_outside_0_to_1_is_never_published() -> None:
    for score in (1.5, -0.1, float("nan")):
        with pytest.raises(ValidationError):
            EventScore(current=score, peak=0.5, mean=0.5)


def test_a_reader_ignores_fields_that_it_does_not_know() -> None:
    content = json.loads(examples()[0].frames()[1]) | {"added_later": 1}
    assert parse(json.dumps(content).encode()) == examples()[0]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"{}", b'{"schema": "streamsed.event/9"}', b"[1]"]
)
def test_what_is_no_message_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        parse(content)
    assert "\n" not in str(caught.value)
