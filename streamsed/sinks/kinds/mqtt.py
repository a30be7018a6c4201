"""``type: mqtt``: an MQTT broker, and Home Assistant through it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from streamsed.sinks.context import SinkContext
from streamsed.sinks.entry import SINKS, SinkEntry
from streamsed.sinks.sink import Sink

_WILD = "+#\0"


class MqttSink(SinkEntry):
    """An MQTT broker: states, events as JSON, availability, and Home Assistant discovery.

    Attributes:
        host: of the broker.
        port: of the broker; by default 1883, or 8883 with ``tls``.
        tls: encrypt, and require a certificate of the broker that is valid for ``host``.
        ca: file with the authorities that may have signed it; null for the system's.
        certificate: file of this client's own certificate; null for none.
        certificate_key: file of its key.
        username: for the broker; null for none.
        password: for the broker; better in a file.
        password_file: file with the password in its first line.
        client_id: by default ``streamsed-`` and the name of the sink.
        keepalive_s: after one and a half times of it without a sign of life the broker publishes
            that the daemon is offline.
        base: first part of all topics but those of discovery.
        discovery: first part of the topics of Home Assistant discovery; null for none.
        level_every_s: interval of the level of each source; 0 for none.
    """

    type: Literal["mqtt"] = "mqtt"
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    client_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    base: Annotated[str, Field(min_length=1)] = "streamsed"
    discovery: Annotated[str, Field(min_length=1)] | None = "homeassistant"
    level_every_s: Annotated[float, Field(ge=0.0, le=3600.0)] = 10.0

    @field_validator("base", "discovery")
    @classmethod
    def _is_a_topic(cls, topic: str | None) -> str | None:
        if topic and (set(topic) & set(_WILD) or topic.startswith(("/", "$")) or topic[-1] == "/"):
            raise ValueError(f"{topic!r} is no topic; such as 'home/streamsed' would be right")
        return topic

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.tls and (self.ca or self.certificate):
            raise ValueError("ca and certificate need tls: true")
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("certificate and certificate_key go together")
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file exclude each other")
        if (self.password or self.password_file) and self.username is None:
            raise ValueError("a password needs a username")
        return self

    def beside(self, file: Path) -> Self:
        """Return it with its paths taken from the folder of ``file``."""
        names = ("ca", "certificate", "certificate_key", "password_file")
        paths = {name: path for name in names if (path := getattr(self, name)) is not None}
        return self.model_copy(
            update={name: file.parent / path.expanduser() for name, path in paths.items()}
        )


@SINKS.register(MqttSink)
def make_mqtt(config: MqttSink, context: SinkContext) -> Sink:
    """Make the sink of a broker."""
    # Imported here: a daemon without this sink loads no MQTT client.
    from streamsed.sinks.mqtt.sink import Mqtt  # noqa: PLC0415

    return Mqtt(config, context)
