"""``streamsed check``, ``devices`` and what the command says of itself."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import yaml

import streamsed
from tests.cli.command import execute
from tests.pulse import PulseServer
from tests.sockets import RANDOM_PORT
from tests.sources.test_url import files_served
from tests.stream_servers import Camera, HttpServer, RtspServer, serving


def test_check_reports_what_would_run(bundle: Path, wav: Path, tmp_path: Path) -> None:
    content = {
        "bundle": str(bundle),
        "sources": [
            {"type": "file", "name": "kitchen", "path": str(wav)},
            {"type": "pipe", "name": "stdin"},
            {"type": "url", "name": "door", "url": "rtsp://user:secret@nowhere.invalid/1"},
        ],
        "publish": {"bind": [RANDOM_PORT]},
        "metrics": {"bind": "127.0.0.1:0"},
        "web": {"bind": "127.0.0.1:0"},
        "detect": {"classes": {"mid": {"enter": 0.75, "min_on_s": 0.5}, "low": {"enabled": False}}},
    }
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = execute("check", "-c", path)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"config    {path}"
    assert "3 classes, 16000 Hz, hop 0.064 s; self-test passed" in lines[1]
    assert "CPUExecutionProvider" in lines[2]
    assert lines[3] == "source    kitchen: file, can be opened"
    assert lines[4].startswith("source    stdin: pipe, not opened")
    assert lines[5].startswith("source    door: url, not there now: door: 'rtsp://***@nowhere.inv")
    assert "unknown host nowhere.invalid" in lines[5]
    table = {row[0]: row for row in (line.split() for line in lines) if row}
    # Hop 0.064 s, no look-ahead, no median; min_on_s is rounded up to frames of 0.016 s.
    assert table["mid"] == ["mid", "yes", "0.75", "0.5", "0", "0.5", "0", "-", "0.58"]
    assert table["low"][1] == "no"
    assert lines[-5].startswith("journal   goes to /")
    assert lines[-4] == f"listens   {RANDOM_PORT}, which is free"
    assert lines[-3] == f"answers   {RANDOM_PORT}, which is free"
    assert re.fullmatch(r"metrics   http://127\.0\.0\.1:\d+/metrics, which is free", lines[-2])
    assert re.fullmatch(r"page      http://127\.0\.0\.1:\d+, which is free", lines[-1])


def test_check_says_where_clips_go_and_whether_they_can(
    bundle: Path, wav: Path, tmp_path: Path
) -> None:
    clips = {"enabled": True, "path": str(tmp_path / "state" / "clips")}
    content = {
        "bundle": str(bundle),
        "sources": [{"type": "file", "name": "kitchen", "path": str(wav)}],
        "publish": {"bind": [RANDOM_PORT]},
        "clips": clips,
    }
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = execute("check", "-c", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith(f"clips     go to {tmp_path}/state/clips, where")
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").write_text("in the way", encoding="utf-8")
    done = execute("check", "-c", path)
    assert done.returncode == 2
    assert f"clips.path: {tmp_path}/state is no folder that can be written" in done.stderr


def test_check_finds_a_source_that_cannot_be_opened(bundle: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.wav"
    done = execute("check", "--bundle", bundle, "--source", gone, "--bind", RANDOM_PORT)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith(f"streamsed: {gone}: no such file")


def test_check_connects_to_every_stream_at_once(
    bundle: Path, wav: Path, tmp_path: Path, state_of_its_own: Path
) -> None:
    loop = np.full((16_000, 1), 0.25, np.float32)
    with (
        files_served(wav.parent) as files,
        serving(RtspServer(loop, 16_000)) as good,
        serving(HttpServer(loop, 16_000)) as hangs,
        serving(Camera(loop, 16_000, refusal="401 Unauthorized")) as strange,
    ):
        assert isinstance(good, RtspServer)
        assert isinstance(hangs, HttpServer)
        assert isinstance(strange, Camera)
        hangs.playing.clear()
        urls = {
            "good": good.url,
            "file": f"{files}/{wav.name}",
            "refused": "rtsp://user:secret@127.0.0.1:9/x",
            "none": f"{files}/none.mp3",
            "unknown": "http://nowhere.invalid/x",
            "strange": strange.url,
            **{f"hangs{number}": hangs.url for number in range(4)},
        }
        sources = [
            {"type": "url", "name": name, "url": url, "stall_s": 4.0} for name, url in urls.items()
        ]
        content = {"bundle": str(bundle), "sources": sources, "publish": {"bind": [RANDOM_PORT]}}
        path = tmp_path / "c.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        done = execute("check", "-c", path)
        sources[2]["required"] = True
        path.write_text(yaml.safe_dump(content | {"sources": sources[:3]}), encoding="utf-8")
        required = execute("check", "-c", path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "secret" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("source")]
    for (name, url), line in zip(urls.items(), lines, strict=True):
        assert line.startswith(f"source    {name}: url, "), url
    wanted = ["can be opened", "can be opened", "Connection refused", "404 Not Found"]
    wanted += ["unknown host nowhere.invalid", "401 Unauthorized", *["not there now"] * 4]
    for line, what in zip(lines, wanted, strict=True):
        assert what in line
    assert required.returncode == 2
    assert required.stderr.startswith("streamsed: refused: 'rtsp://***@127.0.0.1:9/x': Connection")
    assert "listens" in required.stdout, "everything else is checked too"


def test_check_tells_of_a_microphone_that_is_not_there(
    bundle: Path, tmp_path: Path, pulse: PulseServer
) -> None:
    entry = {"type": "microphone", "name": "desk", "device": "yeti"}
    path = tmp_path / "c.yaml"
    content = {"bundle": str(bundle), "publish": {"bind": [RANDOM_PORT]}}
    path.write_text(yaml.safe_dump(content | {"sources": [entry]}), encoding="utf-8")
    done = execute("check", "-c", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "source    desk: microphone, not there now: desk: no input device 'yeti'" in done.stdout
    path.write_text(yaml.safe_dump(content | {"sources": [entry | {"required": True}]}), "utf-8")
    assert execute("check", "-c", path).returncode == 2


def test_devices_lists_microphones(pulse: PulseServer) -> None:
    done = execute("devices")
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["index", "id", "name", "host", "channels", "rate", "default"]
    assert any("pulse" in row.split() for row in rows)


def test_version_and_help() -> None:
    assert execute("--version").stdout == f"streamsed {streamsed.__version__}\n"
    for arguments in ((), ("--help",)):
        done = execute(*arguments)
        assert done.returncode == 0
        for command in ("run", "listen", "devices", "check"):
            assert command in done.stdout
