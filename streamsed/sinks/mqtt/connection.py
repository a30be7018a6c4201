"""Connection to an MQTT broker: publishes with QoS 1, and waits for what is acknowledged."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streamsed.errors import SinkError
from streamsed.sinks.kinds.mqtt import MqttSink
from streamsed.sinks.mqtt.topics import NOT_AVAILABLE, Publication

_CONNECT_S = 5.0  # to open the connection, and again for the broker to accept it
_ACKNOWLEDGED_S = 20.0  # without any acknowledgement; then the broker is taken to hang
_IN_FLIGHT = 100
_LONGEST_PASSWORD_BYTES = 4096


class Connection:
    """One connection, from opening to loss; afterwards another is made.

    The client's own thread reads and writes the socket, and calls back.
    """

    def __init__(
        self, config: MqttSink, *, will: str | None, client_id: str, on_lost: Callable[[], None]
    ) -> None:
        """Connect, and wait until the broker accepts it.

        Args:
            config: of the sink.
            will: topic of the last will; None for none.
            client_id: of the client; the broker closes an older connection with the same.
            on_lost: called, in the client's thread, when the connection is lost.

        Raises:
            SinkError: that failed; why.
        """
        self._where = f"{config.host}:{port_of(config)}"
        self._changed = threading.Condition()
        self._accepted: ReasonCode | None = None
        self._lost: str | None = None
        self._ending = False
        self._acknowledged: set[int] = set()
        self._awaited = 0
        self._on_lost = on_lost
        self._client = _client(config, client_id)
        if will is not None:
            self._client.will_set(will, NOT_AVAILABLE, qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_publish = self._published
        try:
            self._client.connect(config.host, port_of(config), keepalive=config.keepalive_s)
        except (OSError, ValueError) as error:
            raise SinkError(f"{self._where}: {_reason(error)}") from error
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._accepted or self._lost, timeout=_CONNECT_S)
        if self._accepted is None or self._accepted.is_failure:
            answer = self._accepted or self._lost or "no answer to the connection request"
            self.close()
            raise SinkError(f"{self._where}: {answer}")

    @property
    def lost(self) -> str | None:
        """Why it was lost; None if it was not."""
        return self._lost

    def publish(
        self, publications: Sequence[Publication], *, timeout_s: float = _ACKNOWLEDGED_S
    ) -> int:
        """Publish with QoS 1, and wait until the broker has acknowledged all.

        Args:
            publications: in order.
            timeout_s: the longest time without an acknowledgement.

        Returns:
            How many were acknowledged, counted from the first without a hole: all, or else the
            connection is lost or the broker hangs, and should be given up.
        """
        numbers = []
        for publication in publications:
            sent = self._client.publish(
                publication.topic, publication.payload, qos=1, retain=publication.retain
            )
            numbers.append(sent.mid)
        wanted = set(numbers)
        with self._changed:
            self._awaited = len(numbers)
            before = -1
            while (done := len(wanted & self._acknowledged)) < len(wanted) and self._lost is None:
                if done == before:
                    self._lost = f"no acknowledgement in {timeout_s:.0f} s"
                    break
                before = done
                self._changed.wait_for(
                    lambda: wanted <= self._acknowledged or self._lost, timeout_s
                )
            acknowledged, self._acknowledged = self._acknowledged, set()
        return next((i for i, n in enumerate(numbers) if n not in acknowledged), len(numbers))

    def send(self, publication: Publication) -> None:
        """Publish with QoS 0, waiting for nothing."""
        self._client.publish(
            publication.topic, publication.payload, qos=0, retain=publication.retain
        )

    def give_up(self, why: str) -> None:
        """Let :meth:`publish` wait no longer; any thread may call it."""
        with self._changed:
            self._lost = self._lost or why
            self._changed.notify_all()

    def close(self) -> None:
        """End the connection; in good order, so without the last will, if it is not lost."""
        self._ending = True
        if self._lost is None:
            self._client.disconnect()
        elif isinstance(open_socket := self._client.socket(), socket.socket):
            # Without a goodbye, so that the broker publishes the last will.
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()

    def _connected(
        self,
        client: Client,  # noqa: ARG002
        userdata: object,  # noqa: ARG002
        flags: ConnectFlags,  # noqa: ARG002
        reason: ReasonCode,
        properties: Properties | None,  # noqa: ARG002
    ) -> None:
        with self._changed:
            self._accepted = reason
            self._changed.notify_all()

    def _disconnected(
        self,
        client: Client,  # noqa: ARG002
        userdata: object,  # noqa: ARG002
        flags: DisconnectFlags,  # noqa: ARG002
        reason: ReasonCode,
        properties: Properties | None,  # noqa: ARG002
    ) -> None:
        self.give_up(f"connection lost: {reason}")
        if not self._ending:
            self._on_lost()

    def _published(self, client: Client, userdata: object, number: int, *rest: Any) -> None:  # noqa: ARG002
        with self._changed:
            self._acknowledged.add(number)
            if len(self._acknowledged) >= self._awaited:  # not once for each, for that costs
                self._changed.notify_all()


def port_of(config: MqttSink) -> int:
    """Return the port, as configured or by default."""
    return config.port or (8883 if config.tls else 1883)


def _client(config: MqttSink, client_id: str) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, reconnect_on_failure=False)
    client.connect_timeout = _CONNECT_S
    client.max_inflight_messages_set(_IN_FLIGHT)
    if config.username is not None:
        client.username_pw_set(config.username, _password(config))
    if config.tls:
        client.tls_set_context(_tls(config))
    return client


def _password(config: MqttSink) -> str | None:
    if config.password is not None:
        return config.password.get_secret_value()
    if (path := config.password_file) is None:
        return None
    try:
        with path.open("rb") as file:
            lines = file.read(_LONGEST_PASSWORD_BYTES).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SinkError(f"password_file {path}: {_reason(error)}") from error
    if not lines or not lines[0]:
        raise SinkError(f"password_file {path}: its first line is empty")
    return lines[0]


def _tls(config: MqttSink) -> ssl.SSLContext:
    path: Path | None = config.ca
    try:
        context = ssl.create_default_context(cafile=None if path is None else os.fspath(path))
        if (path := config.certificate) is not None:
            context.load_cert_chain(path, config.certificate_key)
    except (OSError, ValueError) as error:
        raise SinkError(f"{path}: no usable certificate: {_reason(error)}") from error
    context.sslsocket_class = _TlsSocket
    return context


class _TlsSocket(ssl.SSLSocket):
    """Closes itself where the handshake fails: the client would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid here: {error.verify_message}"
    return getattr(error, "strerror", None) or str(error) or repr(error)
