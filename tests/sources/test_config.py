"""Source configurations and the grammar of ``--source``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from streamsed.errors import ConfigError
from streamsed.sources.config import SourceConfig, build_source, parse_source
from streamsed.sources.entry import SourceEntry
from streamsed.sources.file import AudioFile
from streamsed.sources.isolated_microphone import IsolatedMicrophone
from streamsed.sources.kinds.file import FileSource
from streamsed.sources.kinds.microphone import MicrophoneSource
from streamsed.sources.kinds.pipe import PipeSource
from streamsed.sources.kinds.url import UrlSource
from streamsed.sources.pipe import Pipe
from streamsed.sources.protocol import Source
from streamsed.sources.url import Url
from tests.sources.reading import one_line


def asked_for(**entry: Any) -> MicrophoneSource:
    """Return a microphone as the command line asks for it: it has to be there."""
    return MicrophoneSource(required=True, **entry)


def stream(name: str, url: str) -> UrlSource:
    """Return a stream as the command line asks for it."""
    return UrlSource(name=name, url=url, required=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mic", asked_for(name="mic")),
        ("mic:3", asked_for(name="mic", device=3)),
        ("mic:USB Audio", asked_for(name="mic", device="USB Audio")),
        ("mic:alsa:pulse", asked_for(name="mic", device="alsa:pulse")),
        ("kitchen=mic:USB", asked_for(name="kitchen", device="USB")),
        ("a/rec 1.wav", FileSource(name="rec_1", path=Path("a/rec 1.wav"))),
        ("/a=b.wav", FileSource(name="a_b", path=Path("/a=b.wav"))),
        ("./mic", FileSource(name="mic", path=Path("mic"))),
        ("kitchen=rec.flac", FileSource(name="kitchen", path=Path("rec.flac"))),
        ("file:///a/rec%201.wav", FileSource(name="rec_1", path=Path("/a/rec 1.wav"))),
        ("k=file://localhost/K%C3%BCche%23.m4a", FileSource(name="k", path=Path("/Küche#.m4a"))),
        ("FILE:///a b?.m3u", FileSource(name="a_b_", path=Path("/a b?.m3u"))),
        ("rtsp://a:b@cam.local:554/1?x=y", stream("cam.local", "rtsp://a:b@cam.local:554/1?x=y")),
        ("door=HTTPS://[::1]/a=b.mp3", stream("door", "HTTPS://[::1]/a=b.mp3")),
        ("http://[::1]/", stream("_1", "http://[::1]/")),
        ("-", PipeSource(name="stdin")),
        ("door=-", PipeSource(name="door")),
        ("pipe:s16le@16000x1", PipeSource(name="stdin")),
        ("pipe:f32le@48000", PipeSource(name="stdin", format="f32le", rate=48_000)),
        (
            "x=pipe:s16le@8000x2,live",
            PipeSource(name="x", rate=8_000, channels=2, live=True),
        ),
    ],
)
def test_forms_of_a_source_argument(text: str, expected: object) -> None:
    assert parse_source(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "missing"),
        ("kitchen=", "missing"),
        ("mic:", "device"),
        ("=mic", "name"),
        ("my kitchen=mic", "name"),
        ("pipe", "pipe:s16le@16000x1"),
        ("pipe:s16le", "pipe:s16le@16000x1"),
        ("pipe:s24@16000", "'s16le', 's16be'"),
        ("pipe:s16le@100", "4000"),
        ("pipe:s16le@999999", "192000"),
        ("pipe:s16le@16000x0", "channels"),
        ("ftp://host/x", "'ftp://host/x' is no address of a stream"),
        ("file://host/a.wav", "names no file of this machine; file:///PATH would be right"),
        ("file://a.wav", "names no file of this machine"),
        ("rtsp:///x", "is no address of a stream"),
        ("http://[::1/x", "IPv6"),
        (f"{'x' * 65}=mic", "name"),
    ],
)
def test_a_wrong_source_argument_is_one_clear_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_source(text)
    assert one_line(error.value, "--source", repr(text), says)


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "radio", "name": "a"},
        {"name": "a", "path": "x.wav"},
        {"type": "file", "name": "a"},
        {"type": "file", "name": "a", "path": "x.wav", "lop": True},
        {"type": "file", "name": "a/b", "path": "x.wav"},
        {"type": "file", "name": "a\n", "path": "x.wav"},
        {"type": "microphone", "name": "a", "channel": "middle"},
        {"type": "microphone", "name": "a", "channel": -1},
        {"type": "microphone", "name": "a", "device": -1},
        {"type": "pipe", "name": "a", "rate": 3_999},
        {"type": "pipe", "name": "a", "format": "u12"},
        {"type": "url", "name": "a", "url": "talk.mp3"},
        {"type": "url", "name": "a", "url": "file:///talk.mp3"},
        {"type": "url", "name": "a", "url": "http://x/", "stall_s": 0},
    ],
)
def test_a_wrong_entry_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(SourceConfig).validate_python(entry)


@pytest.mark.parametrize(
    ("config", "kind", "live"),
    [
        (FileSource(name="a", path=Path("x.wav"), paced=False), AudioFile, False),
        (MicrophoneSource(name="a", device="x", channel="left"), IsolatedMicrophone, True),
        (PipeSource(name="a", live=True), Pipe, True),
        (UrlSource(name="a", url="rtsp://cam/1"), Url, True),
        (PipeSource(name="a"), Pipe, False),
    ],
)
def test_build_makes_a_source(config: SourceEntry, kind: type, live: bool) -> None:
    source = build_source(config)
    assert isinstance(source, kind)
    assert isinstance(source, Source)
    assert source.name == "a"
    assert source.live is live
