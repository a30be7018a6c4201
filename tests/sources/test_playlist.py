"""Playlists as one source: every file in order, without gaps, whatever becomes of one of them."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile

from streamsed.errors import SourceError, SourceLost
from streamsed.sources.config import build_source, parse_source
from streamsed.sources.playlist import Playlist
from streamsed.sources.protocol import EndOfSource, Source
from tests.encoded import encoded
from tests.sources.reading import RATE, one_line, read_all


def tone(path: Path, level: float, *, rate: int = RATE, channels: int = 1, s: float = 0.5) -> Path:
    soundfile.write(path, np.full((round(s * rate), channels), level, np.float32), rate)
    return path


def written(path: Path, *entries: object) -> Path:
    path.write_text("\n".join(["#EXTM3U", *map(str, entries)]), encoding="utf-8")
    return path


def test_files_of_any_rate_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    tone(tmp_path / "a b.wav", 0.1)
    tone(tmp_path / "b.flac", 0.2, channels=2)
    tone(tmp_path / "c.wav", 0.3, rate=48_000)
    playlist = written(tmp_path / "all.m3u8", "a b.wav", "b.flac", (tmp_path / "c.wav").as_uri())
    source = build_source(parse_source(str(playlist)).model_copy(update={"paced": False}))
    assert isinstance(source, Playlist)
    assert isinstance(source, Source)
    for _ in range(2):
        reading = read_all(source)
        assert isinstance(reading.end, EndOfSource)
        assert len(reading.samples) == 3 * RATE // 2
        middles = reading.samples[RATE // 4 :: RATE // 2]
        np.testing.assert_allclose(middles, [0.1, 0.2, 0.3], atol=1e-3)


def test_one_file_does_not_cost_the_others(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav", 0.1)
    tone(tmp_path / "z.wav", 0.3)
    (tmp_path / "junk.wav").write_bytes(b"junk" * 100)
    cut = tmp_path / "cut.wav"
    cut.write_bytes(tone(tmp_path / "b.wav", 0.2).read_bytes()[:8044])
    playlist = written(
        tmp_path / "all.m3u",
        *(
            "gone.wav",
            "junk.wav",
            "a.wav",
            "http://me:secret@host/x",
            "all.m3u",
            "cut.wav",
            "z.wav",
        ),
    )
    reading = read_all(Playlist("p", playlist, paced=False))
    assert isinstance(reading.end, SourceLost)
    assert one_line(reading.end, str(playlist), "5 of 7", "gone.wav: no such file")
    assert "secret" not in str(reading.end)
    assert len(reading.samples) == RATE // 2 + 4000 + RATE // 2


def test_nothing_to_play(tmp_path: Path) -> None:
    playlist = written(tmp_path / "all.m3u", "gone.wav", "http://me:secret@host/x")
    with pytest.raises(SourceError) as error:
        Playlist("p", playlist).open(RATE)
    assert one_line(error.value, str(playlist), "none of 2 can be opened", "gone.wav")
    with pytest.raises(SourceError, match="No such file"):
        Playlist("p", tmp_path / "gone.m3u").open(RATE)


def test_segments_of_a_stream_are_one_recording(tmp_path: Path) -> None:
    segment = encoded("a.ts", "-c:a", "aac", seconds=2.0)
    (tmp_path / "a.ts").write_bytes(segment.read_bytes())
    head = "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2", "#EXTINF:2.0,", "a.ts", "#EXT-X-ENDLIST"
    reading = read_all(Playlist("p", written(tmp_path / "hls.m3u8", *head), paced=False))
    assert isinstance(reading.end, EndOfSource), reading.end
    assert 1.9 * RATE < len(reading.samples) < 2.2 * RATE


def test_closing_from_another_thread_ends_the_wait(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav", 0.1, s=100.0)
    source = Playlist("p", written(tmp_path / "all.m3u", "a.wav"))
    source.open(RATE)
    blocks: list[object] = []

    def read() -> None:
        while (block := source.read(100.0)) is not None:
            blocks.append(block)

    reader = Thread(target=read)
    reader.start()
    source.interrupt()
    reader.join(10.0)
    assert not reader.is_alive()
    source.close()
