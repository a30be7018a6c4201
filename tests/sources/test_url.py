"""Streams through ffmpeg: what comes out, what goes wrong, and what is left of it."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.ffmpeg import find_ffmpeg
from streamsed.sources.mono import Channel
from streamsed.sources.protocol import EndOfSource
from streamsed.sources.url import Url
from tests.children import assert_gone, children
from tests.sources.delivering import files_served
from tests.sources.interrupted import check_interruption_before_the_child_is_seen
from tests.sources.reading import RATE, one_line, read_all
from tests.stream_servers import HttpServer, RtspServer, StreamServer, serving

PATIENCE_S = 30.0


def chirp(rate: int, seconds: float = 2.0) -> np.ndarray:
    t = np.arange(round(rate * seconds)) / rate
    return 0.5 * np.sin(2 * np.pi * (200 * t + 500 * t**2))


@pytest.mark.parametrize(("name", "rate"), [("a.flac", RATE), ("a.ogg", 44_100), ("a.mp3", 48_000)])
def test_a_recording_is_heard_to_its_end(tmp_path: Path, name: str, rate: int) -> None:
    soundfile.write(tmp_path / name, chirp(rate), rate)
    with files_served(tmp_path) as address:
        reading = read_all(Url("a", f"{address}/{name}"))
    assert isinstance(reading.end, EndOfSource)
    expected = chirp(RATE)
    captured = reading.samples[: len(expected)]
    assert abs(len(reading.samples) - len(expected)) <= 0.1 * RATE
    lag = int(np.argmax(np.correlate(captured, expected[: len(expected) // 2], mode="valid")))
    overlap = min(len(captured) - lag, len(expected))
    assert lag < 0.1 * RATE
    assert np.corrcoef(captured[lag : lag + overlap], expected[:overlap])[0, 1] > 0.99


def test_hls(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", chirp(RATE), RATE)
    segments = ("-f", "hls", "-hls_time", "0.5", "-hls_list_size", "0", "live.m3u8")
    command = (find_ffmpeg(None), "-loglevel", "error", "-i", "a.wav", *segments)
    subprocess.run(command, cwd=tmp_path, check=True, timeout=PATIENCE_S)
    with files_served(tmp_path) as address:
        reading = read_all(Url("a", f"{address}/live.m3u8"))
    assert isinstance(reading.end, EndOfSource)
    assert len(reading.samples) / RATE == pytest.approx(2.0, abs=0.2)
    assert np.sqrt(np.mean(reading.samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize(("channel", "gain"), [("mix", 0.25), ("left", 1.0), (1, -0.5)])
def test_channels(tmp_path: Path, channel: Channel, gain: float) -> None:
    left = chirp(RATE)
    soundfile.write(tmp_path / "a.wav", np.stack([left, -left / 2], axis=1), RATE)
    with files_served(tmp_path) as address:
        reading = read_all(Url("a", f"{address}/a.wav", channel=channel))
    np.testing.assert_allclose(reading.samples, gain * left, atol=1e-3)


@pytest.mark.parametrize("kind", [HttpServer, RtspServer])
def test_a_live_stream_keeps_time(kind: type[StreamServer]) -> None:
    loop = chirp(RATE, 1.0).astype(np.float32)[:, np.newaxis]
    with serving(kind(loop, RATE)) as server:
        source = Url("cam", server.url)
        began = datetime.now(UTC).timestamp()
        source.open(RATE)
        try:
            position, deadline = 0, monotonic() + PATIENCE_S
            while position < 2 * RATE:
                assert monotonic() < deadline
                if (block := source.read(1.0)) is not None:
                    assert block.first_sample == position
                    position = block.end_sample
            after = datetime.now(UTC).timestamp()
            assert began - 1.0 < source.started_at.timestamp() <= after - position / RATE
        finally:
            source.close()


def refusal(source: Url) -> SourceError:
    before = children()
    with pytest.raises(SourceError) as error:
        source.open(RATE)
    assert children() == before, "ffmpeg is still there"
    assert "secret" not in str(error.value)
    return error.value


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_nobody_listens(scheme: str) -> None:
    error = refusal(Url("cam", f"{scheme}://user:secret@127.0.0.1:9/live", stall_s=5.0))
    assert one_line(error, f"cam: '{scheme}://***@127.0.0.1:9/live': ", "Connection refused")


def test_a_host_that_does_not_exist() -> None:
    error = refusal(Url("cam", "http://user:secret@nowhere.invalid/live"))
    assert one_line(error, "nowhere.invalid", "resolve")


def test_what_is_not_there_or_no_audio(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>hello</p>" * 1000, encoding="utf-8")
    with files_served(tmp_path) as address:
        assert one_line(refusal(Url("cam", f"{address}/none")), "404 Not Found")
        assert one_line(refusal(Url("cam", f"{address}/page.html")), "Invalid data")


def test_a_server_that_says_nothing() -> None:
    with serving(HttpServer(np.zeros((RATE, 1), np.float32), RATE)) as server:
        server.playing.clear()
        error = refusal(Url("cam", server.url, stall_s=0.4))
    assert one_line(error, "cam: 'http://***@127.0.0.1")


def test_a_stream_that_breaks_off_is_lost_and_may_be_opened_again() -> None:
    loop = chirp(RATE, 1.0).astype(np.float32)[:, np.newaxis]
    with serving(HttpServer(loop, RATE)) as server:
        source = Url("cam", server.url)
        for rate, channels in ((RATE, 1), (44_100, 2)):
            server.rate, server.loop = rate, np.repeat(loop, channels, axis=1)
            source.open(RATE)
            block = source.read(PATIENCE_S)
            assert block is not None
            assert block.first_sample == 0
            server.break_off()
            deadline = monotonic() + PATIENCE_S
            with pytest.raises((SourceLost, EndOfSource)):  # noqa: PT012  # what came before is first
                while monotonic() < deadline:
                    source.read(1.0)
        source.close()


def test_a_stream_that_stalls_delivers_nothing_and_ffmpeg_can_be_ended() -> None:
    before = children()
    with serving(HttpServer(np.ones((RATE, 1), np.float32) / 2, RATE)) as server:
        source = Url("cam", server.url)
        source.open(RATE)
        (ffmpeg,) = children() - before
        ffmpeg.suspend()
        deadline = monotonic() + PATIENCE_S
        while source.read(0.2) is not None:
            assert monotonic() < deadline
        source.close()
        source.close()
    assert_gone(ffmpeg)


@pytest.mark.parametrize("opened", [True, False])
def test_closing_from_another_thread(opened: bool) -> None:
    before, ends = children(), []
    with serving(HttpServer(np.ones((RATE, 1), np.float32) / 2, RATE)) as server:
        source = Url("cam", server.url, stall_s=60.0)
        if opened:
            source.open(RATE)
        server.playing.clear()

        def work() -> None:
            try:
                if not opened:
                    source.open(RATE)
                while source.read(60.0) is not None:
                    pass
                ends.append(None)
            except SourceError as error:
                ends.append(error)

        worker = Thread(target=work)
        worker.start()
        deadline = monotonic() + PATIENCE_S
        while not children() - before:
            assert monotonic() < deadline
        source.interrupt()
        worker.join(PATIENCE_S)
        assert not worker.is_alive()
        source.close()
    assert opened == (ends == [None])
    assert children() == before


def test_an_interruption_before_the_program_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Url("cam", "http://127.0.0.1:9/")
    check_interruption_before_the_child_is_seen(source, monkeypatch)


def test_an_ffmpeg_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no program that can be run"):
        Url("cam", "http://127.0.0.1/", ffmpeg=tmp_path / "ffmpeg")
    true = shutil.which("true")
    assert true is not None
    error = refusal(Url("cam", "http://127.0.0.1:9/", ffmpeg=Path(true)))
    assert one_line(error, "ended without a message")


def test_the_systems_ffmpeg_goes_before_the_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ffmpeg() == Path(imageio_ffmpeg.get_ffmpeg_exe())
    own = tmp_path / "ffmpeg"
    own.write_text("#!/bin/sh\n", encoding="utf-8")
    own.chmod(0o755)
    assert find_ffmpeg() == own


@pytest.mark.parametrize("form", ["mp3", "adts", "mpegts"])
def test_a_format_that_changes_in_mid_stream(tmp_path: Path, form: str) -> None:
    """As a radio changes it between programmes: rate and channels, within one connection."""
    parts = []
    for number, (rate, channels) in enumerate(((44_100, 2), (22_050, 1), (48_000, 2))):
        tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
        recording, part = tmp_path / f"{number}.wav", tmp_path / f"{number}.{form}"
        soundfile.write(recording, np.repeat(tone[:, np.newaxis], channels, axis=1), rate)
        made = [find_ffmpeg(), "-v", "error", "-i", recording, "-f", form, part]
        subprocess.run(made, check=True)
        parts.append(part.read_bytes())
    (tmp_path / "all").write_bytes(b"".join(parts))
    with files_served(tmp_path) as address:
        samples = read_all(Url("radio", f"{address}/all")).samples
    assert len(samples) == pytest.approx(6 * RATE, rel=0.05)
    for second in (0.5, 1.5, 2.5, 3.5, 4.5, 5.3):
        piece = samples[round(second * RATE) :][: RATE // 5]
        assert np.sqrt(np.mean(piece**2)) == pytest.approx(0.25 / np.sqrt(2), rel=0.15)


def test_a_process_that_was_stopped_catches_up() -> None:
    loop = chirp(RATE, 1.0).astype(np.float32)[:, np.newaxis]
    before = children()
    with serving(HttpServer(loop, RATE)) as server:
        source = Url("cam", server.url)
        source.open(RATE)
        position, resumed = 0, False
        (ffmpeg,) = children() - before
        deadline = monotonic() + PATIENCE_S
        while position < 14 * RATE:
            assert monotonic() < deadline
            if (block := source.read(1.0)) is not None:
                assert block.first_sample == position
                position = block.end_sample
            if position > 5 * RATE and not resumed:
                started_at = source.started_at
                ffmpeg.suspend()
                sleep(4.0)
                ffmpeg.resume()
                resumed = True
        assert source.lost_samples == 0
        assert abs((source.started_at - started_at).total_seconds()) < 1.0
        source.close()
