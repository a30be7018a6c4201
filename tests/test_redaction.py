"""What of a URL may be shown, and that nothing else is."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
import structlog
from hypothesis import assume, given
from hypothesis import strategies as st

from streamsed import log
from streamsed.cli.main import invoke
from streamsed.publish.messages import SourceState, StatusMessage
from streamsed.redaction import redacted

CAMERA = "rtsp://admin:hunter2@10.0.0.7:554/stream1"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (CAMERA, "rtsp://***@10.0.0.7:554/stream1"),
        ("https://t0ken@radio.example/live.m3u8", "https://***@radio.example/live.m3u8"),
        ("rtsp://admin:p@ss@cam/1", "rtsp://***@cam/1"),
        ("rtsp://admin:p@s/s@cam/1", "rtsp://***@cam/1"),
        ("rtsp://admin:pa/ss@cam/1", "rtsp://***@cam/1"),
        ("rtsp://admin:pa?ss#@cam/1", "rtsp://***@cam/1"),
        ("RTSP://Admin:pw@[fe80::1]:554/", "RTSP://***@[fe80::1]:554/"),
        (
            "http://cam/video?user=me&password=hunter2&n=1",
            "http://cam/video?user=me&password=***&n=1",
        ),
        ("http://cam/v?access_token=a.b-c#x", "http://cam/v?access_token=***#x"),
        ("srt://cam:9000?passphrase=abc", "srt://cam:9000?passphrase=***"),
    ],
)
def test_secrets_are_hidden_and_the_rest_is_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown
    assert redacted(shown) == shown
    assert redacted(f"cannot open '{url}': refused") == f"cannot open '{shown}': refused"


@pytest.mark.parametrize(
    "text",
    [
        "tcp://127.0.0.1:5577",
        "http://[::1]:8000/@user/live",
        "http://radio.example:8000/@user/live?hd=1",
        "ipc:///run/streamsed/streamsed.sock",
        "mail me@home.example; see http://radio.example",
        "no URL at all, key=value",
    ],
)
def test_what_holds_no_secret_is_left_alone(text: str) -> None:
    assert redacted(text) == text


@given(
    password=st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=1),
    around=st.tuples(st.text(), st.text()),
)
def test_whatever_the_password_holds_it_is_hidden(password: str, around: tuple[str, str]) -> None:
    assume(not re.match(r"\d*[/?#'\"]", password))  # reads as a port and what follows it
    text = f"{around[0]} rtsp://admin:{password}@cam/1 {around[1]}"
    assert " rtsp://***@cam/1 " in redacted(text)


def test_the_log_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        log.configure(level="info", form="json")
        logger = structlog.get_logger()
        logger.info("source", url=CAMERA)
        try:
            raise RuntimeError(CAMERA)
        except RuntimeError:
            logger.exception("source failed")
    finally:
        structlog.reset_defaults()
    said, failed = map(json.loads, capsys.readouterr().err.splitlines())
    assert said["url"] == redacted(CAMERA)
    assert "hunter2" not in failed["exception"]
    assert redacted(CAMERA) in failed["exception"]


def test_a_message_shows_no_password() -> None:
    message = StatusMessage(
        seq=1,
        source="door",
        state=SourceState.LOST,
        message=f"{CAMERA}: connection refused",
        published=datetime.now(UTC),
    )
    assert message.message == f"{redacted(CAMERA)}: connection refused"
    assert b"hunter2" not in message.frames()[1]


def test_an_error_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["listen", "--connect", CAMERA]) == 2
    assert "hunter2" not in capsys.readouterr().err
