"""Servers of endless audio, over HTTP and RTSP, that fall silent, break off and come back."""

from __future__ import annotations

import io
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import numpy as np
import soundfile
import trustme
from numpy.typing import NDArray

CHUNK_S = 0.02
OK = "200 OK"
AHEAD_S = 0.5  # sent at once when somebody connects


class StreamServer:
    """Plays a loop to everybody who connects, at the speed of time.

    Attributes:
        port: on loopback; kept when the server is down for a while.
        loop: ``(n, channels)`` float32.
        rate: Hz; like ``loop`` it may be exchanged, for those who connect later.
        playing: cleared, connections stay open and nothing is sent.
        holding: set, what is due waits, and is sent at once when it is cleared.
        dropping: set, what is due is dropped and not sent later.
        connections: how many there have been.
        certificate: of a server that is encrypted.
    """

    def __init__(
        self,
        loop: NDArray[np.float32],
        rate: int,
        *,
        certificate: ssl.SSLContext | None = None,
    ) -> None:
        self.certificate = certificate
        self.loop = loop
        self.rate = rate
        self.playing = threading.Event()
        self.playing.set()
        self.dropping = threading.Event()
        self.holding = threading.Event()
        self.connections = 0
        self.port = 0
        self._open: list[socket.socket] = []
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self.up()

    def up(self) -> None:
        """Listen, again after :meth:`down`."""
        self._closed.clear()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def down(self) -> None:
        """Break all connections off, and refuse new ones."""
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.break_off()
        for thread in self._threads:
            thread.join(20)
        self._threads.clear()

    def break_off(self) -> None:
        """End all connections; new ones are welcome."""
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections += 1
                self._open.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), self._encrypted(connection) as channel:
            self.answer(channel)
            for frames in self._paced():
                while self.holding.is_set() and not self._closed.is_set():
                    self._closed.wait(CHUNK_S)
                if not self.dropping.is_set():
                    self.send(channel, frames)

    def _encrypted(self, connection: socket.socket) -> socket.socket:
        if self.certificate is None:
            return connection
        return self.certificate.wrap_socket(connection, server_side=True)

    def _paced(self) -> Iterator[NDArray[np.float32]]:
        """Yield the loop for ever in chunks, each when it is due."""
        loop, size = self.loop, round(CHUNK_S * self.rate)
        position, began = 0, monotonic() - AHEAD_S
        while not self._closed.is_set():
            if not self.playing.is_set():
                self.playing.wait(0.02)
                continue
            yield np.take(loop, range(position, position + size), axis=0, mode="wrap")
            position += size
            self._closed.wait(max(0.0, began + position / self.rate - monotonic()))

    def answer(self, connection: socket.socket) -> None:
        """Send what comes before the audio."""
        raise NotImplementedError

    def send(self, connection: socket.socket, frames: NDArray[np.float32]) -> None:
        """Send a chunk."""
        raise NotImplementedError


class HttpServer(StreamServer):
    """WAV over HTTP, without an end."""

    @property
    def url(self) -> str:
        """Where it is, with a password that nobody must see."""
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://user:secret@127.0.0.1:{self.port}/live.wav"

    def answer(self, connection: socket.socket) -> None:
        connection.recv(65536)
        header = io.BytesIO()
        channels = self.loop.shape[1]
        soundfile.write(header, np.zeros((0, channels)), self.rate, format="WAV", subtype="PCM_16")
        wav = bytearray(header.getvalue())
        wav[4:8] = wav[-4:] = b"\xff\xff\xff\xff"  # lengths that nobody knows
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n\r\n" + wav)

    def send(self, connection: socket.socket, frames: NDArray[np.float32]) -> None:
        connection.sendall((frames * 32767).astype("<i2").tobytes())


