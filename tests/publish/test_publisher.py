"""The publisher over real sockets."""

from __future__ import annotations

import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zmq

from streamsed.client import Gap, Subscriber
from streamsed.errors import PublishError
from streamsed.publish import message_builders
from streamsed.publish.binding import BoundSocket, SocketLimits
from streamsed.publish.endpoints import check_bind, default_binds
from streamsed.publish.messages import (
    BundleName,
    Heartbeat,
    Level,
    LevelMessage,
    Moment,
    NumberedMessage,
    SourceCondition,
    SourceState,
    StatusMessage,
)
from streamsed.publish.publisher import Publisher
from tests.sockets import PATIENCE_S, RANDOM_PORT, receive, receive_until

MakePublisher = Callable[..., Publisher]
StartWithSubscriber = Callable[..., tuple[Publisher, Subscriber]]


def heartbeat(last_seq: int, now: datetime) -> Heartbeat:
    return Heartbeat(
        last_seq=last_seq,
        interval_s=0.05,
        uptime_s=100.0,
        version="0",
        provider="CPUExecutionProvider",
        bundle=BundleName(name="tones", version="1"),
        sources=(),
        published=now,
    )


def status(text: str, source: str = "kitchen") -> message_builders.MessageBuilder:
    condition = SourceCondition(source=source, state=SourceState.RUNNING, message=text)
    return message_builders.status(condition)


@pytest.fixture
def make_publisher() -> Iterator[MakePublisher]:
    """Make publishers that are closed at the end, as far as the test has not done so."""
    made: list[Publisher] = []

    def make(*binds: str, **settings: object) -> Publisher:
        defaults = {"heartbeat": heartbeat, "heartbeat_s": 3600.0}
        publisher = Publisher(binds or (RANDOM_PORT,), **(defaults | settings))  # type: ignore[arg-type]
        made.append(publisher)
        return publisher

    yield make
    for publisher in made:
        publisher.close()


@pytest.fixture
def start_with_subscriber(make_publisher: MakePublisher) -> Iterator[StartWithSubscriber]:
    """Start publishers, each once a subscriber's subscription has reached it; close both."""
    with ExitStack() as made:

        def start(
            *binds: str, topics: Sequence[str] = ("status/",), **settings: object
        ) -> tuple[Publisher, Subscriber]:
            arrived = threading.Event()
            publisher = make_publisher(*binds, on_subscriber=arrived.set, **settings)
            subscriber = made.enter_context(Subscriber(publisher.endpoints[0], topics=topics))
            publisher.start()
            assert arrived.wait(PATIENCE_S)
            return publisher, subscriber

        yield start


def text_of(message: object) -> str | None:
    assert isinstance(message, StatusMessage)
    return message.message


def test_messages_arrive_once_in_order_and_numbered(
    start_with_subscriber: StartWithSubscriber,
) -> None:
    publisher, subscriber = start_with_subscriber()
    for number in range(500):
        publisher.publish(status(str(number)))
    received = [receive(subscriber) for _ in range(500)]
    assert [text_of(message) for message in received] == [str(n) for n in range(500)]
    numbers = [message.seq for message in received if isinstance(message, StatusMessage)]
    assert numbers == list(range(numbers[0], numbers[0] + 500))


def test_a_message_without_a_number_takes_none(start_with_subscriber: StartWithSubscriber) -> None:
    publisher, subscriber = start_with_subscriber()
    level = Level(
        end=Moment(seconds=1.0, sample=16000, utc=datetime.now(UTC)),
        duration=1.0,
        rms_dbfs=-30.0,
        peak_dbfs=-20.0,
        clipped_samples=0,
        digital_silence=False,
        top=(),
    )
    publisher.publish(status("before"))
    publisher.publish_level(message_builders.level_message("kitchen", level))
    both = [receive(subscriber), receive(subscriber)]
    assert {type(message) for message in both} == {StatusMessage, LevelMessage}
    (before,) = [message for message in both if isinstance(message, StatusMessage)]
    publisher.publish(status("after"))
    message = receive(subscriber)
    assert isinstance(message, StatusMessage)
    assert (message.message, message.seq) == ("after", before.seq + 1)


def test_topics_cut_cleanly(start_with_subscriber: StartWithSubscriber) -> None:
    publisher, subscriber = start_with_subscriber(topics=["status/kitchen/"], heartbeat_s=0.1)
    for source in ("kitchen2", "kit", "kitchen"):
        publisher.publish(status("here", source))
    (message,) = [
        message
        for message in receive_until(subscriber, lambda m: isinstance(m, StatusMessage))
        if not isinstance(message, Gap)  # nobody answers what came on the other topics
    ]
    assert message.source == "kitchen"


