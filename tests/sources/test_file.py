"""Recordings: formats, pacing, and everything that can be wrong with a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.file import AudioFile
from streamsed.sources.mono import Channel
from streamsed.sources.protocol import EndOfSource
from tests.sources.reading import RATE, one_line, read_all, read_on

FORMATS = ["wav", "flac", "ogg", "mp3"]
SECONDS = 2.7


def noise(n: int, channels: int = 1) -> NDArray[np.float32]:
    """White noise, ``(n, channels)``."""
    shape = (n, channels)
    return (0.1 * np.random.default_rng(1).standard_normal(shape)).astype(np.float32)


@pytest.fixture
def recording(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A mono recording in the format that the test's parameter names."""
    path = tmp_path / f"a.{request.param}"
    soundfile.write(path, noise(round(SECONDS * RATE)), RATE)
    return path


in_every_format = pytest.mark.parametrize("recording", FORMATS, indirect=True)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize(("channels", "channel"), [(1, "mix"), (2, "mix"), (2, "right")])
def test_every_format_rate_and_channel(
    tmp_path: Path, suffix: str, rate: int, channels: int, channel: Channel
) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(round(SECONDS * rate), channels), rate)
    decoded, _ = soundfile.read(path, dtype="float32", always_2d=True)
    mono = decoded.mean(axis=1) if channel == "mix" else np.ascontiguousarray(decoded[:, 1])

    reading = read_all(AudioFile("a", path, paced=False, channel=channel))

    assert isinstance(reading.end, EndOfSource)
    assert max(len(block.samples) for block in reading.blocks) <= 1.1 * RATE
    expected = soxr.resample(mono, rate, RATE)
    assert len(reading.samples) == round(SECONDS * RATE)
    np.testing.assert_allclose(reading.samples, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("wav", "PCM_U8"), ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("wav", "ULAW"),
     ("aiff", "PCM_16"), ("flac", "PCM_16"), ("flac", "PCM_24"), ("ogg", "VORBIS")],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_every_encoding_is_decoded_to_the_last_bit(
    tmp_path: Path, suffix: str, subtype: str, channels: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, 4 * noise(150_001, channels), RATE, subtype)  # some samples are clipped
    decoded, _ = soundfile.read(path, dtype="float32", always_2d=True)
    mixed = np.zeros(len(decoded), np.float32)
    for channel in range(channels):
        mixed += decoded[:, channel]
    reading = read_all(AudioFile("a", path, paced=False))
    np.testing.assert_array_equal(reading.samples, mixed / np.float32(channels))
    last = read_all(AudioFile("a", path, paced=False, channel=channels - 1))
    np.testing.assert_array_equal(last.samples, decoded[:, -1])


def test_more_channels_than_two_and_an_odd_rate(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    frames = noise(12_345 * 2, 6)
    soundfile.write(path, frames, 12_345, subtype="FLOAT")
    reading = read_all(AudioFile("a", path, paced=False, channel=4))
    np.testing.assert_allclose(
        reading.samples, soxr.resample(frames[:, 4].copy(), 12_345, RATE), atol=1e-5
    )
    with pytest.raises(SourceError) as error:
        AudioFile("a", path, channel=6).open(RATE)
    assert one_line(error.value, str(path), "channel 6", "0 to 5")


def test_a_file_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(RATE), RATE)
    source = AudioFile("a", path, paced=False)
    first = read_all(source).samples
    np.testing.assert_array_equal(read_all(source).samples, first)


def test_pacing_is_never_early_and_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(RATE), RATE)
    now = 1000.0
    monkeypatch.setattr("streamsed.sources.file.monotonic", lambda: now)
    source = AudioFile("a", path)
    source.open(RATE)
    received = 0
    for now in (1000.0, 1000.049, 1000.051, 1000.3, 1000.301, 1000.76, 1002.0):
        while True:
            try:
                block = source.read(0)
            except EndOfSource:
                break
            if block is None:
                break
            received += len(block.samples)
        due = min(RATE, int((now - 1000.0 + 1e-9) / 0.05) * 800)
        assert received == due, now
    source.close()


