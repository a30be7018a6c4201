"""Subscribers, of both kinds, against a publisher and its journal over real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import zmq

from streamsed.client import AsyncSubscriber, CurveKeys, Gap, GapReason, Subscriber
from streamsed.detect.events import Kind
from streamsed.publish import message_builders
from streamsed.publish.authentication import AllowedClients, Authentication
from streamsed.publish.binding import SocketLimits
from streamsed.publish.catch_up import CatchUp
from streamsed.publish.keys import KeyPair, write_public
from streamsed.publish.publisher import Publisher
from streamsed.publish.requests import SinceRequest
from streamsed.publish.responder import RequestHandler, Responder
from streamsed.publish.sequencer import Sequencer
from streamsed.subscribe import session
from tests.publish.journals import event, prepare, status
from tests.publish.test_authentication import wait_until
from tests.publish.test_publisher import heartbeat
from tests.sockets import PATIENCE_S

ALL = ("event/", "status/")  # but heartbeats
BOTH_SOCKETS = 2


def free_addresses() -> tuple[str, str]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    return f"tcp://127.0.0.1:{ports[0]}", f"tcp://127.0.0.1:{ports[1]}"


class Server:
    """The sockets of a daemon, which may be stopped and started; its numbers go on."""

    def __init__(self, folder: Path) -> None:
        prepare(folder)
        self.folder = folder
        self.address, self.requests = free_addresses()
        self.subscribed = threading.Semaphore(0)

    @contextmanager
    def running(
        self,
        *,
        answering: bool = True,
        authentication: Authentication | None = None,
        **settings: Any,
    ) -> Iterator[Publisher]:
        publisher = Publisher(
            [self.address],
            heartbeat=heartbeat,
            heartbeat_s=0.1,
            sequencer=Sequencer(self.folder),
            authentication=authentication,
            on_subscriber=self.subscribed.release,
            **settings,
        )
        catch_up = CatchUp(publisher.sequencer)
        responder = Responder(
            [self.requests] if answering else [],
            {"since": RequestHandler(SinceRequest, catch_up.answer)},
            authentication=authentication,
            on_end=catch_up.close,
        )
        publisher.start()
        responder.start()
        try:
            yield publisher
        finally:
            publisher.close()
            responder.close()

    def await_subscription(self) -> None:
        assert self.subscribed.acquire(timeout=PATIENCE_S)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def publish_all(
    publisher: Publisher,
    count: int,
    builder: Callable[[], message_builders.MessageBuilder] = status,
) -> None:
    """Publish, and wait until all is journaled."""
    last = publisher.last_seq + count
    for _ in range(count):
        publisher.publish(builder())
    deadline = time.monotonic() + PATIENCE_S
    while publisher.last_seq < last:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def numbers(subscriber: Subscriber, last: int) -> list[int | Gap]:
    """Receive up to the message of a number."""
    found: list[int | Gap] = []
    while not found or found[-1] != last:
        message = subscriber.receive(PATIENCE_S)
        assert message is not None, f"nothing after {found[-3:]}"
        found.append(message if isinstance(message, Gap) else message.seq)  # type: ignore[union-attr]
    return found


@pytest.mark.parametrize("topics", [ALL, ("status/",)])
def test_over_restarts_nothing_is_missed(server: Server, topics: Sequence[str]) -> None:
    with Subscriber(server.address, topics=topics, since=0, requests=server.requests) as subscriber:
        for run in range(3):
            with server.running() as publisher:
                publish_all(publisher, 20)
                assert numbers(subscriber, 20 * run + 10)[-1] == 20 * run + 10
        with server.running():
            assert numbers(subscriber, 60)[-1] == 60
            assert subscriber.receive(0.3) is None


def test_who_may_stay_misses_nothing_when_another_is_shut_out(
    server: Server, tmp_path: Path
) -> None:
    """All connections are closed for it, those of both sockets."""
    daemon, laptop, phone = (KeyPair.generate() for _ in range(3))
    for name, pair in (("laptop", laptop), ("phone", phone)):
        write_public(tmp_path / "clients" / f"{name}.key", pair.public)
    authentication = Authentication(pair=daemon, clients=AllowedClients(tmp_path / "clients"))

    def subscriber(own: KeyPair) -> Subscriber:
        keys = CurveKeys(server=daemon.public, own=own)
        return Subscriber(server.address, topics=ALL, since=0, requests=server.requests, keys=keys)

    def times_logged(event: str, **more: str) -> int:
        wanted = {"event": event, **more}
        return sum(wanted.items() <= line.items() for line in logged)

    def nobody_is_left() -> bool:
        publish_all(publisher, 1)
        return times_logged("clients_disconnected") == BOTH_SOCKETS

    with (
        structlog.testing.capture_logs() as logged,
        server.running(authentication=authentication) as publisher,
        subscriber(laptop) as shut_out,
        subscriber(phone) as staying,
    ):
        publish_all(publisher, 10)
        assert numbers(shut_out, 10) == list(range(1, 11))
        wait_until(lambda: times_logged("client_let_in", client="laptop") == BOTH_SOCKETS)
        (tmp_path / "clients" / "laptop.key").unlink()
        wait_until(nobody_is_left)
        publish_all(publisher, 10)
        last = publisher.last_seq
        assert numbers(staying, last) == list(range(1, last + 1))
        received = list(iter(lambda: shut_out.receive(0.5), None))
        assert len(received) <= last - 20, "what came after it was shut out"


def test_resumed_where_it_was_left(server: Server) -> None:
    with server.running() as publisher:
        publish_all(publisher, 30)
        for since in (0, 12, 29):
            with Subscriber(
                server.address, topics=ALL, since=since, requests=server.requests
            ) as subscriber:
                found = [n for n in numbers(subscriber, 30) if n]
            assert found == list(range(since + 1, 31))


def test_what_is_not_wanted_is_no_loss(server: Server) -> None:
    with server.running() as publisher:
        topics = ["event/hall/", "status/hall/"]
        with Subscriber(server.address, topics=topics, requests=server.requests) as subscriber:
            server.await_subscription()
            publish_all(publisher, 1, lambda: event(Kind.ONSET, source="hall"))
            for _ in range(10):
                publish_all(publisher, 3)
                publish_all(publisher, 1, lambda: event(Kind.ONSET, source="hall"))
            found = numbers(subscriber, 41)
        assert found == [1 + 4 * n for n in range(11)]


def test_a_stalled_subscriber_catches_up(server: Server) -> None:
    """It sleeps while more is sent than the sockets hold."""
    limits = SocketLimits(send_high_water=10, linger_s=0.1)
    with server.running(limits=limits) as publisher:
        subscriber = Subscriber(server.address, topics=["status/"], requests=server.requests)
        with subscriber:
            subscriber._sockets.messages.set(zmq.RCVHWM, 10)
            subscriber._sockets.messages.disconnect(server.address)
            subscriber._sockets.messages.set(zmq.RCVBUF, 4096)
            subscriber._sockets.messages.connect(server.address)
            server.await_subscription()
            publish_all(publisher, 1)
            assert numbers(subscriber, 1) == [1]
            for _ in range(5):
                publish_all(publisher, 400, lambda: status("x" * 2000))
            assert numbers(subscriber, 2001) == list(range(2, 2002))


def test_it_asks_only_for_what_is_not_accounted_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    request = session.SubscriberSession.request

    def observed(self: session.SubscriberSession, now: float) -> list[bytes] | None:
        if (frames := request(self, now)) is not None:
            asked.append(frames)
        return frames

    monkeypatch.setattr(session.SubscriberSession, "request", observed)
    with (
        server.running() as publisher,
        Subscriber(
            server.address, topics=["event/", "status/"], requests=server.requests
        ) as subscriber,
    ):
        server.await_subscription()
        publish_all(publisher, 50)
        assert numbers(subscriber, 50) == list(range(1, 51))
    assert asked == []


def test_a_flood_of_requests_holds_up_no_message(server: Server) -> None:
    """It asks for all there is, again and again, and reads no answer."""
    with server.running() as publisher, zmq.Context() as context:
        publish_all(publisher, 500, lambda: status("x" * 1000))
        with (
            context.socket(zmq.DEALER) as hostile,
            Subscriber(server.address, topics=["status/"], requests=server.requests) as subscriber,
        ):
            hostile.set(zmq.LINGER, 0)
            hostile.set(zmq.SNDHWM, 0)
            hostile.connect(server.requests)
            server.await_subscription()
            for _ in range(5000):
                hostile.send(b'{"get": "since", "seq": 0}')
            publish_all(publisher, 100)
            found = [n for n in numbers(subscriber, 600) if isinstance(n, int) and n > 500]
        assert found == list(range(501, 601))


def test_what_the_journal_no_longer_has_is_a_gap(server: Server) -> None:
    with server.running() as publisher:
        publish_all(publisher, 10)
    for path in server.folder.iterdir():
        path.unlink()
    (server.folder / "journal.sqlite.broken").touch()  # so that it does not count from 1
    with (
        server.running() as publisher,
        Subscriber(server.address, topics=ALL, since=7, requests=server.requests) as subscriber,
    ):
        publish_all(publisher, 2)
        found = numbers(subscriber, publisher.last_seq)
        first = publisher.last_seq - 1
        assert found == [Gap(7, first, GapReason.REMOVED), first, first + 1]


@pytest.mark.parametrize("anew", [False, True])
def test_a_daemon_that_lost_its_numbers(server: Server, anew: bool) -> None:
    """They are above all that was used before; from 1 they begin only for one that pretends."""
    with Subscriber(server.address, topics=ALL, since=0, requests=server.requests) as subscriber:
        with server.running() as publisher:
            publish_all(publisher, 10)
            assert numbers(subscriber, 10) == list(range(1, 11))
        for path in server.folder.iterdir():
            path.unlink()
        if anew:
            prepare(server.folder)
        with server.running() as publisher:
            publish_all(publisher, 3)
            last = publisher.last_seq
            gap, *found = numbers(subscriber, last)
    assert found == [last - 2, last - 1, last]
    assert isinstance(gap, Gap)
    assert (gap.after, gap.before) == (10, last - 2)
    assert (gap.reason is GapReason.RESTARTED) is anew


def test_without_answers_it_goes_on_and_says_so(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_REPLY_S", 0.05)
    monkeypatch.setattr(session, "_PATIENCE_S", 0.2)
    with (
        server.running(answering=False) as publisher,
        Subscriber(server.address, topics=["event/"], requests=server.requests) as subscriber,
    ):
        server.await_subscription()
        publish_all(publisher, 1, lambda: event(Kind.ONSET))
        publish_all(publisher, 3)
        publish_all(publisher, 1, lambda: event(Kind.ONSET))
        found = numbers(subscriber, 5)
        assert found[0] == 1
        assert isinstance(found[1], Gap)
        assert found[1].reason is GapReason.UNANSWERED
        publish_all(publisher, 3)
        publish_all(publisher, 1, lambda: event(Kind.ONSET))
        assert numbers(subscriber, 9) == [9], "delivered once"


def test_a_late_joiner_is_told_how_things_stand_and_others_not_again(server: Server) -> None:
    with (
        server.running() as publisher,
        Subscriber(server.address, topics=ALL, since=0, requests=server.requests) as early,
    ):
        publisher.publish(event(Kind.ONSET, source="hall"))
        publisher.publish(event(Kind.OFFSET, source="hall"))
        publisher.publish(event(Kind.ONSET))
        publisher.publish(status("one"))
        publisher.publish(status("two"))
        publish_all(publisher, 1, lambda: status("three", "hall"))
        assert numbers(early, 6) == list(range(1, 7))
        with Subscriber(server.address, topics=ALL, requests=server.requests) as late:
            # In order on each topic that was subscribed to, not of all.
            replayed = sorted(
                (late.receive(PATIENCE_S) for _ in range(4)),
                key=lambda m: m.seq,  # type: ignore[union-attr]
            )
            publish_all(publisher, 1)
            assert 7 in numbers(late, 7)
        assert [(m.seq, m.replay) for m in replayed] == [(n, True) for n in (1, 3, 5, 6)]  # type: ignore[union-attr]
        assert numbers(early, 7) == [7], "nothing twice"


def test_both_kinds_give_the_same(server: Server) -> None:
    async def receive_all(last: int) -> list[int]:
        found: list[int] = []
        async with AsyncSubscriber(
            server.address, topics=["event/", "status/"], since=0, requests=server.requests
        ) as subscriber:
            async for message in subscriber:
                assert not isinstance(message, Gap)
                found.append(message.seq)  # type: ignore[union-attr]
                if found[-1] == last:
                    return found
        raise AssertionError

    async def both() -> list[int]:
        receiving = asyncio.create_task(receive_all(90))
        for _ in range(3):
            with server.running() as publisher:
                await asyncio.to_thread(publish_all, publisher, 30)
        with server.running():
            return await asyncio.wait_for(receiving, PATIENCE_S)

    assert asyncio.run(both()) == list(range(1, 91))


def test_receiving_takes_no_longer_than_asked(server: Server) -> None:
    with Subscriber(server.address, since=0, requests=server.requests) as subscriber:
        began = time.monotonic()
        assert subscriber.receive(0.0) is None
        assert subscriber.receive(0.05) is None
        assert time.monotonic() - began < 30
