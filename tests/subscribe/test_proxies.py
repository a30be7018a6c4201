"""Whatever is stalled or cut on the way: each message once, in order, and no gap."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep

import pytest

from streamsed import client
from streamsed.client import Gap, Subscriber
from streamsed.detect.events import Kind
from streamsed.publish.binding import SocketLimits
from streamsed.subscribe import session
from streamsed.testing.proxy import Proxy
from tests.publish.journals import event, status
from tests.subscribe.test_subscribers import ALL, Server, numbers, publish_all


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.mark.parametrize("topics", [ALL, ("event/",)])
def test_requests_that_stall_for_long_end_in_no_gap(server: Server, topics: Sequence[str]) -> None:
    with server.running() as publisher, Proxy(server.requests) as requests:
        publish_all(publisher, 1, lambda: event(Kind.ONSET))
        first = publisher.last_seq
        publish_all(publisher, 20, lambda: event(Kind.ONSET))
        requests.stall()
        with Subscriber(
            server.address, topics=topics, since=first, requests=requests.address
        ) as subscriber:
            early = []  # what came live, and in order; the rest is waited for
            until = monotonic() + 7.0
            while (left_s := until - monotonic()) > 0:
                if (message := subscriber.receive(left_s)) is not None:
                    early.append(message.seq)  # type: ignore[union-attr] # no gap among them
            requests.flow()
            publish_all(publisher, 1, lambda: event(Kind.ONSET))
            found = early + numbers(subscriber, first + 21)
            assert found == list(range(first + 1, first + 22))


@pytest.mark.parametrize("topics", [ALL, ("event/",)])
def test_whatever_is_stalled_and_cut_nothing_is_missed(
    server: Server, topics: Sequence[str]
) -> None:
    over = threading.Event()
    with (
        server.running() as publisher,
        Proxy(server.address) as messages,
        Proxy(server.requests) as requests,
        Subscriber(
            messages.address, topics=topics, since=0, requests=requests.address
        ) as subscriber,
    ):

        def disturb() -> None:
            for _ in range(4):
                for proxy in (messages, requests):
                    proxy.cut()
                    sleep(0.2)
                    proxy.stall()
                    sleep(0.2)
                    proxy.flow()
            over.set()

        publish_all(publisher, 1, lambda: event(Kind.ONSET))
        first = publisher.last_seq
        disturbing = threading.Thread(target=disturb)
        disturbing.start()
        while not over.is_set():
            publish_all(publisher, 5, lambda: event(Kind.ONSET))
            sleep(0.01)
        disturbing.join()
        publish_all(publisher, 1, lambda: event(Kind.ONSET))
        found = numbers(subscriber, publisher.last_seq)
    assert not any(isinstance(one, Gap) for one in found)
    assert found == list(range(first, publisher.last_seq + 1))


def test_a_slow_reader_catches_up(server: Server) -> None:
    with (
        server.running() as publisher,
        Proxy(server.address) as messages,
        Subscriber(messages.address, topics=ALL, since=0, requests=server.requests) as subscriber,
    ):
        publish_all(publisher, 1, lambda: event(Kind.ONSET))
        first = publisher.last_seq
        messages.stall()  # what is published meanwhile is more than is kept for it
        for _ in range(15):
            publish_all(publisher, 1000, lambda: event(Kind.ONSET))
        messages.cut()
        messages.flow()
        found = numbers(subscriber, publisher.last_seq)
    assert found == list(range(first, publisher.last_seq + 1))


def test_a_connection_that_dies_without_a_sign_is_made_anew(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_SILENCE_S", 0.5)
    with (
        server.running() as publisher,
        Proxy(server.address) as messages,
        Subscriber(messages.address, topics=ALL, since=0, requests=server.requests) as subscriber,
    ):
        publish_all(publisher, 5, lambda: event(Kind.ONSET))
        first = publisher.last_seq - 4
        assert numbers(subscriber, first + 4)[-5:] == list(range(first, first + 5))
        messages.lose()
        publish_all(publisher, 5, lambda: event(Kind.ONSET))
        assert numbers(subscriber, first + 9) == list(range(first + 5, first + 10))
        server.await_subscription()
        server.await_subscription()


def test_messages_that_nobody_reads_for_long_are_caught_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full connection that is probed makes libzmq end the process (its issue 3937)."""
    monkeypatch.setattr(client, "_RECEIVE_HIGH_WATER", 10)
    monkeypatch.setattr(client, "_PROBE_MS", 50)
    monkeypatch.setattr(client, "_PROBE_TIMEOUT_MS", 100)
    with (
        server.running(limits=SocketLimits(send_high_water=10)) as publisher,
        Subscriber(server.address, topics=ALL, since=0, requests=server.requests) as subscriber,
    ):
        publish_all(publisher, 1)
        assert numbers(subscriber, 1) == [1]
        for _ in range(3):  # several times as long as probes wait
            publish_all(publisher, 400, lambda: status("x" * 2000))
        assert numbers(subscriber, 1201) == list(range(2, 1202))
