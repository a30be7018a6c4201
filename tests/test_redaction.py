"""What of a URL may be shown, and that nothing else is."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog
from hypothesis import assume, given
from hypothesis import strategies as st

from streamsed import log
from streamsed.cli.main import invoke
from streamsed.publish.messages import SourceState, StatusMessage
from streamsed.redaction import Secrets, disclosed, redacted
from streamsed.sources.kinds.url import UrlSource

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
        ("http://cam/v?access_token=a.b-c#x", "http://cam/v?access_token=***"),
        ("srt://cam:9000?passphrase=abc", "srt://cam:9000?passphrase=***"),
        (
            "rtsp://cam/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp?real_stream",
            "rtsp://cam/user=admin_password=***_channel=1_stream=0.sdp?real_stream",
        ),
        ("http://cam/v?p%61ssword=hunter2&channel=2", "http://cam/v?p%61ssword=***&channel=2"),
        ("http://cam/v?PWD=a&b=c&d&channel=1", "http://cam/v?PWD=***&channel=1"),
        ("http://cam/v?whatever=hunter2&subtype=0", "http://cam/v?whatever=***&subtype=0"),
        ("http://h/?url=rtsp%3A%2F%2Fa%3Ab%40cam%2F1&n=1", "http://h/?url=***&n=1"),
        ("http://tv.example/live/me/hunter2/12.ts", "http://tv.example/live/***/12.ts"),
        ("http://cam/a;jsessionid=A1B2C3D4E5", "http://cam/a;jsessionid=***"),
        ("rtsp://admin:12/34@cam/1", "rtsp://***@cam/1"),
        ("rtsp://admin:pa ss@cam/1", "rtsp://***@cam/1"),
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


NAMES = """
    password passwd passwort pass pwd pw psw token access_token authToken key api_key apikey
    X-Api-Key secret client_secret auth sig signature X-Amz-Signature wmsAuthSign credential
    credentials sid session sessionid PHPSESSID jsessionid loginpas passphrase hmac ticket jwt
"""
cases = st.sampled_from([str, str.upper, str.title])
names = st.builds(lambda case, name: case(name), cases, st.sampled_from(NAMES.split()))
# Letters that no form gives a meaning, and a piece that is found nowhere else.
plain = st.text("abcXYZ019~!$*+-.", min_size=1, max_size=12).map(lambda text: f"Zq7{text}")
wild = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12).map(
    lambda text: f"Zq7{text}"
)
FORMS = [
    "rtsp://cam/user=admin_{name}={value}_channel=1_stream=0.sdp?real_stream",
    "rtsp://cam/user=admin&{name}={value}&channel=1",
    "http://cam/v?user=me&{name}={value}",
    "HTTP://cam:80/v?{name}={value}&channel=1&subtype=0",
    "http://cam/v;{name}={value}?n=1",
    "http://cam/v#{name}={value}",
    "srt://cam:9000?mode=caller&{name}={value}&latency=120",
    "rtmp://h/app live=1 {name}={value} timeout=5",
    "cannot open 'https://h/x?{name}={value}': Server returned 403",
    "http://h/?u=http%3A%2F%2Fme%3A{value}%40cam%2F1&n=1",
    "Opening http://me:{value}@proxy:3128/?{name}=1 failed",
    "proxy me:{value}@proxy.example:3128 refuses",
    "Authorization: Basic {value}",
    "got header 'Proxy-Authorization: Digest {value}'",
    "Cookie: {name}={value}; a=b",
    "X-Auth-Token: {value}",
    "input should be a list, not '-headers X: {value}'",
    "ffmpeg -passphrase {value} -i x",
]


@given(form=st.sampled_from(FORMS), name=names, value=plain, pad=st.sampled_from(["", "see "]))
def test_every_form_of_a_secret_is_hidden(form: str, name: str, value: str, pad: str) -> None:
    text = pad + form.format(name=name, value=value)
    hidden = redacted(text)
    assert "Zq7" not in hidden
    assert redacted(hidden) == hidden


@given(form=st.sampled_from(FORMS), name=names, value=wild)
def test_so_it_is_percent_encoded(form: str, name: str, value: str) -> None:
    """Also where the name is written so that nobody finds it."""
    encoded = "".join(f"%{ord(letter):02x}" for letter in name[:2]) + name[2:]
    wanted = quote(value, safe="")
    assert wanted not in redacted(form.format(name=name, value=wanted))
    if "?{name}=" in form:
        assert wanted not in redacted(form.format(name=encoded, value=wanted))


@given(value=wild, name=names)
def test_lists_of_options_and_mappings_are_searched(value: str, name: str) -> None:
    entry = {
        "url": f"rtsp://me:{quote(value, safe='')}@cam/1",
        "ffmpeg_options": ["-re", "-headers", f"X: {value}", "-rtsp_transport", "udp", value],
        "nested": [{"command": ("ffmpeg", f"-{name}", value)}, f"http://h/?{name}={quote(value)}"],
    }
    shown = disclosed(entry)
    assert value not in str(shown).replace("\\\\", "\\")
    assert quote(value) not in str(shown)
    assert isinstance(shown, dict)
    assert shown["ffmpeg_options"][3:5] == ["-rtsp_transport", "udp"]
    assert shown["url"] == "rtsp://***@cam/1"
    source = UrlSource(name="cam", url=entry["url"], ffmpeg_options=tuple(entry["ffmpeg_options"]))
    assert quote(value, safe="") not in repr(source)


@given(value=wild.filter(lambda text: len(text) > 6))
def test_a_password_is_hidden_wherever_a_program_repeats_it(value: str) -> None:
    secrets = Secrets(f"rtsp://me:{quote(value, safe='')}@cam/1", ["-headers", f"X-Key: {value}0"])
    for shown in (value, value.upper(), quote(value, safe=""), f"{value}0"):
        assert shown not in secrets.hidden_in(f"no such host: {shown}!")


@pytest.mark.parametrize("command", [("run", "--source"), ("check", "--source")])
@pytest.mark.parametrize("password", ["hunter#2", "hunter/2", "hunter?2", "hunter@2", "hunter 2"])
def test_a_password_that_is_not_escaped_is_refused(
    capsys: pytest.CaptureFixture[str], command: tuple[str, str], password: str
) -> None:
    assert invoke([*command, f"rtsp://admin:{password}@camera/1"]) == 2
    output = capsys.readouterr()
    assert "hunter" not in output.out + output.err
    assert quote(password[6], safe="") in output.err


def test_the_log_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        log.configure(level="info", form="json")
        logger = structlog.get_logger()
        logger.info("source", url=CAMERA, options=["-i", CAMERA], part={"url": CAMERA})
        try:
            raise RuntimeError(CAMERA)
        except RuntimeError:
            logger.exception("source failed")
    finally:
        structlog.reset_defaults()
    logged, failed = map(json.loads, capsys.readouterr().err.splitlines())
    assert logged["url"] == logged["options"][1] == logged["part"]["url"] == redacted(CAMERA)
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


def test_a_traceback_shows_no_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    entry = f"{{type: url, name: 5x/, url: '{CAMERA}', ffmpeg_options: '{CAMERA}'}}"
    config.write_text(f"sources: [{entry}]", encoding="utf-8")
    assert invoke(["--debug", "check", "-c", str(config)]) != 0
    output = capsys.readouterr().err
    assert "Traceback" in output
    assert "hunter2" not in output
