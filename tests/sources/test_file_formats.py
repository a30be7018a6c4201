"""Files are decoded to their last sample, whatever their container is and their header claims."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.file import AudioFile
from streamsed.sources.protocol import EndOfSource
from tests.encoded import decoded_by_ffmpeg, encoded
from tests.sources.reading import one_line, read_all

MONO_8K = ("-ac", "1", "-ar", "8000")


def assert_whole(path: Path, *, atol: float = 2e-4) -> AudioFile:
    """Check that a file delivers what ffmpeg decodes; return the source, closed."""
    frames, rate = decoded_by_ffmpeg(path)
    source = AudioFile("a", path, paced=False, channel=0)
    reading = read_all(source, rate)
    assert isinstance(reading.end, EndOfSource), reading.end
    assert len(reading.samples) == len(frames) > rate
    np.testing.assert_allclose(reading.samples, frames[:, 0], atol=atol)
    return source


@pytest.mark.parametrize(
    "path",
    [
        # What a phone, a camera, a browser or a meeting leaves.
        lambda: encoded("a.m4a"),
        lambda: encoded("fast.m4a", "-movflags", "+faststart"),
        lambda: encoded("alac.m4a", "-c:a", "alac"),
        lambda: encoded("a.mp4", "-ac", "2"),
        lambda: encoded("opus.mp4", "-c:a", "libopus"),
        lambda: encoded("a.mov"),
        lambda: encoded("a.3gp", *MONO_8K, "-c:a", "libopencore_amrnb"),
        lambda: encoded("a.amr", *MONO_8K, "-c:a", "libopencore_amrnb"),
        lambda: encoded("a.webm"),
        lambda: encoded("a.mka", "-c:a", "aac"),
        lambda: encoded("a.wma"),
        lambda: encoded("a.avi"),
        lambda: encoded("a.ts", "-c:a", "aac"),
        lambda: encoded("a.aac"),
        lambda: encoded("a.ac3"),
        lambda: encoded("a.wv"),
        lambda: encoded("a.tta"),
        lambda: encoded("flac.ogg", "-c:a", "flac"),
        lambda: encoded("unknown.caf", piped="caf"),
        # Without a count of frames: lengths are estimates of libsndfile's.
        lambda: encoded("vbr.mp3", "-c:a", "libmp3lame", "-q:a", "4", piped="mp3"),
        lambda: encoded("cbr.mp3", "-c:a", "libmp3lame", "-b:a", "64k", piped="mp3"),
        lambda: encoded("a.mp2", "-b:a", "128k"),
        lambda: encoded("mp3.wav", "-c:a", "libmp3lame", "-b:a", "64k"),
        lambda: encoded("a.voc"),
    ],
)  # fmt: skip
def test_what_ffmpeg_plays(path: Callable[[], Path]) -> None:
    assert_whole(path())


@pytest.mark.parametrize(
    "path",
    [
        lambda: encoded("a.wav"),
        lambda: encoded("a.wav", "-c:a", "pcm_s24le"),
        lambda: encoded("a.wav", "-c:a", "adpcm_ms"),
        lambda: encoded("a.wav", "-rf64", "always"),
        lambda: encoded("a.w64"),
        lambda: encoded("a.aiff"),
        lambda: encoded("a.aifc", "-c:a", "pcm_mulaw", "-f", "aiff"),
        lambda: encoded("a.caf"),
        lambda: encoded("a.au", "-c:a", "pcm_f32be"),
        lambda: encoded("a.flac"),
        lambda: encoded("a.ogg", "-c:a", "libvorbis"),
        lambda: encoded("a.opus"),
        lambda: encoded("a.mp3", "-q:a", "4"),
    ],
)
def test_what_libsndfile_plays_starts_no_program(
    path: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = path()
    frames, rate = decoded_by_ffmpeg(recording)
    monkeypatch.setattr(AudioFile, "_by_ffmpeg", None)
    reading = read_all(AudioFile("a", recording, paced=False, channel=0), rate)
    assert isinstance(reading.end, EndOfSource)
    assert len(reading.samples) == len(frames)


def test_several_files_in_one(tmp_path: Path) -> None:
    for name, options in {
        "a.ogg": ("-c:a", "libvorbis"),
        "a.opus": ("-c:a", "libopus"),
        "a.flac": (),
        "a.mp3": ("-q:a", "4"),
    }.items():
        path = tmp_path / name
        path.write_bytes(encoded(name, *options, seconds=2.0).read_bytes() * 2)
        assert assert_whole(path).remark is None


def test_channels_of_a_film_and_a_film_without_sound(tmp_path: Path) -> None:
    stereo = ("-filter_complex", "[0:a]aeval=val(0)|-0.5*val(0):c=stereo[s]", "-map", "[s]")
    picture = ("-f", "lavfi", "-i", "color=s=64x64:d=1")
    path = encoded("a.mkv", *stereo, "-c:a", "flac")
    frames, rate = decoded_by_ffmpeg(path)
    left, right = (
        read_all(AudioFile("a", path, paced=False, channel=n), rate).samples for n in (0, 1)
    )
    np.testing.assert_array_equal(left, frames[:, 0])
    np.testing.assert_array_equal(right, frames[:, 1])
    mix = read_all(AudioFile("a", path, paced=False), rate).samples
    np.testing.assert_allclose(mix, frames.mean(axis=1), atol=1e-7)
    silent = encoded("film.mkv", *picture, "-map", "1:v", "-t", "1")
    with pytest.raises(SourceError) as error:
        AudioFile("a", silent).open(16_000)
    assert one_line(error.value, str(silent), "there is no audio in it")


def dead(path: Path, target: Path, *fields: tuple[bytes, int, bytes]) -> Path:
    """Copy a file with other bytes at places that are counted from a chunk's name."""
    data = bytearray(path.read_bytes())
    for name, offset, value in fields:
        place = data.index(name) + offset if name else offset
        data[place : place + len(value)] = value
    target.write_bytes(data)
    return target


