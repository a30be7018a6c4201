"""Front: accepts connections and passes their bytes to and from a ZeroMQ socket, within limits.

libzmq applies every subscription that comes in the thread that sends, without an end while more
come, and keeps as many and as long ones as it gets: about 50 bytes of memory for each byte of
them. When a connection ends it looks through all of them. It cannot limit that, nor the number of
connections, nor close a single one. So what comes from outside reaches it through this thread,
which reads no faster than it should.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from streamsed.publish.front_link import FREE_BYTES, Link, TokenBucket
from streamsed.publish.listening import keep_alive

_SIGNATURE_BYTES = 10  # of ZMTP (RFC 23): 0xFF, eight bytes, 0x7F
_SIGNATURE_S = 5.0  # for these to come
_ARRIVING_S = 5.0  # after which a connection is no longer a newcomer
_IDLE_S = 10.0  # without a byte either way: may be closed to make room for another
_INWARD_BYTES = 2048  # read from one connection before the next has its turn
_OUTWARD_BYTES = 65_536
_OUTWARD_TURNS = 4
_LEAST_ROOM_BYTES = 128  # that makes it worth while to read
_ACCEPTS, _ACCEPTS_S = 64, 500  # connections accepted at once and in a second, if only to be closed
_CHANGE_S = 0.003  # between changes of libzmq's connections, with nothing held
_CHANGE_S_A_BYTE = 4e-7  # more for each byte held: several times as long as libzmq is busy
_CUT_S = 2.0  # between those that are closed because too much is held
_REST_S = 0.0005  # between turns, so that a busy connection costs few of them
_THROTTLED_S = 0.02  # how often it is looked whether more may be read
_INSPECT_S = 1.0  # how often connections are looked at
_DISCOUNT_S = 5.0  # in which what was sent comes to be a subscription, if it is one
_LOG_S = 60.0  # between warnings of one kind

_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_NO_DESCRIPTOR = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontLimits:
    """What clients may do. The defaults are for subscriptions.

    Attributes:
        connections: open at a time. Beyond that one that is idle is closed, else the newcomer.
        burst_bytes: that a connection may send at once.
        bytes_s: that it may send in the long run.
        all_burst_bytes: that all may send at once.
        all_bytes_s: that all may send in the long run; who has sent the least comes first.
        held_bytes: that all open connections may have sent, but for a handshake each, and for what
            proved to be no subscription; beyond that no more is read, and the one that has sent
            the most is closed. Infinite where nothing is kept of it.
    """

    connections: int = 256
    burst_bytes: float = 65_536
    bytes_s: float = 512
    all_burst_bytes: float = 131_072
    all_bytes_s: float = 16_384
    held_bytes: float = 131_072


class Front:
    """Accepts at some addresses, in a thread of its own, and passes on to another."""

    def __init__(
        self, listeners: Sequence[socket.socket], to: str, limits: FrontLimits, *, key: str
    ) -> None:
        """Begin to accept.

        Args:
            listeners: they belong to the front from now on.
            to: name of the abstract socket where libzmq listens, for this process alone.
            limits: of what clients may do.
            key: of the configuration, where the addresses stand; for the log.
        """
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._to = f"\0{to}"
        self._limits = limits
        self._key = key
        now = time.monotonic()
        self._all = TokenBucket(burst=limits.all_burst_bytes, per_s=limits.all_bytes_s, now=now)
        self._accepts = TokenBucket(burst=_ACCEPTS, per_s=_ACCEPTS_S, now=now)
        self._held = 0
        counts = limits.held_bytes < math.inf  # else libzmq keeps nothing of it to look through
        self._change_s_a_byte = _CHANGE_S_A_BYTE if counts else 0.0
        self._open: set[Link] = set()
        self._links: dict[int, Link] = {}  # by either descriptor
        self._outgoing: set[Link] = set()  # something may be sent to the client
        self._incoming: set[Link] = set()  # something may be read from the client
        self._greeted: deque[Link] = deque()  # to be passed on to libzmq
        self._closing: deque[Link] = deque()  # whose client is gone; not yet closed for libzmq
        self._change_at = now
        self._opened_last = False  # the last change was one who came; they take turns
        self._cut_at = now
        self._acceptable = set(self._listeners)
        self._accept_at = -math.inf
        self._inspect_at = now + _INSPECT_S
        self._logged: dict[str, float] = {}
        self._drop = False
        self._stopped_reading = False
        self._subscriptions = self._subscriptions_before = 0
        self._all_read_at = self._discount_at = now
        self._end_at = math.inf
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)
        for descriptor in self._listeners:
            self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)
        self._thread.start()

    def arriving(self) -> str:
        """Return who has connected in the last seconds: addresses, or uid and process."""
        since = time.monotonic() - _ARRIVING_S
        links = list(self._open)
        return ", ".join(
            sorted({link.peer for link in links if since <= link.passed_at < math.inf})
        )

    @property
    def is_connected(self) -> bool:
        """Whether a client is connected; any thread may read it."""
        return bool(self._open)

    def drop_all(self) -> None:
        """Close all connections, soon; clients may come back at once. Any thread may call this."""
        self._drop = True
        os.eventfd_write(self._wake, 1)

    def note_read(self, subscriptions: int) -> None:
        """Note that libzmq has nothing left to read. For the thread that owns its socket.

        Args:
            subscriptions: read since the last time.
        """
        self._subscriptions += subscriptions
        self._all_read_at = time.monotonic()

    def _discount(self, now: float) -> None:
        """Count no longer what brought no subscription: probes of connections (RFC 37), mostly."""
        if (
            self._subscriptions == self._subscriptions_before
            and self._all_read_at > self._discount_at
        ):
            for link in self._open:
                self._held -= link.held
                link.received -= link.earlier
                self._held += link.held
        for link in self._open:
            link.earlier, link.recent = link.recent, 0
        self._subscriptions_before, self._discount_at = self._subscriptions, now

    def stop_reading(self) -> None:
        """Accept and read nothing from now on; what libzmq has sent still goes to the clients."""
        self._stopped_reading = True
        os.eventfd_write(self._wake, 1)

    def close(self, patience_s: float) -> None:
        """Close, once clients have taken what libzmq sent before it closed; twice is fine.

        Args:
            patience_s: after which it closes all the same.
        """
        if not self._thread.is_alive():
            return
        self._end_at = time.monotonic() + patience_s
        self.stop_reading()
        self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        try:
            while not self._is_finished():
                self._wait(self._timeout_s())
                if self._turn(time.monotonic()):
                    time.sleep(_REST_S)
        except Exception:
            log.exception("front_failed", on=self._key)
        finally:
            for link in list(self._open):
                self._close(link)
            for link in self._closing:
                self._close_server(link)
            for listener in self._listeners.values():
                listener.close()
            self._epoll.close()

    def _is_finished(self) -> bool:
        if self._end_at == math.inf:
            return False
        return not self._open or time.monotonic() >= self._end_at

    def _timeout_s(self) -> float:
        if self._outgoing:
            return 0.0
        if self._greeted or self._closing:
            return min(_THROTTLED_S, max(0.0, self._change_at - time.monotonic()))
        if self._incoming or self._acceptable or self._end_at < math.inf:
            return _THROTTLED_S
        return max(0.0, self._inspect_at - time.monotonic())

    def _wait(self, timeout_s: float) -> None:
        for descriptor, events in self._epoll.poll(timeout_s):
            if descriptor == self._wake:
                os.eventfd_read(self._wake)
            elif descriptor in self._listeners:
                self._acceptable.add(descriptor)
            elif (link := self._links.get(descriptor)) is not None:
                self._note(link, events, of_client=descriptor == link.client.fileno())

    def _note(self, link: Link, events: int, *, of_client: bool) -> None:
        if not of_client:
            link.server_readable = True  # or closed, which reading shows
            self._outgoing.add(link)
            if link.inward:
                self._incoming.add(link)
            return
        if events & _GONE:
            self._close(link)
            return
        if events & select.EPOLLOUT:
            link.client_writable = True
            self._outgoing.add(link)
        if events & select.EPOLLIN:
            link.client_readable = True
            self._incoming.add(link)

    def _turn(self, now: float) -> bool:
        """Do some of what there is to do; return whether anything moved."""
        if self._drop:
            self._drop = False
            for link in list(self._open):
                self._close(link)
        moved = False
        if not self._stopped_reading:
            moved |= self._accept(now)
            moved |= self._read(now)
            moved |= self._change(now)
        for link in list(self._outgoing):
            moved |= self._send(link, now)
        if now >= self._inspect_at:
            self._inspect_at = now + _INSPECT_S
            if now >= self._discount_at + _DISCOUNT_S:
                self._discount(now)
            for link in list(self._open):
                if link.server is None and now - link.since > _SIGNATURE_S:
                    self._close(link)
        return moved

    def _accept(self, now: float) -> bool:
        accepted = False
        self._accepts.refill(now)
        while self._acceptable and self._accepts.left >= 1 and now >= self._accept_at:
            descriptor = next(iter(self._acceptable))
            try:
                client, _ = self._listeners[descriptor].accept()
            except BlockingIOError:
                self._acceptable.discard(descriptor)
                continue
            except OSError as error:  # the client is gone already, or there is no descriptor left
                if error.errno in _NO_DESCRIPTOR:
                    self._make_room(now)
                    self._accept_at = now + 5 * _THROTTLED_S
                continue
            accepted = True
            self._accepts.left -= 1
            full = len(self._open) + len(self._closing) >= self._limits.connections
            if full and not self._make_room(now):
                client.close()
                continue
            client.setblocking(False)
            with contextlib.suppress(OSError):
                keep_alive(client)
            limits = self._limits
            allowance = TokenBucket(burst=limits.burst_bytes, per_s=limits.bytes_s, now=now)
            link = Link(client, allowance, now)
            self._open.add(link)
            self._links[client.fileno()] = link
            self._epoll.register(client.fileno(), _EVENTS)
        return accepted

    def _make_room(self, now: float) -> bool:
        """Close the connection that has been idle for longest, if one has been for long."""
        links = self._open
        unsigned = [link for link in links if link.server is None and now - link.since > 1.0]
        idle = [link for link in links if now - link.moved_at > _IDLE_S]
        if unsigned or idle:
            self._close(min(unsigned or idle, key=lambda link: link.moved_at))
        closed = "one that was idle" if unsigned or idle else "the newcomer"
        self._warn("connections_full", open=len(links), closed=closed)
        return bool(unsigned or idle)

    def _read(self, now: float) -> bool:
        moved = False
        self._all.refill(now)
        full = self._held > self._limits.held_bytes
        for link in sorted(self._incoming, key=lambda link: link.received):
            if link.received >= FREE_BYTES and (full or self._all.left < _LEAST_ROOM_BYTES):
                break  # nor may those who have sent more
            if link.server is not None and link.inward:
                self._forward(link)
            if not link.inward or (link.server is None and len(link.inward) < _SIGNATURE_BYTES):
                moved |= self._read_from(link, now)
        if full and now >= self._cut_at:
            self._cut_at = now + _CUT_S
            most = max(self._open, key=lambda link: link.received, default=None)
            if most is not None:
                self._warn("subscriptions_too_many", client=most.peer, sent_bytes=most.received)
                self._close(most)
        return moved

    def _read_from(self, link: Link, now: float) -> bool:
        room = min(link.allowance.refill(now), _INWARD_BYTES)
        if link.received >= FREE_BYTES:
            room = min(room, self._all.left)
        if room < _LEAST_ROOM_BYTES:
            if link.allowance.left < _LEAST_ROOM_BYTES:
                self._warn("client_throttled", client=link.peer, sent_bytes=link.received)
            return False
        if link.server is None:
            room = _SIGNATURE_BYTES - len(link.inward)
        try:
            came = link.client.recv(int(room))
        except BlockingIOError:
            link.client_readable = False
            self._incoming.discard(link)
            return False
        except OSError:
            came = b""
        if not came:
            self._close(link)
            return False
        link.allowance.left -= len(came)
        if link.received >= FREE_BYTES:
            self._all.left -= len(came)
        self._held -= link.held
        link.received += len(came)
        link.recent += len(came)
        self._held += link.held
        link.moved_at = now
        link.inward += came
        if link.server is not None:
            self._forward(link)
        elif len(link.inward) == _SIGNATURE_BYTES:
            self._check_signature(link)
        return True

    def _check_signature(self, link: Link) -> None:
        self._incoming.discard(link)
        if link.inward[0] == 0xFF and link.inward[-1] == 0x7F:
            self._greeted.append(link)
        else:
            self._close(link)

    def _change(self, now: float) -> bool:
        """Pass on to libzmq that clients have gone, and those that have sent a signature.

        One at a time, for each costs the thread that sends; those who come and go take turns.
        """
        while self._greeted and self._greeted[0] not in self._open:
            self._greeted.popleft()  # gone meanwhile
        if now < self._change_at or not (self._closing or self._greeted):
            return False
        self._opened_last = bool(self._greeted) and not (self._opened_last and self._closing)
        if not self._opened_last:
            self._close_server(self._closing.popleft())
        elif not self._pass_on(self._greeted.popleft(), now):
            return False
        self._change_at = now + _CHANGE_S + self._held * self._change_s_a_byte
        return True

    def _pass_on(self, link: Link, now: float) -> bool:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            server.connect(self._to)
        except OSError as error:
            server.close()
            if isinstance(error, BlockingIOError):  # its backlog is full: later
                self._greeted.appendleft(link)
            else:
                self._close(link)
            return False
        link.server, link.passed_at = server, now
        self._links[server.fileno()] = link
        self._epoll.register(server.fileno(), _EVENTS)
        self._incoming.add(link)
        self._forward(link)
        return True

    def _forward(self, link: Link) -> None:
        assert link.server is not None
        try:
            sent = link.server.send(link.inward)
        except BlockingIOError:
            self._incoming.discard(link)  # until libzmq takes more
            return
        except OSError:
            link.inward = b""  # what it sent before may still be read
            self._incoming.discard(link)
            return
        link.inward = link.inward[sent:]
        if not link.inward and link.client_readable:
            self._incoming.add(link)

    def _send(self, link: Link, now: float) -> bool:
        """Pass on what libzmq has for a client; return whether there was something."""
        moved = False
        try:
            for _ in range(_OUTWARD_TURNS):
                if not self._send_some(link):
                    self._outgoing.discard(link)
                    break
                link.moved_at, moved = now, True
        except OSError:
            self._close(link)
        return moved

    def _send_some(self, link: Link) -> bool:
        if not link.outward and not self._fetch(link):
            return False
        if not link.client_writable:
            return False
        try:
            link.outward = link.outward[link.client.send(link.outward) :]
        except BlockingIOError:
            link.client_writable = False
        return link.client_writable

    def _fetch(self, link: Link) -> bool:
        if link.server is None or not link.server_readable:
            return False
        try:
            link.outward = link.server.recv(_OUTWARD_BYTES)
        except BlockingIOError:
            link.server_readable = False
            return False
        if not link.outward:
            self._close(link)
        return bool(link.outward)

    def _close(self, link: Link) -> None:
        if link not in self._open:
            return
        self._open.discard(link)
        del self._links[link.client.fileno()]
        self._outgoing.discard(link)
        self._incoming.discard(link)
        link.client.close()
        if link.server is None:
            self._held -= link.held
            return
        del self._links[link.server.fileno()]
        self._epoll.unregister(link.server.fileno())
        self._closing.append(link)

    def _close_server(self, link: Link) -> None:
        assert link.server is not None
        link.server.close()
        self._held -= link.held

    def _warn(self, event: str, **details: object) -> None:
        now = time.monotonic()
        if now - self._logged.get(event, -math.inf) >= _LOG_S:
            self._logged[event] = now
            log.warning(event, on=self._key, **details)
