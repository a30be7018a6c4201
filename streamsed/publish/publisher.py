"""Publisher: one thread that owns the XPUB socket, and the outbox that it sends from."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog
import zmq

from streamsed.publish.authentication import Authentication
from streamsed.publish.binding import BoundSocket, SocketLimits
from streamsed.publish.journal_format import JournalEntry
from streamsed.publish.message_builders import LevelBuilder, MessageBuilder
from streamsed.publish.messages import Heartbeat
from streamsed.publish.outbox import Outbox
from streamsed.publish.sequencer import Sequencer

_AT_ONCE = 512  # messages sent, and subscriptions read, before the rest has its turn
_LOOK_S = 1.0  # the longest wait
_REPLAY_S = 0.2  # shortest time between replays, however many subscribe
_LONGEST_REPLAY_S = 3.2  # the same while they keep subscribing
_STOP_S = 10.0  # for what was handed over to be sent, which takes milliseconds
_CALM_S = 10.0  # without subscriptions, after which replays come quickly again
_MOST_JOINED = 1_000  # topics to be replayed; with more, everything is

log = structlog.get_logger()


class Publisher:
    """Sends what the outbox has recorded, and a heartbeat at its interval, whatever comes in.

    ZeroMQ sockets belong to one thread, so all others hand over builders and never touch the
    socket. The journal is written by another thread: a disk that hangs stops no heartbeat.

    Attributes:
        endpoints: the bound addresses, wildcards resolved.
        outbox: numbers and journals.
        beat_at: when the last heartbeat was sent (``time.monotonic()``); None before the first.
        subscribed: whether any client has subscribed yet.
    """

    def __init__(
        self,
        binds: Sequence[str],
        *,
        heartbeat: Callable[[int, datetime], Heartbeat],
        heartbeat_s: float = 1.0,
        limits: SocketLimits | None = None,
        ipc_mode: int = 0o600,
        authentication: Authentication | None = None,
        sequencer: Sequencer | None = None,
        on_recorded: Callable[[], None] = lambda: None,
        on_subscriber: Callable[[], None] = lambda: None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """Bind the socket; nothing is sent before :meth:`start`.

        Args:
            binds: addresses, such as ``tcp://127.0.0.1:5577`` or ``ipc:///run/streamsed/sock``.
            heartbeat: makes the heartbeat, given the last number and the time; called from the
                publisher's thread.
            heartbeat_s: interval of heartbeats.
            limits: bounds of the socket and the queue.
            ipc_mode: permissions of the files of ipc sockets.
            authentication: which clients may connect; None for all.
            sequencer: numbers and journals the messages; one without a journal unless given.
            on_recorded: called in the outbox's thread after messages were recorded; never waits.
            on_subscriber: called in the publisher's thread when a client subscribes.
            on_failure: called in the thread that failed; see :attr:`failure`.

        Raises:
            PublishError: an address cannot be bound.
        """
        self.limits = limits or SocketLimits()
        self._bound = BoundSocket(
            binds,
            self.limits,
            ipc_mode=ipc_mode,
            authentication=authentication,
            on_revoked=self._wake,
        )
        self._socket = self._bound.socket
        self.endpoints = self._bound.endpoints
        self.subscribed = False
        self.beat_at: float | None = None
        self.outbox = Outbox(
            sequencer or Sequencer(),
            self._take,
            queue_messages=self.limits.queue_messages,
            beat_s=heartbeat_s,
            on_recorded=on_recorded,
            on_failure=on_failure,
        )
        self._failure: Exception | None = None
        self._heartbeat = heartbeat
        self._heartbeat_s = heartbeat_s
        self._on_subscriber = on_subscriber
        self._on_failure = on_failure
        self._joined: set[bytes] = set()  # topics that were subscribed to, not yet replayed
        self._joined_at = -math.inf
        self._replay_at = -math.inf
        self._replay_s = _REPLAY_S
        self._read = 0  # subscriptions, since there was nothing left to read
        self._outgoing: deque[JournalEntry] = deque()
        self._taken = threading.Condition()
        self._sent_seq = 0
        self._levels: deque[LevelBuilder] = deque(maxlen=self.limits.queue_messages)
        self._closing = False
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin to send, with a heartbeat first; returns once the numbers of messages are known."""
        self.outbox.start()
        self._sent_seq = self._outgoing[0].seq - 1 if self._outgoing else self.last_seq
        self._thread.start()

    def publish(self, builder: MessageBuilder) -> None:
        """Hand over a message, from any thread; messages of one thread keep their order.

        Raises:
            PublishError: the publisher has been closed or has failed.
        """
        self.outbox.publish(builder)

    def publish_level(self, builder: LevelBuilder) -> None:
        """Hand over a message without a number, from any thread.

        Never waits, for nothing depends on it: when too many wait, the oldest is dropped.
        """
        self._levels.append(builder)
        self._wake()

    def close(self) -> None:
        """Send what was handed over, wait at most ``linger_s`` for subscribers to take it.

        May be called twice.
        """
        self.outbox.close()
        self._closing = True
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
            if self._thread.is_alive():  # the socket is still its
                log.error("publisher_hangs")
                return
        self._bound.close()
        self._wake_in.close()
        self._wake_out.close()

    @property
    def sequencer(self) -> Sequencer:
        """Of the outbox, whose thread it belongs to."""
        return self.outbox.sequencer

    @property
    def failure(self) -> Exception | None:
        """What ended one of the two threads before its time."""
        return self._failure or self.outbox.failure

    @property
    def last_seq(self) -> int:
        """Number of the last message recorded; 0 before the first."""
        return self.sequencer.last_seq

    @property
    def closed(self) -> bool:
        """Whether the socket is closed."""
        return self._socket.closed

    def _wake(self) -> None:
        # A full pipe means that a wake-up is waiting already; a closed one, that no thread waits.
        with contextlib.suppress(BlockingIOError, OSError):
            self._wake_in.send(b"\0")

    def _take(self, entries: Sequence[JournalEntry]) -> None:
        """Take what was recorded, to be sent; wait while too much waits to be."""
        with self._taken:
            self._taken.wait_for(
                lambda: len(self._outgoing) < self.limits.queue_messages or self._failure
            )
            self._outgoing.extend(entries)
        self._wake()

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:  # whatever it is, the daemon has to end
            with self._taken:
                self._failure = error
                self._taken.notify_all()
            self.outbox.refuse()
            self._on_failure()

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_out, zmq.POLLIN)
        beat_at = time.monotonic()
        while True:
            due = min(beat_at, self._replay_at) if self._joined else beat_at
            wait_ms = math.ceil(min(due - time.monotonic(), _LOOK_S) * 1e3)
            poller.poll(0 if self._outgoing else max(0, wait_ms))
            with contextlib.suppress(BlockingIOError):
                self._wake_out.recv(4096)
            closing = self._closing
            self._bound.evict()
            self._send_levels()
            self._send_recorded()
            if time.monotonic() >= beat_at and not closing:
                self._beat()
                beat_at = time.monotonic() + self._heartbeat_s
            if closing and not self._outgoing:
                return
            self._read_subscriptions()
            if self._joined and time.monotonic() >= self._replay_at:
                self._replay()

    def _beat(self) -> None:
        self._send(self._heartbeat(self._sent_seq, datetime.now(UTC)).frames())
        self.beat_at = time.monotonic()

    def _send_recorded(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._outgoing:
                break
            entry = self._outgoing.popleft()
            self._send((entry.topic, entry.body))
            self._sent_seq = entry.seq
        with self._taken:
            self._taken.notify_all()

    def _read_subscriptions(self) -> None:
        """Read some of what came in; the rest has its turn after what is to be sent."""
        for _ in range(_AT_ONCE):
            try:
                frame = self._socket.recv_multipart(zmq.DONTWAIT)[0]
            except zmq.Again:
                self._bound.note_read(self._read)
                self._read = 0
                return
            if frame[:1] == b"\1":
                self._read += 1
                self._join(frame[1:])

    def _join(self, topic: bytes) -> None:
        now = time.monotonic()
        if now - self._joined_at > _CALM_S:
            self._replay_s = _REPLAY_S
        self._joined_at = now
        if len(self._joined) >= _MOST_JOINED:
            self._joined = {b""}
        self._joined.add(topic)
        self.subscribed = True
        self._on_subscriber()

    def _replay(self) -> None:
        """Publish the last values on their topics again, for late joiners.

        All other subscribers to these topics get them too, so replays come ever more seldom while
        clients keep subscribing.
        """
        for message in self.sequencer.last_value_cache.matching(self._joined):
            if message.seq <= self._sent_seq:  # what is newer is on its way
                self._send(message.model_copy(update={"replay": True}).frames())
        self._joined.clear()
        self._replay_at = time.monotonic() + self._replay_s
        self._replay_s = min(1.1 * self._replay_s, _LONGEST_REPLAY_S)

    def _send_levels(self) -> None:
        for _ in range(len(self._levels)):
            self._send(self._levels.popleft()(datetime.now(UTC)).frames())

    def _send(self, frames: tuple[bytes, bytes]) -> None:
        # XPUB never blocks: what a subscriber at its high-water mark cannot take, it loses.
        self._socket.send_multipart(frames, zmq.DONTWAIT)