class RtspServer(StreamServer):
    """L16 over RTP, interleaved in the RTSP connection: as much of RTSP as ffmpeg asks for."""

    @property
    def url(self) -> str:
        """Where it is, with a password that nobody must see."""
        scheme = "rtsp" if self.certificate is None else "rtsps"
        return f"{scheme}://user:secret@127.0.0.1:{self.port}/live"

    def answer(self, connection: socket.socket) -> None:
        requests = connection.makefile("rb")
        while True:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                line = requests.readline()
                if not line:
                    raise ConnectionResetError
                request += line
            method = request.split(b" ", 1)[0].decode()
            sequence = re.search(rb"CSeq: *(\d+)", request)
            assert sequence is not None
            status = self.status_of(method, request.decode())
            connection.sendall(self._reply(method, int(sequence[1]), request.decode(), status))
            if method == "PLAY" and status == OK:
                self._sent = 0
                return

    def status_of(self, method: str, request: str) -> str:  # noqa: ARG002 - for others to say
        """Say what becomes of a request."""
        return OK

    @property
    def media(self) -> str:
        """What there is, in SDP."""
        return (
            "m=audio 0 RTP/AVP 97\r\n"
            f"a=rtpmap:97 L16/{self.rate}/{self.loop.shape[1]}\r\na=control:audio\r\n"
        )

    def _reply(self, method: str, sequence: int, request: str, status: str) -> bytes:
        fields, body = [f"CSeq: {sequence}", "Session: 1"], ""
        if status != OK:
            return (f"RTSP/1.0 {status}\r\n" + "\r\n".join(fields) + "\r\n\r\n").encode()
        match method:
            case "OPTIONS":
                fields.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
            case "DESCRIBE":
                body = (
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                    f"{self.media}"
                )
                fields += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
            case "SETUP":
                channels = re.search(r"interleaved=(\d+)-\d+", request)
                assert channels is not None
                if "/audio" in request.partition("\r\n")[0]:
                    self._channel = int(channels[1])
                fields.append(f"Transport: RTP/AVP/TCP;unicast;{channels[0]}")
        return ("RTSP/1.0 200 OK\r\n" + "\r\n".join(fields) + "\r\n\r\n" + body).encode()

    def send(self, connection: socket.socket, frames: NDArray[np.float32]) -> None:
        payload = (frames * 32767).astype(">i2").tobytes()
        number = self._sent // len(frames) % 65536
        packet = struct.pack("!BBHII", 0x80, 97, number, self._sent % 2**32, 1) + payload
        connection.sendall(struct.pack("!cBH", b"$", self._channel, len(packet)) + packet)
        self._sent += len(frames)


class Camera(RtspServer):
    """An RTSP camera with a picture, which does not do without somebody who asks for it.

    Attributes:
        refusal: the status with which it refuses to play its sound alone; None if it plays it and
            sends nothing.
        alone: how often it was asked for its sound alone.
    """

    def __init__(self, *arguments: Any, refusal: str | None, **settings: Any) -> None:
        self.refusal = refusal
        self.alone = 0
        super().__init__(*arguments, **settings)

    @property
    def media(self) -> str:
        """A picture, and the sound."""
        return (
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
            "a=fmtp:96 packetization-mode=1\r\na=control:video\r\n" + super().media
        )

    def status_of(self, method: str, request: str) -> str:
        if method == "DESCRIBE":
            self._watched = False
        elif method == "SETUP" and "/video" in request.partition("\r\n")[0]:
            self._watched = True
        elif method == "PLAY" and not self._watched:
            self.alone += 1
            if self.refusal is not None:
                return self.refusal
        return OK

    def send(self, connection: socket.socket, frames: NDArray[np.float32]) -> None:
        if self._watched:
            super().send(connection, frames)


def self_made_certificate() -> ssl.SSLContext:
    """Return what a camera encrypts with that has made its certificate itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("camera.invalid").configure_cert(context)
    return context


@contextmanager
def serving(server: StreamServer) -> Iterator[StreamServer]:
    """Take a server down at the end."""
    try:
        yield server
    finally:
        server.playing.set()
        server.down()
