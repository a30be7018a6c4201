"""What clients may do to a publisher: floods, idle connections, more than there is room for."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from time import monotonic

import pytest
import zmq

from streamsed.client import CurveKeys, Heartbeat, Subscriber
from streamsed.publish import front
from streamsed.publish.authentication import Authentication
from streamsed.publish.binding import SocketLimits
from streamsed.publish.front import FrontLimits
from streamsed.publish.keys import KeyPair, write_public
from streamsed.publish.messages import BundleName
from streamsed.publish.publisher import Publisher
from tests.sockets import PATIENCE_S, RANDOM_PORT, receive

BEAT_S = 0.05
SIGNATURE = b"\xff" + bytes(8) + b"\x7f"


def beat(last_seq: int, published: datetime) -> Heartbeat:
    return Heartbeat(
        last_seq=last_seq,
        interval_s=BEAT_S,
        uptime_s=100.0,
        version="0",
        provider="none",
        bundle=BundleName(name="none", version="0"),
        sources=(),
        published=published,
    )


@contextmanager
def publishing(
    bind: str = RANDOM_PORT, authentication: Authentication | None = None, **limits: float
) -> Iterator[str]:
    publisher = Publisher(
        [bind],
        heartbeat=beat,
        heartbeat_s=BEAT_S,
        authentication=authentication,
        limits=SocketLimits(linger_s=0.1, front=FrontLimits(**limits)),  # type: ignore[arg-type]
    )
    publisher.start()
    try:
        yield publisher.endpoints[0]
    finally:
        publisher.close()
        assert publisher.closed
        assert publisher.failure is None


@contextmanager
def raw(address: str) -> Iterator[socket.socket]:
    """A connection that is made by hand."""
    host, port = address.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as made:
        yield made


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closes it in time; what it sends before is passed over."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass
    return True


FLOODS: dict[str, Callable[[], list[bytes]]] = {
    "pairs": lambda: [b"\1x", b"\0x"],
    "random": lambda: [b"\1" + os.urandom(20)],
    "long": lambda: [b"\1" + os.urandom(1500)],
    "garbage": lambda: [b"\7" + os.urandom(50)],
    "unsubscribing": lambda: [b"\0" + os.urandom(20)],
}


@contextmanager
def flooding(
    address: str, make: Callable[[], list[bytes]], keys: CurveKeys | None = None, clients: int = 3
) -> Iterator[None]:
    """Several clients that send as much as they can until the end."""
    over = threading.Event()

    def flood() -> None:
        with zmq.Context() as context, context.socket(zmq.XSUB) as hostile:
            hostile.set(zmq.LINGER, 0)
            if keys is not None:
                keys.apply(hostile)
            hostile.connect(address)
            while not over.is_set():
                if hostile.poll(10, zmq.POLLOUT):
                    with contextlib.suppress(zmq.Again):
                        for frame in make():
                            hostile.send(frame, zmq.DONTWAIT)

    threads = [threading.Thread(target=flood) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("bind", [RANDOM_PORT, "ipc://{folder}/socket"])
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_silences_nobody_and_keeps_newcomers_not_away(
    kind: str, bind: str, tmp_path: Path
) -> None:
    with (
        publishing(bind.format(folder=tmp_path)) as address,
        Subscriber(address, topics=["heartbeat/"]) as before,
        flooding(address, FLOODS[kind]),
    ):
        for _ in range(20):
            assert isinstance(receive(before), Heartbeat)
        with Subscriber(address, topics=["heartbeat/"]) as newcomer:
            assert isinstance(receive(newcomer), Heartbeat)
        for _ in range(5):
            receive(before)


@pytest.mark.parametrize("kind", ["pairs", "random"])
def test_who_has_a_key_silences_nobody_either(kind: str, tmp_path: Path) -> None:
    (tmp_path / "clients").mkdir()
    _, secret = KeyPair.generate().write(tmp_path, "server")
    authentication = Authentication.read(secret_key=secret, clients=tmp_path / "clients")
    hostile, friendly = (
        CurveKeys(server=authentication.pair.public, own=KeyPair.generate()) for _ in range(2)
    )
    for name, keys in (("hostile", hostile), ("friendly", friendly)):
        write_public(tmp_path / "clients" / f"{name}.key", keys.own.public)
    with (
        publishing(authentication=authentication) as address,
        Subscriber(address, topics=["heartbeat/"], keys=friendly) as before,
    ):
        receive(before)
        with flooding(address, FLOODS[kind], hostile):
            for _ in range(20):
                receive(before)
            with Subscriber(address, topics=["heartbeat/"], keys=friendly) as newcomer:
                receive(newcomer)
            receive(before)


def test_who_sends_the_most_is_closed_when_too_much_is_held() -> None:
    with publishing(held_bytes=4096) as address, ExitStack() as made:
        subscriber = made.enter_context(Subscriber(address, topics=["heartbeat/"]))
        receive(subscriber)
        hostile = made.enter_context(zmq.Context.instance().socket(zmq.XSUB))
        hostile.set(zmq.LINGER, 0)
        lost = hostile.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        hostile.connect(address)
        for _ in range(100):
            hostile.send(b"\1" + os.urandom(100))
        deadline = monotonic() + PATIENCE_S
        while not lost.poll(10):
            assert monotonic() < deadline, "it was never closed"
            receive(subscriber)
        hostile.disable_monitor()
        lost.close()
        receive(subscriber)


def test_who_probes_its_connection_is_not_taken_for_one_who_subscribes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front, "_INSPECT_S", 0.05)
    monkeypatch.setattr(front, "_DISCOUNT_S", 0.1)
    with publishing(held_bytes=1000) as address, ExitStack() as made:
        probing: zmq.Socket[bytes] = made.enter_context(zmq.Context.instance().socket(zmq.SUB))
        probing.set(zmq.LINGER, 0)
        probing.set(zmq.HEARTBEAT_IVL, 5)
        probing.set(zmq.HEARTBEAT_TIMEOUT, 30_000)
        lost = made.enter_context(probing.get_monitor_socket(zmq.EVENT_DISCONNECTED))
        probing.subscribe("heartbeat/")
        probing.connect(address)
        for _ in range(100):  # five seconds, in which it sends 9 KB
            assert probing.poll(int(PATIENCE_S * 1e3))
            probing.recv_multipart()
        assert not lost.poll(0)
        probing.disable_monitor()


def test_what_is_no_zeromq_is_closed() -> None:
    with publishing() as address, raw(address) as http:
        http.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert is_closed(http)


def test_who_never_shows_what_it_is_makes_room() -> None:
    with publishing(connections=4) as address, ExitStack() as made:
        for _ in range(4):
            made.enter_context(raw(address))
        subscriber = made.enter_context(Subscriber(address, topics=["heartbeat/"]))
        assert isinstance(receive(subscriber), Heartbeat)


def test_half_a_handshake_ends_by_itself() -> None:
    with publishing() as address, raw(address) as half, raw(address) as silent:
        half.sendall(SIGNATURE)
        assert is_closed(half)
        assert is_closed(silent)


def test_beyond_the_limit_those_who_are_served_are_not_disturbed() -> None:
    with publishing(connections=4) as address, ExitStack() as made:
        served = [made.enter_context(Subscriber(address, topics=["heartbeat/"])) for _ in range(4)]
        for subscriber in served:
            receive(subscriber)
        late = made.enter_context(Subscriber(address, topics=["heartbeat/"]))
        for _ in range(10):
            for subscriber in served:
                receive(subscriber)
        assert late.receive(0) is None
        served[0].close()
        assert isinstance(receive(late), Heartbeat)


def test_subscriptions_up_to_what_a_client_may_have_come_through() -> None:
    topics = [f"event/{'x' * 280}{number:04}/" for number in range(99)]
    with publishing() as address, Subscriber(address, topics=[*topics, "heartbeat/"]) as subscriber:
        assert isinstance(receive(subscriber), Heartbeat)


def test_clients_need_not_wait_for_the_other_side() -> None:
    greeting = SIGNATURE + b"\3\0" + b"NULL".ljust(20, b"\0") + bytes(32)
    with publishing() as address, ExitStack() as stack:
        connections = [stack.enter_context(raw(address)) for _ in range(60)]
        for part in (greeting[:10], greeting[10:30], greeting[30:]):
            for connection in connections:
                connection.sendall(part)
        for connection in connections:
            with connection.makefile("rb") as received:
                assert len(received.read(len(greeting))) == len(greeting)