def test_heartbeats_carry_the_last_number(start_with_subscriber: StartWithSubscriber) -> None:
    publisher, subscriber = start_with_subscriber(heartbeat_s=0.05, topics=["heartbeat/"])
    first = receive(subscriber)
    assert isinstance(first, Heartbeat)
    publisher.publish(status("one"))
    publisher.publish(status("two"))
    before = first.last_seq
    receive_until(subscriber, lambda m: isinstance(m, Heartbeat) and m.last_seq == before + 2)


def test_closing_sends_everything_that_was_handed_over(
    start_with_subscriber: StartWithSubscriber,
) -> None:
    publisher, subscriber = start_with_subscriber()
    for number in range(2000):
        publisher.publish(status(str(number)))
    publisher.close()
    assert [text_of(receive(subscriber)) for _ in range(2000)] == [str(n) for n in range(2000)]
    with pytest.raises(PublishError, match="closed"):
        publisher.publish(status("too late"))


def test_a_subscriber_that_does_not_read_holds_up_nobody(make_publisher: MakePublisher) -> None:
    limits = SocketLimits(send_high_water=10, linger_s=0.1)
    arrived = threading.Semaphore(0)
    publisher = make_publisher(on_subscriber=arrived.release, limits=limits)
    publisher.start()
    with zmq.Context() as context, context.socket(zmq.SUB) as stalled:
        stalled.set(zmq.RCVHWM, 1)
        stalled.set(zmq.RCVBUF, 4096)
        stalled.set(zmq.LINGER, 0)
        stalled.subscribe("status/")
        stalled.connect(publisher.endpoints[0])
        assert arrived.acquire(timeout=PATIENCE_S)
        with Subscriber(publisher.endpoints[0], topics=["status/marker/"]) as healthy:
            assert arrived.acquire(timeout=PATIENCE_S)
            for _ in range(20_000):  # 20 MB: more than any buffer on the way takes
                publisher.publish(status("x" * 1000))
            publisher.publish(status("still here", "marker"))
            assert text_of(receive(healthy)) == "still here"
        publisher.close()
        received = 0
        while stalled.poll(500):
            stalled.recv_multipart()
            received += 1
        assert received < 20_000, "it never stalled: the test shows nothing"


def test_a_full_queue_holds_the_caller_and_loses_nothing(
    start_with_subscriber: StartWithSubscriber,
) -> None:
    gate = threading.Event()

    def gated(seq: int, now: datetime) -> NumberedMessage:
        assert gate.wait(PATIENCE_S)
        return status("gated")(seq, now)

    publisher, subscriber = start_with_subscriber(limits=SocketLimits(queue_messages=5))
    publisher.publish(gated)
    for number in range(4):
        publisher.publish(status(str(number)))
    handed_over = threading.Event()

    def one_more() -> None:
        publisher.publish(status("last"))
        handed_over.set()

    caller = threading.Thread(target=one_more)
    caller.start()
    assert not handed_over.wait(0.2)
    gate.set()
    assert handed_over.wait(PATIENCE_S)
    caller.join()
    texts = [text_of(receive(subscriber)) for _ in range(6)]
    assert texts == ["gated", "0", "1", "2", "3", "last"]


def test_a_failure_of_the_thread_is_told(make_publisher: MakePublisher) -> None:
    def broken(seq: int, now: datetime) -> NumberedMessage:
        raise RuntimeError("boom")

    notified = threading.Event()
    publisher = make_publisher(on_failure=notified.set)
    publisher.start()
    publisher.publish(broken)
    assert notified.wait(PATIENCE_S)
    assert isinstance(publisher.failure, RuntimeError)
    with pytest.raises(PublishError):
        publisher.publish(status("nobody sends this"))


def test_hostile_subscriptions_are_ignored(start_with_subscriber: StartWithSubscriber) -> None:
    publisher, subscriber = start_with_subscriber()
    with zmq.Context() as context, context.socket(zmq.XSUB) as hostile:
        hostile.set(zmq.LINGER, 0)
        hostile.connect(publisher.endpoints[0])
        for junk in ([b""], [b"\xff" * 100, b"more", b""], [b"\1" + b"t" * 100_000], [b"\2"]):
            hostile.send_multipart(junk)
        hostile.send(b"\1status/")
        publisher.publish(status("unharmed"))
        assert text_of(receive(subscriber)) == "unharmed"


def test_a_port_in_use_is_one_line(make_publisher: MakePublisher) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(PublishError, match=f"{address}: address already in use"):
            make_publisher(address)


