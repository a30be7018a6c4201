"""Home Assistant discovery, field by field against what Home Assistant documents."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from streamsed.sinks.mqtt.discovery import discovery
from streamsed.sinks.mqtt.topics import Publication, Topics

# From home-assistant.io/integrations/mqtt, binary_sensor.mqtt and sensor.mqtt. Discovery allows
# abbreviations of all of these; none is used, so that a payload can be read with the page at hand.
COMMON: dict[str, type | tuple[type, ...]] = {
    "availability": list,
    "availability_mode": str,
    "device": dict,
    "device_class": str,
    "expire_after": int,
    "icon": str,
    "json_attributes_topic": str,
    "name": str,
    "origin": dict,
    "qos": int,
    "state_topic": str,
    "unique_id": str,
    "value_template": str,
}
FIELDS = {
    "binary_sensor": COMMON | {"payload_on": str, "payload_off": str},
    "sensor": COMMON
    | {"state_class": str, "suggested_display_precision": int, "unit_of_measurement": str},
}
DEVICE = {"identifiers": list, "name": str, "manufacturer": str, "model": str, "sw_version": str}
ORIGIN = {"name": str, "sw_version": str, "support_url": str}
AVAILABILITY = {"topic": str, "payload_available": str, "payload_not_available": str}
TOPIC = re.compile(r"homeassistant/(binary_sensor|sensor)/([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+)/config")

SOURCES = ("kitchen", "door.front", "door_front")
CLASSES = ("Alarm_bell_ringing", "Dog", "a/b", "a+b", "a b", "Türklingel")


def made(**changes: Any) -> list[Publication]:
    options = {"prefix": "homeassistant", "level_every_s": 10.0} | changes
    return discovery(Topics("home/streamsed"), sources=SOURCES, classes=CLASSES, **options)


def holds(content: dict[str, Any], fields: dict[str, Any]) -> None:
    for key, value in content.items():
        assert isinstance(value, fields[key]), key


@pytest.mark.parametrize("publication", made(), ids=lambda p: p.topic)
def test_every_field_is_documented(publication: Publication) -> None:
    found = TOPIC.fullmatch(publication.topic)
    assert found
    assert publication.retain
    config = json.loads(publication.payload)
    holds(config, FIELDS[found[1]])
    holds(config["device"], DEVICE)
    holds(config["origin"], ORIGIN)
    for availability in config["availability"]:
        holds(availability, AVAILABILITY)
    assert config["availability_mode"] in ("all", "any", "latest")
    assert {"state_topic", "unique_id", "device", "origin"} <= config.keys()
    assert config["qos"] in (0, 1, 2)
    assert not set(config["state_topic"]) & set("+#")


def test_ids_and_topics_differ() -> None:
    publications = made()
    configs = [json.loads(p.payload) for p in publications]
    assert len({p.topic for p in publications}) == len(publications) == 3 * (6 + 2)
    assert len({c["unique_id"] for c in configs}) == len(configs)
    states = {c["state_topic"] for c in configs}
    assert len(states) == len(configs)
    assert len({c["device"]["identifiers"][0] for c in configs}) == len(SOURCES)


def test_a_class_is_a_binary_sensor_with_a_name_for_people() -> None:
    config = json.loads(made()[0].payload)
    assert config["name"] == "Alarm bell ringing"
    assert config["device_class"] == "sound"
    assert config["device"]["name"] == "kitchen"
    assert config["state_topic"] == "home/streamsed/kitchen/Alarm_bell_ringing/state"
    assert (config["payload_on"], config["payload_off"]) == ("ON", "OFF")
    assert [a["topic"] for a in config["availability"]] == [
        "home/streamsed/status",
        "home/streamsed/kitchen/availability",
    ]


def test_without_levels_there_is_no_level() -> None:
    assert len(made(level_every_s=0.0)) == 3 * (6 + 1)
