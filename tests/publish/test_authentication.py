"""Who is let in: real sockets, keys that are known and keys that are not."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from time import monotonic

import pytest
import structlog
import zmq

from streamsed.client import CurveKeys, Subscriber
from streamsed.errors import KeysError
from streamsed.publish.authentication import AllowedClients, Authentication
from streamsed.publish.binding import BoundSocket, SocketLimits
from streamsed.publish.keys import KeyPair, write_public
from streamsed.publish.messages import BundleName, Heartbeat
from streamsed.publish.publisher import Publisher
from streamsed.publish.requests import StatusRequest
from streamsed.publish.responder import RequestHandler, Responder
from tests.sockets import PATIENCE_S, RANDOM_PORT, receive

SILENCE_S = 0.5  # silence is seen by waiting; a beat comes every 20 ms


@pytest.fixture
def authentication(tmp_path: Path) -> Authentication:
    """A server that knows one client, ``laptop``."""
    (tmp_path / "clients").mkdir()
    _, secret = KeyPair.generate().write(tmp_path, "server")
    return Authentication.read(secret_key=secret, clients=tmp_path / "clients")


def known(authentication: Authentication, name: str) -> CurveKeys:
    pair = KeyPair.generate()
    write_public(authentication.clients.folder / f"{name}.key", pair.public)
    return CurveKeys(server=authentication.pair.public, own=pair)


def stranger(authentication: Authentication) -> CurveKeys:
    return CurveKeys(server=authentication.pair.public, own=KeyPair.generate())


@contextmanager
def publishing(authentication: Authentication | None, bind: str = RANDOM_PORT) -> Iterator[str]:
    def beat(last_seq: int, published: datetime) -> Heartbeat:
        return Heartbeat(
            last_seq=last_seq,
            interval_s=0.02,
            uptime_s=0.0,
            version="0",
            provider="none",
            bundle=BundleName(name="none", version="0"),
            sources=(),
            published=published,
        )

    publisher = Publisher(
        [bind],
        heartbeat=beat,
        heartbeat_s=0.02,
        limits=SocketLimits(linger_s=0),
        authentication=authentication,
    )
    publisher.start()
    try:
        yield publisher.endpoints[0]
    finally:
        publisher.close()
        assert publisher.failure is None


def listening(address: str, keys: CurveKeys | None) -> Subscriber:
    return Subscriber(address, topics=[""], keys=keys)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = monotonic() + PATIENCE_S
    while not true():
        assert monotonic() < deadline, "it never came true"


@pytest.mark.parametrize("bind", [RANDOM_PORT, "ipc://{folder}/socket"])
def test_only_a_known_client_with_the_right_server_key_hears(
    authentication: Authentication, tmp_path: Path, bind: str
) -> None:
    laptop = known(authentication, "laptop")
    wrong = CurveKeys(server=KeyPair.generate().public, own=laptop.own)
    with publishing(authentication, bind.format(folder=tmp_path)) as address:
        outside = [listening(address, keys) for keys in (None, stranger(authentication), wrong)]
        with listening(address, laptop) as inside:
            receive(inside)
            for subscriber in outside:
                assert subscriber.receive(SILENCE_S) is None
                subscriber.close()
            receive(inside)


def test_a_client_with_keys_does_not_listen_to_a_server_without(
    authentication: Authentication,
) -> None:
    with (
        publishing(None) as address,
        listening(address, known(authentication, "laptop")) as subscriber,
    ):
        assert subscriber.receive(SILENCE_S) is None


def test_a_refused_client_gets_in_once_it_is_allowed(authentication: Authentication) -> None:
    keys = stranger(authentication)
    with publishing(authentication) as address, listening(address, keys) as subscriber:
        assert subscriber.receive(SILENCE_S) is None
        write_public(authentication.clients.folder / "late.key", keys.own.public)
        receive(subscriber)


@contextmanager
def all_disconnected() -> Iterator[None]:
    """Wait, at the end, until the publisher says that it closed all connections."""
    with structlog.testing.capture_logs() as logged:
        yield
        wait_until(lambda: any(line["event"] == "clients_disconnected" for line in logged))


def drain(subscriber: Subscriber) -> None:
    """Take what came before now."""
    while subscriber.receive(0) is not None:
        pass


@pytest.mark.parametrize("bind", [RANDOM_PORT, "ipc://{folder}/socket"])
def test_a_removed_client_is_disconnected_and_others_come_back(
    authentication: Authentication, tmp_path: Path, bind: str
) -> None:
    laptop, phone = known(authentication, "laptop"), known(authentication, "phone")
    with publishing(authentication, bind.format(folder=tmp_path)) as address:
        with listening(address, laptop) as removed, listening(address, phone) as kept:
            receive(removed)
            receive(kept)
            with all_disconnected():
                (authentication.clients.folder / "laptop.key").unlink()
            drain(removed)
            drain(kept)
            assert removed.receive(SILENCE_S) is None
            receive(kept)
        with listening(address, phone) as newcomer:
            receive(newcomer)


def test_a_folder_that_goes_takes_everybody_along(authentication: Authentication) -> None:
    laptop = known(authentication, "laptop")
    with publishing(authentication) as address, listening(address, laptop) as subscriber:
        receive(subscriber)
        folder = authentication.clients.folder
        with all_disconnected():
            folder.rename(folder.with_name("gone"))
        drain(subscriber)
        assert subscriber.receive(SILENCE_S) is None
        folder.with_name("gone").rename(folder)
        receive(subscriber)


@contextmanager
def asking(address: str, keys: CurveKeys | None) -> Iterator[zmq.Socket[bytes]]:
    """A client that has asked how things stand."""
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.linger = 0
    if keys is not None:
        keys.apply(socket)
    socket.connect(address)
    socket.send(b'{"get": "status"}')
    try:
        yield socket
    finally:
        socket.close()


def test_only_a_known_client_is_answered(authentication: Authentication) -> None:
    laptop = known(authentication, "laptop")
    wrong = CurveKeys(server=KeyPair.generate().public, own=laptop.own)
    asked: list[StatusRequest] = []

    def answer(request: StatusRequest) -> bytes:
        asked.append(request)
        return b"{}"

    responder = Responder(
        [RANDOM_PORT],
        {"status": RequestHandler(StatusRequest, answer)},
        authentication=authentication,
    )
    responder.start()
    try:
        (address,) = responder.endpoints
        with (
            asking(address, None) as plain,
            asking(address, stranger(authentication)) as unknown,
            asking(address, wrong) as mistaken,
            asking(address, laptop) as allowed,
        ):
            assert allowed.poll(int(PATIENCE_S * 1e3))
            assert allowed.recv() == b"{}"
            for outside in (plain, unknown, mistaken):
                assert not outside.poll(int(SILENCE_S * 1e3))
            assert len(asked) == 1
            with all_disconnected():
                (authentication.clients.folder / "laptop.key").unlink()
            allowed.send(b'{"get": "status"}')
            assert not allowed.poll(int(SILENCE_S * 1e3))
            assert len(asked) == 1
    finally:
        responder.close()


# A ZMTP 3.1 greeting for CURVE: signature, version, mechanism, as a client, filler.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: box\r\n\r\n",
        os.urandom(5000),
        GREETING,
        GREETING + b"\x04\xc8\x05HELLO" + os.urandom(194),
        GREETING + b"\x06" + b"\xff" * 8 + os.urandom(5000),
    ],
    ids=["HTTP", "random", "no more than a greeting", "forged HELLO", "endless command"],
)
def test_noise_on_the_wire_reaches_nobody(authentication: Authentication, noise: bytes) -> None:
    laptop = known(authentication, "laptop")
    with publishing(authentication) as address, listening(address, laptop) as inside:
        receive(inside)
        host, port = address.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as stranger_at_large:
            stranger_at_large.sendall(noise)
            with listening(address, laptop) as another:
                receive(another)
            receive(inside)


def test_what_is_refused_is_said_once_for_each_key(authentication: Authentication) -> None:
    keys = stranger(authentication)
    with structlog.testing.capture_logs() as logged, publishing(authentication) as address:
        with listening(address, keys), listening(address, keys), listening(address, None):
            wait_until(lambda: any(line["event"] == "client_refused" for line in logged))
        with listening(address, known(authentication, "laptop")) as subscriber:
            receive(subscriber)
    refused = [line for line in logged if line["event"] == "client_refused"]
    assert [(line["key"], line["address"]) for line in refused] == [(keys.own.public, "127.0.0.1")]
    assert [line["client"] for line in logged if line["event"] == "client_let_in"] == ["laptop"]


def test_a_broken_file_costs_one_client(authentication: Authentication) -> None:
    laptop = known(authentication, "laptop")
    folder = authentication.clients.folder
    (folder / "broken.key").write_text("curve\n    public-key = 'short'\n")
    (folder / "notes.txt").write_text("not a key\n")
    known(authentication, "open")
    (folder / "open.key").chmod(0o666)
    files = authentication.clients.files()
    assert [path.name for path in sorted(files)] == ["broken.key", "laptop.key", "open.key"]
    assert "holds no public key" in str(files[folder / "broken.key"])
    assert "anybody may change it" in str(files[folder / "open.key"])
    assert authentication.clients.names() == {laptop.own.public: "laptop"}


def test_whatever_lies_in_the_folder_costs_nobody_else(authentication: Authentication) -> None:
    laptop = known(authentication, "laptop")
    phone = known(authentication, "phone")
    folder = authentication.clients.folder
    os.mkfifo(folder / "fifo.key")
    (folder / "folder.key").mkdir()
    (folder / "zeros.key").symlink_to("/dev/zero")
    (folder / "loop.key").symlink_to("loop.key")
    (folder / "nowhere.key").symlink_to("nothing at all")
    (folder / "wide.key").write_bytes("curve\n public-key = 'x'".encode("utf-16"))
    with (folder / "huge.key").open("wb") as huge:
        huge.truncate(2**40)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket.key"))
    (folder / ".key").touch()
    (folder / "closed.key").touch(mode=0)
    (folder / "two\nlines\x1b[31m.key").write_text(f'public-key = "{phone.own.public}"\n')
    (folder / "phone.key").unlink()
    with open(os.path.join(os.fsencode(folder), b"\xff\xfe.key"), "w") as strange:  # noqa: PTH118, PTH123
        strange.write(f'public-key = "{laptop.own.public}"\n')
    with publishing(authentication) as address:
        for keys in (laptop, phone):
            with listening(address, keys) as subscriber:
                receive(subscriber)
    assert all(name.isprintable() for name in authentication.clients.names().values())


def test_a_folder_that_is_not_safe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"no such folder.*`streamsed keys allow`"):
        AllowedClients(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(KeysError, match="is no folder"):
        AllowedClients(tmp_path / "file")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(KeysError, match="anybody may add a key"):
        AllowedClients(tmp_path / "open")


def test_no_thread_outlives_its_socket(authentication: Authentication) -> None:
    for _ in range(3):
        BoundSocket([RANDOM_PORT], SocketLimits(), authentication=authentication).close()
    wait_until(lambda: all(t.name != "zap authenticator" for t in threading.enumerate()))