def test_ipc_socket_is_private_and_removed_at_the_end(
    tmp_path: Path, make_publisher: MakePublisher
) -> None:
    path = tmp_path / "run" / "streamsed.sock"
    publisher = make_publisher(f"ipc://{path}")
    assert stat.S_IMODE(path.stat().st_mode) & 0o177 == 0
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    publisher.close()
    assert not path.exists()


def test_a_socket_file_that_a_dead_process_left_is_replaced(
    tmp_path: Path, start_with_subscriber: StartWithSubscriber
) -> None:
    path = tmp_path / "streamsed.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    publisher, subscriber = start_with_subscriber(f"ipc://{path}")
    publisher.publish(status("alive"))
    assert text_of(receive(subscriber)) == "alive"


@pytest.mark.parametrize(("mode", "directory"), [(0o600, 0o700), (0o660, 0o710), (0o666, 0o711)])
def test_an_ipc_socket_is_for_those_whom_it_is_meant_for(
    tmp_path: Path, mode: int, directory: int
) -> None:
    path = tmp_path / "run" / "streamsed.sock"
    bound = BoundSocket([f"ipc://{path}"], SocketLimits(), ipc_mode=mode)
    try:
        assert path.stat().st_mode & 0o777 == mode
        assert path.parent.stat().st_mode & 0o777 == directory
    finally:
        bound.close()


def test_an_ipc_socket_is_not_made_where_anybody_may_replace_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    address = f"ipc://{tmp_path}/streamsed.sock"
    with pytest.raises(PublishError, match=r"anybody may write to .*; chmod o-w it"):
        BoundSocket([address], SocketLimits())
    tmp_path.chmod(0o1777)  # as /tmp is: what lies there is its owner's to remove
    BoundSocket([address], SocketLimits()).close()


def test_an_ipc_path_is_not_taken_from_its_owner(
    tmp_path: Path, make_publisher: MakePublisher, start_with_subscriber: StartWithSubscriber
) -> None:
    address = f"ipc://{tmp_path / 'streamsed.sock'}"
    publisher, subscriber = start_with_subscriber(address)
    with pytest.raises(PublishError, match="another process is listening"):
        make_publisher(address)
    publisher.publish(status("still mine"))
    assert text_of(receive(subscriber)) == "still mine"


def test_an_ipc_path_over_a_file_or_too_long_is_refused(
    tmp_path: Path, make_publisher: MakePublisher
) -> None:
    (tmp_path / "notes.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(PublishError, match="no socket"):
        make_publisher(f"ipc://{tmp_path / 'notes.txt'}")
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "precious"
    with pytest.raises(PublishError, match="cannot bind"):
        make_publisher(f"ipc://{tmp_path / ('long' * 40)}")


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:5577",
        "tcp://127.8.8.8:1",
        "tcp://[::1]:5577",
        "tcp://localhost:*",
        "ipc:///run/streamsed.sock",
    ],
)
def test_local_addresses_may_be_bound(address: str) -> None:
    check_bind(address, guarded=False)


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:5577", "tcp://*:5577", "tcp://192.168.1.5:1", "tcp://eth7:5577"]
)
def test_addresses_that_others_reach_need_insecure(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo"), (2, "eth7")])
    check_bind(address, guarded=True)
    with pytest.raises(ValueError, match=r"publish\.insecure"):
        check_bind(address, guarded=False)


@pytest.mark.parametrize("host", ["nonsense.invalid", f"{'long' * 20}.invalid", "a..b"])
def test_a_host_that_nobody_knows_is_called_that(host: str) -> None:
    with pytest.raises(ValueError, match="cannot be resolved"):
        check_bind(f"tcp://{host}:5577", guarded=False)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "5577",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:99999",
        "tcp://127.0.0.1:port",
        "tcp://:5577",
        "ipc://",
        "inproc://x",
        "udp://127.0.0.1:1",
    ],
)
def test_malformed_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"address|port"):
        check_bind(address, guarded=True)


def test_an_abstract_socket_is_refused_for_everybody_may_connect() -> None:
    with pytest.raises(ValueError, match="everybody on this machine may connect"):
        check_bind("ipc://@streamsed", guarded=True)


def test_default_binds_follow_the_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert default_binds() == ("tcp://127.0.0.1:5577",)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert default_binds()[1] == "ipc:///run/user/1000/streamsed/streamsed.sock"
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/streamsed:/run/other")
    assert default_binds()[1] == "ipc:///run/streamsed/streamsed.sock"


def test_publication_is_stamped_as_it_is_sent(start_with_subscriber: StartWithSubscriber) -> None:
    publisher, subscriber = start_with_subscriber()
    before = time.time()
    publisher.publish(status("now"))
    message = receive(subscriber)
    assert before - 1 <= message.published.timestamp() <= time.time() + 1