ZERO = bytes(4)
DEAD_HEADERS = {
    "zero.wav": ("a.wav", (), [(b"", 4, ZERO), (b"data", 4, ZERO)]),
    "riff36.wav": ("a.wav", (), [(b"", 4, b"\x24\0\0\0"), (b"data", 4, ZERO)]),
    "before.wav": ("a.wav", (), [(b"data", 4, struct.pack("<I", 70_000))]),
    "odd.wav": ("a.wav", (), [(b"data", 4, struct.pack("<I", 70_001))]),
    "float.wav": ("a.wav", ("-c:a", "pcm_f32le"), [(b"data", 4, ZERO)]),
    "rf64.wav": ("a.wav", ("-rf64", "always"), [(b"ds64", 8, bytes(24))]),
    "bw64.wav": ("a.wav", ("-rf64", "always"), [(b"", 0, b"BW64"), (b"ds64", 8, bytes(24))]),
    "mp3.wav": ("mp3.wav", ("-c:a", "libmp3lame", "-b:a", "64k"), [(b"data", 4, ZERO)]),
    "zero.w64": ("a.w64", (), [(b"data", 16, struct.pack("<q", 24))]),
    "zero.aiff": ("a.aiff", (), [(b"SSND", 4, ZERO), (b"COMM", 10, ZERO)]),
    "zero.caf": ("a.caf", (), [(b"data", 4, bytes(8))]),
    "zero.au": ("a.au", (), [(b"", 8, ZERO)]),
}  # fmt: skip


@pytest.mark.parametrize("name", DEAD_HEADERS)
def test_a_recorder_that_died_leaves_all_that_it_wrote(tmp_path: Path, name: str) -> None:
    original, options, fields = DEAD_HEADERS[name]
    whole = encoded(original, *options)
    frames, rate = decoded_by_ffmpeg(whole)
    source = AudioFile("a", dead(whole, tmp_path / name, *fields), paced=False, channel=0)
    reading = read_all(source, rate)
    assert isinstance(reading.end, EndOfSource)
    np.testing.assert_array_equal(reading.samples, frames[:, 0])
    assert source.remark is not None
    assert "its header claims" in source.remark


