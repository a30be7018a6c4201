"""Topics of the MQTT sink, and what is published on them."""

from __future__ import annotations

import re
from dataclasses import dataclass

AVAILABLE, NOT_AVAILABLE = "online", "offline"
ON, OFF = "ON", "OFF"


@dataclass(frozen=True, slots=True)
class Publication:
    """A message for the broker, published with QoS 1.

    Attributes:
        topic: its topic.
        payload: empty removes what is retained on the topic.
        retain: whether the broker keeps it for later subscribers.
    """

    topic: str
    payload: str
    retain: bool = True


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics below a base.

    Attributes:
        base: first part of all of them.
    """

    base: str

    @property
    def daemon(self) -> str:
        """Availability of the daemon; also of its last will."""
        return f"{self.base}/status"

    def source(self, source: str) -> str:
        """Availability of a source."""
        return f"{self.base}/{source}/availability"

    def level(self, source: str) -> str:
        """Level of a source, JSON."""
        return f"{self.base}/{source}/level"

    def last_event(self, source: str) -> str:
        """The latest onset of a source, JSON."""
        return f"{self.base}/{source}/last_event"

    def state(self, source: str, label: str) -> str:
        """Whether an event of a class is open."""
        return f"{self.base}/{source}/{topic_level(label)}/state"

    def event(self, source: str, label: str) -> str:
        """Messages of events, JSON as over ZeroMQ."""
        return f"{self.base}/{source}/{topic_level(label)}/event"


def topic_level(label: str) -> str:
    """Return a label as one level of a topic: what may not stand there as in URLs, ``%2F``."""
    return re.sub(r"[%/+#\x00-\x1f\x7f-\x9f]", lambda found: f"%{ord(found[0]):02X}", label)
