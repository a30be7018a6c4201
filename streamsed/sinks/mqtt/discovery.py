"""Home Assistant discovery: a device for each source, with entities for its classes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from streamsed import __version__
from streamsed.sinks.mqtt.topics import AVAILABLE, NOT_AVAILABLE, OFF, ON, Publication, Topics

_MISSED_LEVELS = 6  # after which a level is unknown


def discovery(
    topics: Topics,
    *,
    prefix: str,
    sources: Sequence[str],
    classes: Sequence[str],
    level_every_s: float,
) -> list[Publication]:
    """Return what makes Home Assistant show the sources.

    Args:
        topics: where states are published.
        prefix: of discovery topics, as configured in Home Assistant.
        sources: their names.
        classes: labels whose events are published.
        level_every_s: interval of levels; 0 for none.
    """
    found: list[tuple[str, str, str, dict[str, Any]]] = []
    for source in sources:
        device = _device(topics, source)
        found += [
            ("binary_sensor", source, f"class {label}", device | _class(topics, source, label))
            for label in classes
        ]
        found.append(("sensor", source, "last event", device | _last_event(topics, source)))
        if level_every_s:
            level = _level(topics, source, level_every_s)
            found.append(("sensor", source, "level", device | level))
    return [
        Publication(
            f"{prefix}/{component}/{_id(topics.base)}/{_id(source, entity)}/config",
            json.dumps(
                config | {"unique_id": _id(topics.base, source, entity)}, ensure_ascii=False
            ),
        )
        for component, source, entity, config in found
    ]


def friendly_name(label: str) -> str:
    """Return a label for people: ``Alarm_bell_ringing`` becomes ``Alarm bell ringing``."""
    return label.replace("_", " ").strip() or label


def _device(topics: Topics, source: str) -> dict[str, Any]:
    return {
        "device": {
            "identifiers": [_id(topics.base, source)],
            "name": friendly_name(source),
            "manufacturer": "streamsed",
            "model": "Sound event detection",
            "sw_version": __version__,
        },
        "origin": {"name": "streamsed", "sw_version": __version__},
        "availability": [
            {
                "topic": topic,
                "payload_available": AVAILABLE,
                "payload_not_available": NOT_AVAILABLE,
            }
            for topic in (topics.daemon, topics.source(source))
        ],
        "availability_mode": "all",
        "qos": 1,
    }


def _class(topics: Topics, source: str, label: str) -> dict[str, Any]:
    return {
        "name": friendly_name(label),
        "device_class": "sound",
        "state_topic": topics.state(source, label),
        "payload_on": ON,
        "payload_off": OFF,
        "json_attributes_topic": topics.event(source, label),
    }


def _last_event(topics: Topics, source: str) -> dict[str, Any]:
    return {
        "name": "Last event",
        "icon": "mdi:ear-hearing",
        "state_topic": topics.last_event(source),
        "value_template": "{{ value_json.label | replace('_', ' ') }}",
        "json_attributes_topic": topics.last_event(source),
    }


def _level(topics: Topics, source: str, every_s: float) -> dict[str, Any]:
    # No device class: `sound_pressure` is of dB and dBA, and this is relative to full scale.
    return {
        "name": "Sound level",
        "icon": "mdi:volume-high",
        "state_topic": topics.level(source),
        "value_template": "{{ value_json.rms_dbfs }}",
        "unit_of_measurement": "dBFS",
        "state_class": "measurement",
        "suggested_display_precision": 1,
        "expire_after": round(max(_MISSED_LEVELS * every_s, 10.0)),
    }


def _id(*parts: str) -> str:
    """Join parts to an id of letters, digits, ``_`` and ``-``; other parts give another."""
    text = " ".join(parts)
    made = re.sub(r"[^A-Za-z0-9_-]+", "_", text)
    readable = all(re.fullmatch(r"[A-Za-z0-9-]+", part) for part in parts)
    if readable and len(parts) == 1:
        return made
    return f"{made[:100]}_{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:8]}"
