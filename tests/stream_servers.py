"""Servers of endless audio, over HTTP and RTSP, that fall silent, break off and come back."""

from __future__ import annotations

import io
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

import numpy as np
import soundfile
from numpy.typing import NDArray

CHUNK_S = 0.02
AHEAD_S = 0.5  # sent at once when somebody connects


class StreamServer:
    """Plays a loop to everybody who connects, at the speed of time.

    Attributes:
        port: on loopback; kept when the server is down for a while.
        loop: ``(n, channels)`` float32.
        rate: Hz; like ``loop`` it may be exchanged, for those who connect later.
        playing: cleared, connections stay open and nothing is sent.
        connections: how many there have been.
    """

    def __init__(self, loop: NDArray[np.float32], rate: int) -> None:
        self.loop = loop
        self.rate = rate
        self.playing = threading.Event()
        self.playing.set()
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
        with connection, suppress(OSError):
            self.answer(connection)
            for frames in self._paced():
                self.send(connection, frames)

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
        """Say what has to be said before the audio."""
        raise NotImplementedError

    def send(self, connection: socket.socket, frames: NDArray[np.float32]) -> None:
        """Send a chunk."""
        raise NotImplementedError


class HttpServer(StreamServer):
    """WAV over HTTP, without an end."""

    @property
    def url(self) -> str:
        """Where it is, with a password that nobody must see."""
        return f"http://user:secret@127.0.0.1:{self.port}/live.wav"

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
        return f"rtsp://user:secret@127.0.0.1:{self.port}/live"

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
            connection.sendall(self._reply(method, int(sequence[1])))
            if method == "PLAY":
                self._sent = 0
                return

    def _reply(self, method: str, sequence: int) -> bytes:
        fields, body = [f"CSeq: {sequence}", "Session: 1"], ""
        match method:
            case "OPTIONS":
                fields.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
            case "DESCRIBE":
                body = (
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                    "m=audio 0 RTP/AVP 97\r\n"
                    f"a=rtpmap:97 L16/{self.rate}/{self.loop.shape[1]}\r\na=control:audio\r\n"
                )
                fields += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
            case "SETUP":
                fields.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        return ("RTSP/1.0 200 OK\r\n" + "\r\n".join(fields) + "\r\n\r\n" + body).encode()

    def send(self, connection: socket.socket, frames: NDArray[np.float32]) -> None:
        payload = (frames * 32767).astype(">i2").tobytes()
        number = self._sent // len(frames) % 65536
        packet = struct.pack("!BBHII", 0x80, 97, number, self._sent % 2**32, 1) + payload
        connection.sendall(b"$\0" + struct.pack("!H", len(packet)) + packet)
        self._sent += len(frames)


@contextmanager
def serving(server: StreamServer) -> Iterator[StreamServer]:
    """Take a server down at the end."""
    try:
        yield server
    finally:
        server.playing.set()
        server.down()
