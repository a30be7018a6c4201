"""``streamsed replay`` as a process: the same events as live, signals, kills, exit codes."""

from __future__ import annotations

import json
import os
import pty
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import yaml
import zmq

from streamsed.cli.main import invoke
from streamsed.replay.progress_display import show_progress
from streamsed.replay.replay import Progress
from tests.bundles import SAMPLE_RATE, ToneMember, make_bundle, tones
from tests.cli.command import PATIENCE_S, execute, process, without_progress
from tests.replay.conftest import POSTPROCESSING, files_in
from tests.sockets import RANDOM_PORT

ROOT = Path(__file__).parents[2]
BY_CHANCE = ("seq", "event_id", "published", "latency_ms")


def as_deterministic(message: dict[str, Any]) -> str:
    """The JSON of a message without ids and clocks, its other fields in their order."""
    for key in BY_CHANCE:
        message.pop(key, None)
    for moment in (message["onset"], message["offset"]):
        if moment is not None:
            moment.pop("utc", None)
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def published_live(config: Path) -> dict[str, list[str]]:
    """Event messages of a daemon by source, as a subscriber gets them."""
    published: dict[str, list[str]] = {}
    arguments = ("run", "-c", config, "--bind", RANDOM_PORT, "--log-format", "json")
    with process(*arguments, "--wait-for-subscriber", "30") as daemon:
        (address,) = daemon.log.event("waiting_for_subscriber")["on"]
        with zmq.Context.instance().socket(zmq.SUB) as subscriber:
            subscriber.connect(address)
            subscriber.subscribe("event/")
            subscriber.subscribe("status/daemon/")
            while True:
                assert subscriber.poll(1000 * PATIENCE_S), "nothing comes"
                _, body = subscriber.recv_multipart()
                message = json.loads(body)
                if message.get("state") == "stopped":
                    break
                if "kind" in message:
                    published.setdefault(message["source"], []).append(as_deterministic(message))
        assert daemon.wait() == 0
    return published


def replayed(folder: Path) -> dict[str, list[str]]:
    """Event messages of a replay by source."""
    published: dict[str, list[str]] = {}
    for line in (folder / "messages.jsonl").read_text(encoding="utf-8").splitlines():
        message = json.loads(line)
        assert json.dumps(message, separators=(",", ":"), ensure_ascii=False) == line
        published.setdefault(message["source"], []).append(as_deterministic(message))
    return published


def write_sounds(folder: Path) -> Sequence[Path]:
    """Recordings with many events: 16 kHz, resampled, in stereo."""
    folder.mkdir()
    events = [
        ("low", 0.1, 1.3), ("mid", 0.3, 0.9), ("high", 0.5, 0.6), ("high", 0.7, 1.0),
        ("low", 1.5, 1.6), ("mid", 1.2, 2.4), ("low", 1.9, 2.8), ("high", 2.2, 2.69),
    ]  # fmt: skip
    audio = tones(events, duration_s=2.69)
    soundfile.write(folder / "plain.wav", audio, SAMPLE_RATE)
    soundfile.write(folder / "fast.flac", soxr.resample(audio, SAMPLE_RATE, 44_100), 44_100)
    slow = soxr.resample(audio, SAMPLE_RATE, 8000)
    soundfile.write(folder / "slow.wav", np.stack([slow, 0.5 * slow], axis=1), 8000)
    return sorted(folder.iterdir())


