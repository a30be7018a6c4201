"""Raw samples through real pipes, and what can be wrong with them."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import get_args

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.ffmpeg import find_ffmpeg
from streamsed.sources.pipe import Pipe
from streamsed.sources.protocol import EndOfSource
from streamsed.sources.raw_samples import SampleFormat
from tests.sources.reading import RATE, Reading, one_line, read_all


def integers(n: int) -> NDArray[np.int16]:
    return np.random.default_rng(2).integers(-8000, 8000, n).astype("<i2")


def through(
    data: bytes,
    *,
    cuts: tuple[int, ...] = (),
    rate: int = RATE,
    channels: int = 1,
    sample_format: SampleFormat = "s16le",
) -> tuple[Pipe, Reading]:
    """Write ``data`` into a pipe in pieces of the given sizes; return what was read from it."""
    read_end, write_end = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(write_end, "wb", buffering=0) as file:
            start = 0
            for size in (*cuts, len(data)):
                piece = data[start : start + size]
                while piece:
                    piece = piece[file.write(piece) :]
                start += size

    writer = Thread(target=write)
    writer.start()
    pipe = Pipe("p", rate=rate, channels=channels, sample_format=sample_format, stream=read_end)
    try:
        reading = read_all(pipe)
    finally:
        os.close(read_end)  # a writer that is not read any more fails rather than hang
        writer.join(10.0)
    return pipe, reading


def reason(reading: Reading, *parts: str) -> None:
    """Check that a stream was lost, with one line that has every part."""
    assert isinstance(reading.end, SourceLost)
    assert one_line(reading.end, "p: standard input", *parts)


@given(
    cuts=st.lists(st.integers(1, 5000), max_size=20),
    frames=st.integers(1, 8000),
    over=st.integers(0, 3),
)
@settings(max_examples=30, deadline=None)
def test_however_the_bytes_are_cut(cuts: list[int], frames: int, over: int) -> None:
    stereo = integers(2 * frames)
    _, reading = through(stereo.tobytes() + b"\x01" * over, cuts=tuple(cuts), channels=2)
    expected = stereo.astype(np.float32).reshape(-1, 2).mean(axis=1) / 32768
    np.testing.assert_allclose(reading.samples, expected, atol=1e-7)
    if over:
        reason(reading, "ended inside a frame", f"{over} of 4 bytes", f"{frames} whole frames")
    else:
        assert isinstance(reading.end, EndOfSource)


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_floats_at_any_rate(rate: int) -> None:
    values = (integers(2 * rate) / 8000).astype("<f4")
    _, reading = through(values.tobytes(), rate=rate, sample_format="f32le")
    assert isinstance(reading.end, EndOfSource)
    np.testing.assert_allclose(reading.samples, soxr.resample(values, rate, RATE), atol=1e-5)


@pytest.mark.parametrize("sample_format", get_args(SampleFormat))
def test_formats_are_those_of_ffmpeg(sample_format: SampleFormat) -> None:
    values = np.concatenate([integers(4000), [-32768, 32767, 0, 1, -1]]).astype("<i2")
    stereo = np.stack([values, values[::-1]], axis=1)
    ffmpeg = (str(find_ffmpeg()), "-v", "error", "-ac", "2", "-ar", str(RATE))
    raw = subprocess.run(
        (*ffmpeg, "-f", "s16le", "-i", "-", "-f", sample_format, "-"),
        input=stereo.tobytes(),
        capture_output=True,
        check=True,
    ).stdout
    back = subprocess.run(
        (*ffmpeg, "-f", sample_format, "-i", "-", "-f", "f32le", "-"),
        input=raw,
        capture_output=True,
        check=True,
    ).stdout
    expected = np.frombuffer(back, "<f4").reshape(-1, 2).mean(axis=1)
    _, reading = through(raw, channels=2, sample_format=sample_format)
    assert isinstance(reading.end, EndOfSource)
    np.testing.assert_allclose(reading.samples, expected, atol=1e-7)


def test_an_odd_number_of_bytes() -> None:
    _, reading = through(integers(1000).tobytes() + b"\x07")
    reason(reading, "ended inside a frame", "1 of 2 bytes", "1000 whole frames")
    assert len(reading.samples) == 1000


def test_nothing_at_all() -> None:
    reason(through(b"")[1], "empty")
    reason(through(b"\x01")[1], "inside a frame")


def wav_bytes(subtype: str, rate: int, container: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(
        file, integers(2 * rate).reshape(-1, 2), rate, format=container, subtype=subtype
    )
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (wav_bytes("PCM_16", 48_000), ("WAV", "PCM_16", "48000 Hz, 2 channel")),
        (wav_bytes("FLOAT", 8_000), ("WAV", "FLOAT", "8000 Hz")),
        (wav_bytes("PCM_16", 16_000, "FLAC"), ("FLAC",)),
        (wav_bytes("VORBIS", 16_000, "OGG"), ("Ogg",)),
        (b"RIFF", ("WAV",)),
    ],
)
def test_a_header_instead_of_raw_samples(data: bytes, parts: tuple[str, ...]) -> None:
    _, reading = through(data)
    reason(reading, "header", *parts, "raw s16le samples at 16000 Hz, 1 channel(s) would be right")
    assert not reading.blocks


@pytest.mark.parametrize("level", [20, 8000])
def test_integers_taken_for_floats(level: int) -> None:
    noise = np.random.default_rng(0).normal(0, level, 8 * RATE).clip(-32768, 32767)
    _, reading = through(noise.astype("<i2").tobytes(), sample_format="f32le")
    reason(reading, "not f32le", "s16le may be right")


def test_nan_among_floats_becomes_silence() -> None:
    values = (integers(RATE) / 8000).astype("<f4")
    values[::50] = np.nan
    pipe, reading = through(values.tobytes(), sample_format="f32le")
    assert isinstance(reading.end, EndOfSource)
    np.testing.assert_array_equal(reading.samples, np.nan_to_num(values, nan=0.0))
    assert pipe.unusable_samples == RATE // 50


@pytest.fixture
def open_pipe() -> Iterator[tuple[Pipe, int]]:
    """An opened live pipe at 16 kHz, and the descriptor to write into."""
    read_end, write_end = os.pipe()
    pipe = Pipe("p", rate=RATE, live=True, stream=read_end)
    pipe.open(RATE)
    yield pipe, write_end
    pipe.close()
    os.close(read_end)
    os.close(write_end)


def test_nothing_within_the_time(open_pipe: tuple[Pipe, int]) -> None:
    pipe, write_end = open_pipe
    assert pipe.read(0) is None
    os.write(write_end, b"\0" * 3)
    assert pipe.read(0.01) is None


def test_a_live_pipe_began_when_its_first_bytes_were_heard(open_pipe: tuple[Pipe, int]) -> None:
    pipe, write_end = open_pipe
    before = datetime.now(UTC)
    os.write(write_end, bytes(2 * RATE))
    block = pipe.read(10.0)
    assert block is not None
    captured = pipe.started_at.timestamp() + len(block.samples) / RATE
    assert before.timestamp() <= captured <= datetime.now(UTC).timestamp()


@pytest.mark.parametrize("closers", [1, 3])
def test_closing_from_other_threads_ends_the_wait(
    open_pipe: tuple[Pipe, int], closers: int
) -> None:
    pipe, _ = open_pipe
    blocks: list[object] = []
    actions: list[Callable[[], object]] = [lambda: blocks.append(pipe.read(200.0))]
    threads = [Thread(target=action) for action in [*actions, *[pipe.close] * closers]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
        assert not thread.is_alive()
    assert blocks == [None]


def test_a_pipe_is_read_once(open_pipe: tuple[Pipe, int]) -> None:
    pipe, _ = open_pipe
    pipe.close()
    with pytest.raises(SourceError, match="only once"):
        pipe.open(RATE)


def test_a_terminal_is_no_audio() -> None:
    master, slave = pty.openpty()
    with pytest.raises(SourceError) as error:
        Pipe("p", rate=RATE, stream=slave).open(RATE)
    assert one_line(error.value, "terminal", "arecord")
    os.close(master)
    os.close(slave)


def test_a_closed_descriptor(open_pipe: tuple[Pipe, int]) -> None:
    with pytest.raises(SourceError, match="no standard input"):
        Pipe("p", rate=RATE, stream=io.BytesIO()).open(RATE)


_READ_STDIN = """\
from streamsed.sources.config import build_source, parse_source
from tests.sources.reading import read_all
reading = read_all(build_source(parse_source("pipe:s16le@8000x2")))
print(len(reading.samples), type(reading.end).__name__)
"""


def test_standard_input_from_a_pipe_and_from_a_file(tmp_path: Path) -> None:
    data = integers(2 * 4000).tobytes()
    path = tmp_path / "raw"
    path.write_bytes(data)
    command = [sys.executable, "-c", _READ_STDIN]
    piped = subprocess.run(command, input=data, capture_output=True, timeout=60, check=True)
    with path.open("rb") as file:
        redirected = subprocess.run(
            command, stdin=file, capture_output=True, timeout=60, check=True
        )
    assert piped.stdout == redirected.stdout == b"8000 EndOfSource\n"
