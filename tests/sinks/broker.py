"""A real MQTT broker, and a subscriber that misses nothing."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.sinks.recording import wait_for
from tests.sockets import PATIENCE_S

MOSQUITTO = "/usr/sbin/mosquitto"
USER, PASSWORD = "streamsed", "correct horse"


class Broker:
    """Mosquitto on loopback, with TLS and passwords."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.password_file = folder / "password"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        certificate = authority.issue_cert("localhost")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        self.password_file.write_text(f"{PASSWORD}\n")
        users = folder / "users"
        subprocess.run(
            ["/usr/bin/mosquitto_passwd", "-c", "-b", str(users), USER, PASSWORD], check=True
        )
        users.chmod(0o600)
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\n"
            f"certfile {folder}/server.pem\nkeyfile {folder}/server.pem\n"
            f"allow_anonymous false\npassword_file {users}\n"
            f"persistence true\npersistence_location {folder}/\nmax_queued_messages 0\n"
            "user root\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.folder / "mosquitto.log").open("ab")
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self.folder / "mosquitto.conf")], stdout=log, stderr=log
        )
        log.close()
        wait_for(self._answers)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "type": "mqtt",
            "name": "home",
            "host": "localhost",
            "port": self.port,
            "tls": True,
            "ca": str(self.ca),
            "username": USER,
            "password_file": str(self.password_file),
            "level_every_s": 0.1,
        } | changes


class Messages:
    """What came to a subscriber with a session that outlives the broker."""

    def __init__(self, broker: Broker, client_id: str) -> None:
        self.all: list[tuple[str, str, bool]] = []
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        self._client.username_pw_set(USER, PASSWORD)
        self._client.tls_set_context(ssl.create_default_context(cafile=str(broker.ca)))
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda *_: self._client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._client.connect("localhost", broker.port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)

    def _take(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del client, userdata
        self.all.append((message.topic, message.payload.decode(), bool(message.retain)))

    def on(self, topic: str) -> list[str]:
        return [payload for name, payload, _ in list(self.all) if name == topic]

    def last(self, topic: str) -> str | None:
        return (self.on(topic) or [None])[-1]

    def under(self, prefix: str) -> dict[str, Any]:
        """The last JSON on each topic below a prefix; removed ones are left out."""
        last = {t: p for t, p, _ in list(self.all) if t.startswith(prefix)}
        return {t: json.loads(p) for t, p in last.items() if p}

    def until(self, ready: Callable[[], object]) -> None:
        wait_for(ready)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    broker = Broker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def subscribed_to(broker: Broker, client_id: str = "test") -> Iterator[Messages]:
    messages = Messages(broker, client_id)
    try:
        yield messages
    finally:
        messages.close()