def write_config(path: Path, bundle: Path, sounds: Sequence[Path], **settings: Any) -> Path:
    sources = [{"type": "file", "name": p.name, "path": str(p)} for p in sounds]
    content = {"bundle": str(bundle), "provider": "cpu", "sources": sources, **settings}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_replay_says_what_the_paced_daemon_says(tmp_path: Path) -> None:
    """Byte for byte but for ids and clocks: two members, tags, updates, a class switched off."""
    bundle = make_bundle(
        tmp_path / "bundle",
        classes=("low", "mid", "high", "other"),
        members=(
            ToneMember(name="ahead", latency_frames=6, weight=2.0, tags=True),
            ToneMember(name="prompt", sharpness=3.0),
        ),
        postprocessing={**POSTPROCESSING, "high": {"tag_threshold": 0.5}},
        warmup_frames=2,
    )
    sounds = write_sounds(tmp_path / "sounds")
    detect = {
        "update_every_s": 0.25,
        "fusion_weights": {"prompt": 0.5},
        "classes": {"mid": {"enter": 0.55, "median_s": 0.08}, "other": {"enabled": False}},
    }
    config = write_config(tmp_path / "run.yaml", bundle, sounds, detect=detect)
    live = published_live(config)
    out = tmp_path / "out"
    done = execute("replay", tmp_path / "sounds", "-o", out, "-c", config, "--jobs", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert replayed(out) == live
    assert set(live) == {path.name for path in sounds}
    kinds = {json.loads(line)["kind"] for lines in live.values() for line in lines}
    assert kinds == {"onset", "update", "offset"}


def test_the_shipped_bundle_says_the_same_live_and_replayed(tmp_path: Path) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    audio, rate = soundfile.read(ROOT / "examples" / "kitchen.ogg", dtype="float32")
    soundfile.write(sounds / "first.flac", audio[: 4 * rate], rate)
    soundfile.write(sounds / "later.wav", audio[24 * rate : 28 * rate], rate)
    bundle = ROOT / "models" / "domestic"
    config = write_config(tmp_path / "run.yaml", bundle, sorted(sounds.iterdir()))
    live = published_live(config)
    assert set(live) == {"first.flac", "later.wav"}
    done = execute("replay", sounds, "-o", tmp_path / "out", "-c", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert replayed(tmp_path / "out") == live


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough recordings to be interrupted in."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(240):
        onset = number % 17 / 20
        audio = tones([("low", onset, onset + 0.5)], duration_s=1 + number % 7 / 7, seed=number)
        soundfile.write(folder / f"{number:03}.wav", audio, SAMPLE_RATE)
    return folder


@pytest.fixture(scope="module")
def whole(many: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted replay of them, in one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = execute("replay", many, "-o", out, "--bundle", bundle, "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("240 recordings, 0.10 h, 240 events, 0 failed, ")
    return out


def journal_lines(out: Path) -> int:
    path = out / "recordings.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def until_under_way(out: Path) -> None:
    """Wait until some recordings are done."""
    deadline = monotonic() + PATIENCE_S
    while journal_lines(out) < 3:
        assert monotonic() < deadline, "no recording gets done"
        Event().wait(0.002)


def test_the_number_of_processes_changes_nothing(
    many: Path, bundle: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = execute("replay", many, "-o", out, "--bundle", bundle, "-j", "3", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert files_in(out) == files_in(whole)


def test_killed_in_the_middle_it_goes_on(
    many: Path, bundle: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ("replay", many, "-o", out, "--bundle", bundle, "--jobs", "2")
    with process(*arguments) as running:
        until_under_way(out)
        running.signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
    before = journal_lines(out)
    assert 0 < before < 240
    assert not (out / "events.tsv").exists()
    with (out / "recordings.jsonl").open("a") as journal:
        journal.write('{"name": "000.wav", "path": "/x')
    done = execute(*arguments, "--resume")
    assert (done.returncode, done.stderr) == (0, "")
    assert f" {before} done before, " in done.stdout
    assert files_in(out) == files_in(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_keeps_what_is_done(
    many: Path, bundle: Path, whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    arguments = ("replay", many, "-o", out, "--bundle", bundle, "--jobs", "2")
    with process(*arguments) as running:
        until_under_way(out)
        running.signal(number)
        assert running.wait() == 128 + number
        (line,) = without_progress("\n".join(running.log.rest())).splitlines()
    done = journal_lines(out)
    assert line == (
        f"streamsed: stopped by {number.name} after {done} of 240 recordings; "
        "the same command with --resume goes on"
    )
    assert not (out / ".partial").exists()
    assert execute(*arguments, "--resume").returncode == 0
    assert files_in(out) == files_in(whole)


def test_what_cannot_be_read_is_named_and_the_rest_done(
    bundle: Path, wav: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "cut.wav").write_bytes(wav.read_bytes()[:20_000])
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "list.txt").write_text("gone.wav\npipe.wav\n")
    out = tmp_path / "out"
    paths = (tmp_path / "empty.wav", wav, tmp_path / "cut.wav", tmp_path / "list.txt")
    done = execute("replay", *paths, "-o", out, "--bundle", bundle, "--jobs", "1")
    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == [
        (
            "streamsed: cut.wav: cut short or damaged after 0.624 s: it should be 1.000 s long; "
            "what came before is kept"
        ),
        "streamsed: empty.wav: the file is empty (0 bytes)",
        "streamsed: gone.wav: no such file; the path of a recording would be right",
        "streamsed: pipe.wav: not a file; the path of a recording would be right",
    ]
    assert done.stdout.startswith("5 recordings, 0.00 h, 2 events, 4 failed, ")
    failed = (out / "failed.tsv").read_text().splitlines()
    names = [line.split("\t")[0] for line in failed]
    assert names == ["filename", "empty.wav", "cut.wav", "gone.wav", "pipe.wav"]
    durations = (out / "durations.tsv").read_text().splitlines()
    assert durations == ["filename\tduration", "kitchen.wav\t1", "cut.wav\t0.623625"]


def refused(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return the one line that a command line is refused with, here in this process."""
    assert invoke(list(map(str, arguments))) == 2
    captured = capfd.readouterr()
    (line,) = captured.err.splitlines()
    assert not captured.out
    return line


def test_mistakes_are_told_in_one_line(
    bundle: Path, wav: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = ("-o", tmp_path / "out", "--bundle", bundle)
    for arguments, part in (
        (("replay", wav), "--output"),
        (("replay", *out), "PATH"),
        (("replay", tmp_path / "gone", *out), "no such file or folder"),
        (("replay", wav, wav, *out), "given twice"),
        (("replay", wav, *out, "--resume", "--overwrite"), "--resume and --overwrite"),
        (("replay", wav, *out, "--jobs", "0"), "--jobs"),
        (("replay", wav, *out, "--channel", "top"), "--channel top: no channel; mix, left"),
        (("replay", wav, "-o", tmp_path / "out", "--bundle", tmp_path / "none"), "no such bundle"),
        (("replay", wav, *out, "--ground-truth", tmp_path / "no.tsv"), "no.tsv"),
    ):
        assert part in refused(capfd, *arguments)
    assert not (tmp_path / "out").exists(), "a mistake leaves nothing behind"


def test_a_ground_truth_is_looked_at_before_the_replay(
    bundle: Path, wav: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    truth = tmp_path / "truth.tsv"
    for content, part in (
        ("filename\tonset\tevent_label\nkitchen.wav\t0.3\tlow\n", "offset"),
        ("filename\tonset\toffset\tevent_label\nkitchen.wav\t0.3\t0.7\tLow\n", "Low"),
        ("filename\tonset\toffset\tevent_label\nkitchen.wav\t0.7\t0.3\tlow\n", "truth.tsv"),
    ):
        truth.write_text(content)
        arguments = ("replay", wav, "-o", out, "--bundle", bundle, "--ground-truth", truth)
        assert part in refused(capfd, *arguments)
        assert not out.exists()


def test_with_a_ground_truth_it_is_scored(bundle: Path, wav: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    soundfile.write(other, tones([("high", 0.2, 0.5)], duration_s=1.0), SAMPLE_RATE)
    rows = ["filename\tonset\toffset\tevent_label", "kitchen.wav\t0.3\t0.7\tlow"]
    truth = tmp_path / "truth.tsv"
    truth.write_text("\n".join([*rows, "other.wav\t0.2\t0.5\thigh", ""]))
    out = tmp_path / "out"
    arguments = ("replay", wav, other, "-o", out, "--bundle", bundle)
    assert execute(*arguments).returncode == 0
    before = (out / "events.tsv").read_bytes()
    done = execute(*arguments, "--resume", "--ground-truth", truth)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 recordings, 0.00 h, 2 events, 0 failed, 2 done before, ")
    assert str(out / "report.html") in "".join(done.stdout.split("\n"))
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["schema"] == "streamsed.metrics/1"
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")
    assert (out / "events.tsv").read_bytes() == before


def test_progress_without_a_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python has it when whoever started it closed that."""
    monkeypatch.setattr("sys.stderr", None)
    with show_progress(quiet=False) as show:
        show(Progress(done=0, recordings=1, processed_s=0.0, left_s=1.0, latest=None))


def screen(file: int) -> Iterator[str]:
    """Yield what a terminal gets, until the other side has gone."""
    while True:
        try:
            data = os.read(file, 65_536)
        except OSError:
            return
        if not data:
            return
        yield data.decode()


def test_a_terminal_gets_a_bar(bundle: Path, many: Path, tmp_path: Path) -> None:
    from subprocess import PIPE, Popen

    from tests.cli.command import COMMAND, environment

    ours, theirs = pty.openpty()
    few = sorted(many.iterdir())[:40]
    arguments = ("replay", *few, "-o", tmp_path / "out", "--bundle", bundle, "--jobs", "1")
    with Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=PIPE,
        stderr=theirs,
        env=environment() | {"TERM": "xterm", "COLUMNS": "120"},
        text=True,
    ) as running:
        os.close(theirs)
        shown = "".join(screen(ours))
        os.close(ours)
        assert running.stdout is not None
        assert running.stdout.read().startswith("40 recordings, ")
        assert running.wait(PATIENCE_S) == 0
    assert " of 40 recordings, " in shown
    assert "100%" in shown
