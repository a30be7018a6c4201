"""Publisher: one thread that owns the XPUB socket and sends what the others hand it."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice

import zmq

from streamsed.errors import PublishError
from streamsed.publish.admission import Admission
from streamsed.publish.binding import BoundSocket, SocketLimits
from streamsed.publish.compose import Draft, Remark
from streamsed.publish.journal_recorder import Recorder
from streamsed.publish.messages import Heartbeat

_MOST_AT_ONCE = 256  # messages that are journaled together
_REPLAY_S = 0.2  # shortest time between replays, however many subscribe


class Publisher:
    """Journals and sends messages; beats the heart.

    ZeroMQ sockets belong to one thread, so everybody else hands over drafts through a bounded
    queue and never touches the socket. What waits there is numbered, written to the journal as
    one group, and then sent: order of numbers is order on the wire, and nobody sees a message
    that a crash could undo.

    Attributes:
        endpoints: the bound addresses, wildcards resolved.
        recorder: belongs to the publisher's thread once that is started.
    """

    def __init__(
        self,
        binds: Sequence[str],
        *,
        heartbeat: Callable[[int, datetime], Heartbeat],
        heartbeat_s: float = 1.0,
        limits: SocketLimits | None = None,
        ipc_mode: int = 0o600,
        admission: Admission | None = None,
        recorder: Recorder | None = None,
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
            admission: who may connect; None for everybody.
            recorder: numbers and journals the messages; one without a journal unless given.
            on_subscriber: called in the publisher's thread when somebody subscribes.
            on_failure: called in the publisher's thread when it dies; see :attr:`failure`.

        Raises:
            PublishError: an address cannot be bound.
        """
        self.limits = limits or SocketLimits()
        self._bound = BoundSocket(
            binds,
            self.limits,
            ipc_mode=ipc_mode,
            admission=admission,
            on_revoked=self._wake,
        )
        self._socket = self._bound.socket
        self.endpoints = self._bound.endpoints
        self.failure: Exception | None = None
        self.subscribed = False
        self._heartbeat = heartbeat
        self._heartbeat_s = heartbeat_s
        self.recorder = recorder or Recorder()
        self._on_subscriber = on_subscriber
        self._on_failure = on_failure
        self._joined: set[bytes] = set()  # topics that were subscribed to, not yet replayed
        self._replay_at = -math.inf
        self._drafts: deque[Draft] = deque()
        self._remarks: deque[Remark] = deque(maxlen=self.limits.queue_messages)
        self._changed = threading.Condition()
        self._closing = False
        self._opened = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin to send, with a heartbeat first; returns once the numbers of messages are known."""
        self._thread.start()
        self._opened.wait()

    def publish(self, draft: Draft) -> None:
        """Hand over a message, from any thread; messages of one thread keep their order.

        Raises:
            PublishError: the publisher has been closed or has failed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._drafts) < self.limits.queue_messages or self._closing
            )
            if self._closing:
                raise PublishError("cannot publish: the publisher is closed") from self.failure
            self._drafts.append(draft)
        self._wake()

    def remark(self, remark: Remark) -> None:
        """Hand over a message without a number, from any thread.

        Never waits, for nothing depends on it: when too many wait, the oldest is dropped.
        """
        self._remarks.append(remark)
        self._wake()

    def close(self) -> None:
        """Send what was handed over, wait at most ``linger_s`` for subscribers to take it.

        May be called twice.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._wake()
        if self._thread.ident is not None:
            self._thread.join()
        self._bound.close()
        self._wake_in.close()
        self._wake_out.close()

    @property
    def last_seq(self) -> int:
        """Number of the last message sent; 0 before the first."""
        return self.recorder.last_seq

    @property
    def closed(self) -> bool:
        """Whether the socket is closed."""
        return self._socket.closed

    def _wake(self) -> None:
        # A full pipe means that a wake-up is waiting already; a closed one, that nobody sleeps.
        with contextlib.suppress(BlockingIOError, OSError):
            self._wake_in.send(b"\0")

    def _run(self) -> None:
        try:
            self.recorder.open()
            self._opened.set()
            self._serve()
        except Exception as error:  # whatever it is, the daemon has to know
            self.failure = error
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            self._on_failure()
        finally:
            self._opened.set()
            self.recorder.close()

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_out, zmq.POLLIN)
        self._record_and_send()  # the offsets of what an earlier run left open, before all else
        beat_at = time.monotonic()
        while True:
            due = min(beat_at, self._replay_at) if self._joined else beat_at
            poller.poll(max(0, math.ceil((due - time.monotonic()) * 1e3)))
            self._bound.evict()
            self._read_subscriptions()
            if self._joined and time.monotonic() >= self._replay_at:
                self._replay()
            with contextlib.suppress(BlockingIOError):
                self._wake_out.recv(4096)
            closing = self._closing
            self._record_and_send()
            self._send_remarks()
            if closing:
                return
            if time.monotonic() >= beat_at:
                self._beat()
                beat_at = time.monotonic() + self._heartbeat_s
            self.recorder.tidy()

    def _beat(self) -> None:
        self.recorder.beat()
        self._record_and_send()  # what comes of a journal that is in order again
        self._send(self._heartbeat(self.recorder.last_seq, datetime.now(UTC)).frames())

    def _read_subscriptions(self) -> None:
        while self._socket.poll(0):
            frame = self._socket.recv_multipart()[0]
            if frame[:1] == b"\1":
                self._joined.add(frame[1:])
                self.subscribed = True
                self._on_subscriber()

    def _replay(self) -> None:
        """Tell late joiners, and all others on their topics, how things stand."""
        for message in self.recorder.last_values.matching(self._joined):
            self._send(message.model_copy(update={"replay": True}).frames())
        self._joined.clear()
        self._replay_at = time.monotonic() + _REPLAY_S

    def _record_and_send(self) -> None:
        while (interrupted := self.recorder.take_interrupted()) or self._drafts:
            with self._changed:
                waiting = list(islice(self._drafts, _MOST_AT_ONCE))
            self._send_remarks()  # among them those that were made before these messages
            for entry in self.recorder.record([*interrupted, *waiting]):
                self._send((entry.topic, entry.body))
            with self._changed:
                for _ in waiting:
                    self._drafts.popleft()
                self._changed.notify_all()

    def _send_remarks(self) -> None:
        while self._remarks:
            self._send(self._remarks.popleft()(datetime.now(UTC)).frames())

    def _send(self, frames: tuple[bytes, bytes]) -> None:
        # XPUB never blocks: what a subscriber at its high-water mark cannot take, it loses.
        self._socket.send_multipart(frames, zmq.DONTWAIT)
