"""The ROUTER socket: answered or dropped, and nobody else notices."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsed.publish import front
from streamsed.publish.requests import ActiveRequest, SinceRequest, StatusRequest
from streamsed.publish.responder import RequestHandler, Responder
from tests.sockets import PATIENCE_S, RANDOM_PORT


class Asker:
    """A DEALER socket with a time limit."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.set(zmq.LINGER, 0)
        self.socket.connect(address)

    def send(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)

    def receive(self) -> list[bytes]:
        assert self.socket.poll(int(PATIENCE_S * 1e3)), "no answer"
        return self.socket.recv_multipart()

    def ask(self, content: object) -> dict[str, Any]:
        self.send(content if isinstance(content, bytes) else json.dumps(content).encode())
        return dict(json.loads(self.receive()[-1]))

    def error(self, content: object) -> str:
        reply = self.ask(content)
        assert reply["schema"] == "streamsed.error/1", reply
        assert "\n" not in reply["error"]
        return str(reply["error"])


def given_back(request: SinceRequest) -> bytes:
    if request.seq == 13:
        raise RuntimeError("boom")
    return json.dumps({"seq": request.seq, "topics": request.topics}).encode()


@pytest.fixture
def responder() -> Iterator[Responder]:
    made = Responder(
        [RANDOM_PORT],
        {
            "active": RequestHandler(ActiveRequest, lambda _: b"{}"),
            "since": RequestHandler(SinceRequest, given_back),
            "status": RequestHandler(StatusRequest, lambda _: b"x" * 100_000),
        },
    )
    made.start()
    yield made
    made.close()


@pytest.fixture
def connect(responder: Responder) -> Iterator[Callable[[], Asker]]:
    with zmq.Context() as context:
        made: list[Asker] = []

        def connected() -> Asker:
            made.append(Asker(context, responder.endpoints[0]))
            return made[-1]

        yield connected
        for asker in made:
            asker.socket.close()


def test_answers_come_with_the_frames_that_were_before_the_request(
    connect: Callable[[], Asker],
) -> None:
    asker = connect()
    asker.send(b"number 7", b"", b'{"get": "since", "seq": 5, "topics": ["a"]}')
    *envelope, reply = asker.receive()
    assert envelope == [b"number 7", b""]
    assert json.loads(reply) == {"seq": 5, "topics": ["a"]}


def test_a_plain_request_socket_is_answered(responder: Responder) -> None:
    with zmq.Context() as context, context.socket(zmq.REQ) as asker:
        asker.set(zmq.LINGER, 0)
        asker.connect(responder.endpoints[0])
        asker.send(b'{"get": "active"}')
        assert asker.poll(int(PATIENCE_S * 1e3))
        assert asker.recv() == b"{}"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 60_000, "no JSON"),
        ([], "no `get` that is known; known: active, since, status"),
        ({}, "no `get` that is known"),
        ({"get": ["since"]}, "no `get` that is known"),
        ({"get": "actve"}, "did you mean 'active'?"),
        ({"get": "since"}, "seq: missing"),
        ({"get": "since", "seq": -1}, "seq: input should be greater than or equal to 0, not -1"),
        ({"get": "since", "seq": 2**70}, "seq: "),
        ({"get": "since", "seq": "x"}, "seq: input should be a valid integer"),
        (b'{"get": "since", "seq": NaN}', "seq: input should be a finite number"),
        ({"get": "since", "seq": 1, "limit": 10**9}, "limit: input should be less than"),
        ({"get": "since", "seq": 1, "topics": "event/"}, "topics: "),
        ({"get": "since", "seq": 1, "topics": []}, "topics: "),
        ({"get": "since", "seq": 1, "topics": ["x" * 301]}, "topics[0]: "),
        ({"get": "since", "seq": 1, "topics": ["x"] * 101}, "topics: "),
        (
            {"get": "since", "seq": 1, "form": 1},
            "form: unknown key; known: get, limit, seq, topics",
        ),
        ({"get": "since", "seq": 13}, "internal error: RuntimeError('boom')"),
    ],
)
def test_mistakes_are_one_line(
    connect: Callable[[], Asker], request_: object, expected: str
) -> None:
    asker = connect()
    assert expected in asker.error(request_)
    assert asker.ask({"get": "active"}) == {}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                lambda inner: (
                    st.lists(inner, max_size=4)
                    | st.dictionaries(
                        st.sampled_from(["get", "seq", "topics", "limit"]) | st.text(max_size=4),
                        inner | st.sampled_from(["since", "active", "status"]),
                        max_size=5,
                    )
                ),
                max_leaves=12,
            ).map(lambda content: json.dumps(content).encode()),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_is_asked_the_next_is_answered(
    connect: Callable[[], Asker], frames: Sequence[bytes]
) -> None:
    asker = connect()
    asker.send(*frames)
    asker.send(b"mine", b'{"get": "since", "seq": 1}')
    while (reply := asker.receive())[:-1] != [b"mine"]:
        assert isinstance(json.loads(reply[-1]) if reply[-1][:1] != b"x" else {}, dict)
    assert json.loads(reply[-1])["seq"] == 1
    asker.socket.close()


def test_who_sends_too_much_is_cut_off_alone(connect: Callable[[], Asker]) -> None:
    hostile, other = connect(), connect()
    other.ask({"get": "active"})
    for _ in range(5):
        hostile.send(b"x" * 10_000_000)
    assert other.ask({"get": "active"}) == {}


def test_who_asks_and_never_reads_holds_up_nobody(
    connect: Callable[[], Asker], responder: Responder
) -> None:
    hostile, other = connect(), connect()
    hostile.socket.set(zmq.SNDHWM, 0)
    for _ in range(3000):  # 300 MB of answers
        hostile.send(b'{"get": "status"}')
    for _ in range(20):
        assert other.ask({"get": "active"}) == {}


def test_many_askers_at_once(connect: Callable[[], Asker]) -> None:
    askers = [connect() for _ in range(20)]
    found: list[int] = []

    def ask(number: int, asker: Asker) -> None:
        found.extend(
            asker.ask({"get": "since", "seq": number * 100 + i + 20})["seq"] for i in range(20)
        )

    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(askers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(set(found)) == 400


def test_who_has_sent_much_delays_no_newcomer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept of requests, unlike of subscriptions."""
    monkeypatch.setattr(front, "_CHANGE_S_A_BYTE", 1.0)  # as if it had sent for days
    made = Responder([RANDOM_PORT], {"active": RequestHandler(ActiveRequest, lambda _: b"{}")})
    made.start()
    try:
        with zmq.Context() as context:
            regular = Asker(context, made.endpoints[0])
            with regular.socket:
                for _ in range(100):
                    assert regular.ask({"get": "active"}) == {}
                for _ in range(2):  # after the first the next would have to wait
                    newcomer = Asker(context, made.endpoints[0])
                    with newcomer.socket:
                        assert newcomer.ask({"get": "active"}) == {}
    finally:
        made.close()


def test_no_address_means_no_answers() -> None:
    responder = Responder([], {})
    responder.start()
    assert responder.endpoints == ()
    responder.close()
    responder.close()