def test_pacing_takes_real_time(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(RATE // 4), RATE)
    began = monotonic()
    reading = read_all(AudioFile("a", path))
    assert monotonic() - began >= 0.25
    assert len(reading.samples) == RATE // 4


def test_closing_from_another_thread_ends_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(RATE), RATE)
    monkeypatch.setattr("streamsed.sources.file.PACED_BLOCK_S", 1.0)
    monkeypatch.setattr("streamsed.sources.file.monotonic", lambda: 0.0)  # time stands still
    source = AudioFile("a", path)
    source.open(RATE)
    blocks: list[object] = []
    reader = Thread(target=lambda: blocks.append(source.read(200.0)))
    reader.start()
    source.close()
    source.close()
    reader.join(10.0)
    assert not reader.is_alive()
    assert blocks == [None]
    assert source.read(0) is None


@contextmanager
def unprivileged() -> Iterator[None]:
    """Drop root's right to read everything, if it is there."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def refusal(path: Path) -> SourceError:
    """Open a file that cannot be; return the error."""
    source = AudioFile("a", path, paced=False)
    with pytest.raises(SourceError) as error:
        source.open(RATE)
    source.close()
    assert one_line(error.value, str(path))
    return error.value


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "no such file" in str(refusal(tmp_path / "a.wav"))
    assert "not a file" in str(refusal(tmp_path))


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(RATE), RATE)
    path.chmod(0)
    with unprivileged():
        assert "Permission denied" in str(refusal(path))


@pytest.mark.parametrize("suffix", [*FORMATS, "raw", "txt"])
def test_a_file_that_is_no_audio(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"")
    assert "0 bytes" in str(refusal(path))
    path.write_bytes(b"This is a letter, not a recording. " * 200)
    assert "not a recording" in str(refusal(path))


@pytest.mark.parametrize("suffix", FORMATS)
def test_zero_samples(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(0), RATE)
    refusal(path)


@in_every_format
@pytest.mark.parametrize("kept", [0.0005, 0.02])
def test_hardly_anything_left(recording: Path, kept: float) -> None:
    data = recording.read_bytes()
    recording.write_bytes(data[: int(len(data) * kept)])
    end = refusal_or_end(recording)
    assert isinstance(end, SourceError)
    assert one_line(end, str(recording))


def refusal_or_end(path: Path) -> Exception:
    """Read a file as far as it goes; return what ended it, be it at the beginning."""
    source = AudioFile("a", path, paced=False)
    try:
        source.open(RATE)
    except SourceError as error:
        return error
    return read_on(source).end


@in_every_format
def test_a_truncated_file_gives_what_it_has_and_is_lost(recording: Path) -> None:
    whole, _ = soundfile.read(recording, dtype="float32")
    data = recording.read_bytes()
    recording.write_bytes(data[: int(len(data) * 0.6)])
    reading = read_all(AudioFile("a", recording, paced=False))
    assert isinstance(reading.end, SourceLost)
    assert one_line(reading.end, str(recording), "cut short or damaged after")
    n = len(reading.samples)
    if recording.suffix == ".wav":
        assert n == (int(len(data) * 0.6) - 44) // 2
    assert 0.2 * len(whole) < n < 0.7 * len(whole)
    # An overlapping transform needs what was cut to get its last frame right.
    sure = n - (2 * 1152 if recording.suffix == ".mp3" else 0)
    np.testing.assert_allclose(reading.samples[:sure], whole[:sure], atol=1e-6)


@pytest.mark.parametrize("recording", ["flac"], indirect=True)
def test_a_damaged_file_gives_what_lies_before_the_damage(recording: Path) -> None:
    whole, _ = soundfile.read(recording, dtype="float32")
    data = bytearray(recording.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = b"\x55" * 2000
    recording.write_bytes(data)
    reading = read_all(AudioFile("a", recording, paced=False))
    assert isinstance(reading.end, SourceLost)
    n = len(reading.samples)
    assert 0.4 * len(whole) < n < 0.6 * len(whole)
    np.testing.assert_array_equal(reading.samples, whole[:n])


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("recording", ["wav"], indirect=True)
def test_a_wav_that_was_written_to_a_pipe_is_whole(recording: Path, size: int) -> None:
    data = bytearray(recording.read_bytes())
    data[4:8] = data[40:44] = size.to_bytes(4, "little")
    recording.write_bytes(data)
    reading = read_all(AudioFile("a", recording, paced=False))
    assert isinstance(reading.end, EndOfSource)
    assert len(reading.samples) == round(SECONDS * RATE)


@pytest.mark.parametrize("recording", ["flac"], indirect=True)
def test_a_flac_of_unknown_length_is_whole(recording: Path) -> None:
    whole, _ = soundfile.read(recording, dtype="float32")
    data = bytearray(recording.read_bytes())
    data[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    data[22:26] = bytes(4)
    recording.write_bytes(data)
    reading = read_all(AudioFile("a", recording, paced=False))
    assert isinstance(reading.end, EndOfSource)
    np.testing.assert_array_equal(reading.samples, whole)


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_nan_becomes_silence_and_is_counted(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    frames = noise(2 * rate, 2)
    frames[100:110, 0] = np.nan
    frames[rate + 5, 1] = np.inf
    soundfile.write(path, frames, rate, subtype="FLOAT")
    source = AudioFile("a", path, paced=False)
    reading = read_all(source)
    assert isinstance(reading.end, EndOfSource)
    assert source.unusable_samples == 11
    repaired = np.where(np.isfinite(frames), frames, 0).mean(axis=1)
    np.testing.assert_allclose(reading.samples, soxr.resample(repaired, rate, RATE), atol=1e-5)


def test_nothing_but_nan_is_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT")
    source = AudioFile("a", path, paced=False)
    assert not read_all(source).samples.any()
    assert source.unusable_samples == RATE


def test_an_absurd_rate_in_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(RATE), RATE)
    data = bytearray(path.read_bytes())
    data[24:28] = (3).to_bytes(4, "little")
    path.write_bytes(data)
    assert "sample rate 3 Hz" in str(refusal(path))
