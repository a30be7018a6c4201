"""How a recording comes to a source of each kind that the package has: for the contract tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import soundfile

from streamsed.sources.entry import SOURCES, SourceEntry
from streamsed.sources.kinds.file import FileSource
from streamsed.sources.kinds.microphone import MicrophoneSource
from streamsed.sources.kinds.pipe import PipeSource
from streamsed.sources.kinds.url import UrlSource

Delivered = AbstractContextManager[SourceEntry]


@contextmanager
def from_file(recording: Path) -> Iterator[SourceEntry]:
    """Yield the recording itself."""
    yield FileSource(name="source", path=recording, paced=False)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def files_served(folder: Path) -> Iterator[str]:
    """Serve the files of a folder; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://user:secret@127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def from_server(recording: Path) -> Iterator[SourceEntry]:
    """Yield the address of the recording on a server of its own."""
    with files_served(recording.parent) as address:
        yield UrlSource(name="source", url=f"{address}/{recording.name}")


@contextmanager
def from_standard_input(recording: Path) -> Iterator[SourceEntry]:
    """Write the samples into a pipe that is standard input meanwhile."""
    samples, rate = soundfile.read(recording, dtype="int16")
    read_end, write_end = os.pipe()

    def write() -> None:
        try:
            with os.fdopen(write_end, "wb") as file:
                file.write(samples.tobytes())
        except BrokenPipeError:
            pass

    writer = Thread(target=write)
    with pytest.MonkeyPatch.context() as patch, os.fdopen(read_end, "rb", buffering=0) as reader:
        patch.setattr("sys.stdin", reader)
        writer.start()
        yield PipeSource(name="source", rate=rate)
    writer.join(10.0)


@contextmanager
def from_microphone(_: Path) -> Iterator[SourceEntry]:
    """Yield a microphone of the sound server that the tests run, which delivers silence."""
    yield MicrophoneSource(name="source", device="pulse")


DELIVERIES: Mapping[str, Callable[[Path], Delivered]] = {
    "file": from_file,
    "microphone": from_microphone,
    "pipe": from_standard_input,
    "url": from_server,
}


def delivered(kind: str, recording: Path) -> Delivered:
    """Return what yields an entry of a kind that delivers a recording."""
    return DELIVERIES.get(kind, SOURCES.example(kind))(recording)