def test_what_lies_behind_the_samples_is_not_taken_for_some(tmp_path: Path) -> None:
    data = encoded("a.wav").read_bytes()
    frames, rate = decoded_by_ffmpeg(encoded("a.wav"))
    chunk = b"LIST" + struct.pack("<I", 2000) + b"INFO" + b"x" * 1996
    for behind in (chunk, chunk + b"\0" * 4, bytes(30_000), b"TAG" + b"y" * 2000, b"z" * 500):
        path = tmp_path / "a.wav"
        path.write_bytes(data + behind)
        source = AudioFile("a", path, paced=False)
        assert len(read_all(source, rate).samples) == len(frames)
        assert source.remark is None


@pytest.mark.parametrize("version", [1, 7])
def test_float_with_a_peak_chunk_of_any_shape(tmp_path: Path, version: int) -> None:
    whole = encoded("a.wav", "-c:a", "pcm_f32le")
    data = whole.read_bytes()
    place = data.index(b"data")
    for peaks in (1, 2):
        chunk = b"PEAK" + struct.pack("<III", 8 + 8 * peaks, version, 0) + bytes(8 * peaks)
        path = tmp_path / "peak.wav"
        path.write_bytes(data[:place] + chunk + data[place:])
        assert_whole(path)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("fast.m4a", ("-movflags", "+faststart"), "partial file"),
        ("a.mka", ("-c:a", "aac"), "ended prematurely"),
        ("flac.ogg", ("-c:a", "flac"), "its last page is missing"),
        ("mp3.wav", ("-c:a", "libmp3lame", "-b:a", "64k"), "bytes of samples are missing"),
        ("a.caf", (), "bytes of samples are missing"),
        ("a.w64", (), "bytes of samples are missing"),
    ],
)
def test_what_is_cut_short_is_delivered_and_reported(
    tmp_path: Path, name: str, options: tuple[str, ...], why: str
) -> None:
    data = encoded(name, *options).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * 0.6)])
    frames, rate = decoded_by_ffmpeg(path)
    reading = read_all(AudioFile("a", path, paced=False, channel=0), rate)
    assert isinstance(reading.end, SourceLost)
    assert one_line(reading.end, str(path), "cut short or damaged after", why)
    assert len(reading.samples) == len(frames) > 2 * rate


def test_damage_within_mpeg_audio_is_reported_and_the_rest_decoded(tmp_path: Path) -> None:
    data = bytearray(
        encoded("cbr.mp3", "-c:a", "libmp3lame", "-b:a", "64k", piped="mp3").read_bytes()
    )
    data[20_000:23_000] = np.random.default_rng(3).bytes(3000)
    path = tmp_path / "a.mp3"
    path.write_bytes(data)
    frames, rate = decoded_by_ffmpeg(path)
    reading = read_all(AudioFile("a", path, paced=False, channel=0), rate)
    assert isinstance(reading.end, SourceLost)
    assert len(reading.samples) == len(frames)


def test_a_recording_that_was_never_finished_says_so(tmp_path: Path) -> None:
    data = encoded("a.m4a").read_bytes()
    path = tmp_path / "a.m4a"
    path.write_bytes(data[: int(len(data) * 0.6)])
    with pytest.raises(SourceError) as error:
        AudioFile("a", path).open(16_000)
    assert one_line(error.value, str(path), "moov atom not found")


def test_a_file_that_names_others_gets_none_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(SourceError, match="not a recording that can be decoded"):
        AudioFile("a", path).open(16_000)


def test_names_that_a_command_line_might_misread(tmp_path: Path) -> None:
    data = encoded("a.m4a").read_bytes()
    for name in ("-i.m4a", "a:b.m4a", "50%d.m4a", "Küche früh.m4a", "new\nline.m4a"):
        path = tmp_path / name
        path.write_bytes(data)
        assert_whole(path)


def test_silence_at_the_start_of_a_dead_header_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    frames = np.concatenate([np.zeros(16_000), 0.1 * np.ones(48_000)]).astype(np.float32)
    soundfile.write(path, frames, 16_000)
    dead(path, path, (b"data", 4, ZERO))
    samples = read_all(AudioFile("a", path, paced=False)).samples
    np.testing.assert_allclose(samples, frames, atol=1e-4)
