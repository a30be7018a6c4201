"""Streams that are refused at first, or for good: what is tried, and which reason is shown."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import subprocess
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
import structlog

from streamsed.errors import SourceError
from streamsed.sources.address import checked
from streamsed.sources.ffmpeg import find_ffmpeg
from streamsed.sources.ffmpeg_reason import first_reason
from streamsed.sources.url import Url
from tests.children import children
from tests.sources.reading import RATE, one_line
from tests.sources.test_url import files_served
from tests.stream_servers import (
    Camera,
    HttpServer,
    RtspServer,
    StreamServer,
    self_made_certificate,
    serving,
)

PATIENCE_S = 30.0
LOOP = np.full((RATE, 1), 0.25, np.float32)


def reads(source: Url) -> bool:
    """Whether audio comes from an open source."""
    deadline = monotonic() + PATIENCE_S
    while (block := source.read(1.0)) is None:
        if monotonic() > deadline:
            return False
    return bool(np.allclose(block.samples, 0.25, atol=1e-3))


def refusal(source: Url) -> str:
    before = children()
    with pytest.raises(SourceError) as error:
        source.open(RATE)
    assert children() == before, "ffmpeg is still there"
    assert "secret" not in str(error.value)
    assert one_line(error.value)
    return str(error.value)


@pytest.mark.parametrize("status", ["455 Method Not Valid in This State", None])
def test_a_camera_that_wants_its_picture_watched(status: str | None) -> None:
    with serving(Camera(LOOP, RATE, refusal=status)) as server:
        assert isinstance(server, Camera)
        source = Url("cam", server.url, stall_s=3.0)
        with structlog.testing.capture_logs() as logged:
            source.open(RATE)
        assert reads(source)
        assert source.with_video
        (entry,) = logged
        assert (entry["event"], entry["source"]) == ("video_needed", "cam")
        assert (status or "no audio within 3 s")[:3] in entry["reason"]
        assert server.alone == 1
        source.close()
        with structlog.testing.capture_logs() as logged:
            source.open(RATE)  # as when it was lost
        assert reads(source)
        assert server.alone == 1, "it is remembered"
        assert not logged
        source.close()


def test_what_the_picture_does_not_help_is_tried_once() -> None:
    with serving(Camera(LOOP, RATE, refusal="403 Forbidden")) as server:
        assert isinstance(server, Camera)
        source = Url("cam", server.url, stall_s=3.0)
        assert "403 Forbidden" in refusal(source)
        assert (server.connections, source.with_video) == (1, False)
        server.refusal = "455 Method Not Valid in This State"
        mine = Url("cam", server.url, options=["-allowed_media_types", "audio"], stall_s=3.0)
        assert "455" in refusal(mine)
        assert server.connections == 2, "who says what to ask for is not contradicted"


@pytest.mark.parametrize("kind", [HttpServer, RtspServer])
def test_a_certificate_that_a_camera_has_made_itself(kind: type[StreamServer]) -> None:
    with serving(kind(LOOP, RATE, certificate=self_made_certificate())) as server:
        assert isinstance(server, (HttpServer, RtspServer))
        why = refusal(Url("cam", server.url))
        assert "certificate is not trusted" in why
        assert "`tls_verify: false`" in why
        source = Url("cam", server.url, tls_verify=False)
        source.open(RATE)
        assert reads(source)
        source.close()


def test_a_stream_without_audio(tmp_path: Path) -> None:
    ffmpeg = find_ffmpeg()
    picture = ["-f", "lavfi", "-i", "testsrc=d=1:s=64x64", "-c:v", "mpeg4"]
    for name in ("a.mp4", "a.ts"):
        subprocess.run([ffmpeg, "-v", "error", *picture, tmp_path / name], check=True)
    with files_served(tmp_path) as address:
        for name in ("a.mp4", "a.ts"):
            assert refusal(Url("cam", f"{address}/{name}")).endswith(": there is no audio in it")

    class Silent(Camera):
        @property
        def media(self) -> str:
            return super().media.partition("m=audio")[0]

    with serving(Silent(LOOP, RATE, refusal=None)) as server:
        assert isinstance(server, Camera)
        assert refusal(Url("cam", server.url)).endswith(": there is no audio in it")


def test_a_recording_that_is_cut_where_it_cannot_be(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    whole, ffmpeg = tmp_path / "a.m4a", find_ffmpeg()
    subprocess.run([ffmpeg, "-v", "error", "-i", tmp_path / "a.wav", whole], check=True)
    (tmp_path / "cut.m4a").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with files_served(tmp_path) as address:
        assert "it is cut short" in refusal(Url("cam", f"{address}/cut.m4a"))


def test_a_password_is_not_shown_by_what_ffmpeg_repeats(tmp_path: Path) -> None:
    script = tmp_path / "ffmpeg"
    script.write_text(
        "#!/bin/sh\necho '[tcp @ 0x1] Failed to resolve hostname Hunter%232.example' >&2\n"
        "echo 'what Hunter#2 and s3cr3tkey are' >&2\nexit 1\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    source = Url(
        "cam",
        "http://admin:hunter%232@127.0.0.1/x",
        ffmpeg=script,
        options=["-headers", "X-Key: s3cr3tkey"],
    )
    with pytest.raises(SourceError) as error:
        source.open(RATE)
    assert "unter" not in str(error.value)
    assert shutil.which(str(script)), "the script is what ran"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            ["[h264 @ 0x1] non-existing PPS 0 referenced", "[in#0 @ 0x2] moov atom not found"],
            "moov",
        ),
        (["Stream map '0:a:0' matches no streams.", "To ignore this, add a ..."], "no audio"),
        (["Output file #0 does not contain any stream"], "there is no audio in it"),
        (["http://h/x: Server returned 404 Not Found"], "Server returned 404 Not Found"),
        (
            [
                "[tcp @ 0x1] Connection to tcp://h:9?timeout=3 failed: Connection refused",
                "[in#0 @ 0x2] Error opening input: Connection refused",
                "Error opening input files: Connection refused",
            ],
            "Connection refused",
        ),
        (["[in#0 @ 0x1] Error opening input: Input/output error"], "Input/output error"),
        (["Server returned 5XX Server Error reply"], "the server fails (5xx)"),
        (["[tls @ 0x1] error:0A00010B:SSL routines::wrong version number"], "TLS fails: wrong"),
    ],
)
def test_the_first_line_that_tells(lines: list[str], reason: str) -> None:
    assert reason in (first_reason(lines) or "")


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["", "    "],
        ["    Last message repeated 1 times"],
        ["Last message repeated 2 times", "Error opening output files: Invalid argument"],
    ],
)
def test_what_tells_nothing_is_no_reason(lines: list[str]) -> None:
    assert first_reason(lines) is None


@pytest.mark.parametrize("kind", [HttpServer, RtspServer])
def test_a_password_that_is_escaped_arrives_as_it_is(kind: type[StreamServer]) -> None:
    """The cure that is named where one is refused."""
    password = "p#/?@:% w'"  # noqa: S105 - of the test's own server
    wanted = base64.b64encode(f"me:{password}".encode())

    class Guarded(kind):  # type: ignore[misc, valid-type]
        def answer(self, connection: socket.socket) -> None:
            request = connection.recv(65536, socket.MSG_PEEK)
            while b"Authorization: Basic " + wanted not in request:
                connection.recv(65536)
                sequence = re.search(rb"CSeq: *\d+", request)
                connection.sendall(
                    (b"RTSP/1.0" if sequence else b"HTTP/1.1")
                    + b" 401 Unauthorized\r\n"
                    + (sequence[0] + b"\r\n" if sequence else b"")
                    + b'WWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
                )
                request = connection.recv(65536, socket.MSG_PEEK)
                if not request:
                    raise ConnectionResetError
            super().answer(connection)

    with serving(Guarded(LOOP, RATE)) as server:
        url = server.url.replace("user:secret", f"me:{quote(password, safe='')}")  # type: ignore[attr-defined]
        source = Url("cam", checked(url))
        source.open(RATE)
        assert reads(source)
        source.close()
        wrong = refusal(Url("cam", server.url))  # type: ignore[attr-defined]
        assert "401 Unauthorized" in wrong
