"""Which recordings paths stand for, and what is no answer to that."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamsed.errors import ConfigError
from streamsed.replay.recordings import find_recordings


def record(path: Path, seconds: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(seconds * 8000), np.float32), 8000)
    return path


def names(*paths: Path) -> list[str]:
    return [recording.name for recording in find_recordings(paths)]


def refused(*paths: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        find_recordings(paths)
    (line,) = str(caught.value).splitlines()
    return line


@contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Drop root's right to read everything, if it is there; ``folder`` is the user's own then."""
    user = os.geteuid()
    if user == 0:
        folder.chmod(0o777)
        for above in folder.parents:  # however deep a worker's folders lie
            if above == Path(tempfile.gettempdir()):
                break
            above.chmod(0o711)
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file(tmp_path: Path) -> None:
    path = record(tmp_path / "kitchen noon.wav", 1.25)
    (recording,) = find_recordings([path])
    assert (recording.name, recording.path, recording.stem) == (path.name, path, "kitchen noon")
    assert recording.duration_s == 1.25
    assert (recording.size, recording.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)


def test_a_folder_is_searched_recursively_in_order(tmp_path: Path) -> None:
    for name in ("b.WAV", "a/c.flac", "a/a.ogg", ".hidden/x.wav", "._b.wav", "deep/er/z.aiff"):
        record(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no recording")
    assert names(tmp_path) == ["a/a.ogg", "a/c.flac", "b.WAV", "deep/er/z.aiff"]


def test_a_folder_that_links_to_itself(tmp_path: Path) -> None:
    record(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "again").symlink_to(tmp_path, target_is_directory=True)
    record(tmp_path / "elsewhere" / "b.wav")
    assert "a.wav" in names(tmp_path / "in")


def test_a_list_is_relative_to_itself(tmp_path: Path) -> None:
    record(tmp_path / "audio" / "a.wav")
    record(tmp_path / "b b.wav")
    far = record(tmp_path / "far" / "c.wav")
    listed = tmp_path / "list.txt"
    listed.write_text(f"audio/a.wav\n\nb b.wav\r\n{far}\n", encoding="utf-8")
    assert names(listed) == ["audio/a.wav", "b b.wav", "c.wav"]


def test_a_list_with_comments_as_editors_of_windows_write_it(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    record(tmp_path / "#1.wav")
    listed = tmp_path / "list.txt"
    listed.write_bytes("\ufeff# kitchen\r\na.wav\r\n\r\n#a.wav\r\n./#1.wav\r\n".encode())
    assert names(listed) == ["a.wav", "#1.wav"]


def test_a_table_with_filenames(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        record(tmp_path / name)
    table = tmp_path / "truth.tsv"
    rows = ["onset\tfilename\tevent_label", '0\tb.wav\t"Dog', "1\ta.wav\tCat", "2\tb.wav\tCat"]
    table.write_text("\n".join(rows) + "\n")
    assert names(table) == ["b.wav", "a.wav"], "each once"


def test_what_is_not_readable_is_a_recording_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "junk.wav"
    path.write_bytes(b"RIFFjunk")
    (recording,) = find_recordings([path])
    assert recording.duration_s is None


def test_what_is_missing_or_no_file_is_a_recording_all_the_same(tmp_path: Path) -> None:
    """The replay names it; looking for it neither fails nor, with a named pipe, waits for ever."""
    record(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "nowhere.wav").symlink_to("gone")
    (tmp_path / "in" / "itself.wav").symlink_to("itself.wav")
    os.mkfifo(tmp_path / "in" / "pipe.wav")
    every = ["a.wav", "itself.wav", "nowhere.wav", "pipe.wav"]
    assert names(tmp_path / "in") == every
    listed = tmp_path / "in" / "list.txt"
    listed.write_text("\n".join([*every, "gone.wav", "x" * 300]))
    *found, gone, long = find_recordings([listed])
    assert [recording.name for recording in found] == every
    assert [r.duration_s for r in found] == [0.5, None, None, None]
    assert (gone.size, long.size) == (0, 0)


def test_what_does_not_exist(tmp_path: Path) -> None:
    assert refused(tmp_path / "gone.wav").startswith(f"{tmp_path / 'gone.wav'}: no such file")
    listed = tmp_path / "list.txt"
    listed.write_text("\n gone.wav\nother.wav\n")
    assert f"{listed}:2: {tmp_path / 'gone.wav'}: no such file" in refused(listed)


def test_nothing_to_do(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("")
    assert "no recording in this folder" in refused(tmp_path)
    for content in ("", "\n\n", "filename\tonset\n"):
        (tmp_path / "list.tsv").write_text(content)
        assert "names no recording" in refused(tmp_path / "list.tsv")
    (tmp_path / "list.tsv").write_text("filename\tonset\n\t0.5\n")
    assert "list.tsv:2: the filename is missing" in refused(tmp_path / "list.tsv")
    (tmp_path / "list.tsv").write_text("file\tonset\na.wav\t0.5\n")
    assert "a table without a column filename" in refused(tmp_path / "list.tsv")
    (tmp_path / "list.tsv").write_bytes(b"\xff\xfe\xff")
    assert "no UTF-8" in refused(tmp_path / "list.tsv")


def test_two_recordings_of_one_name(tmp_path: Path) -> None:
    one, other = record(tmp_path / "1" / "a.wav"), record(tmp_path / "2" / "a.wav")
    line = refused(one, other)
    assert str(one) in line
    assert str(other) in line
    assert "'a.wav'" in line
    assert names(tmp_path) == ["1/a.wav", "2/a.wav"]
    assert "given twice" in refused(one, one)
    flac = record(tmp_path / "1" / "a.flac")
    line = refused(one, flac)
    assert "scores/a.tsv; names that differ before their endings" in line


def test_names_that_tables_cannot_hold_are_escaped(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    odd = [b"t\tb.wav", b"n\nl.wav", b"\xe9.wav", "Küche 1\u202f2.wav".encode(), b"\x1b[31m.wav"]
    for name in odd:
        shutil.copy(tmp_path / "a.wav", os.fsencode(tmp_path) + b"/" + name)
    found = {recording.name: recording for recording in find_recordings([tmp_path])}
    escaped = [r"t\tb.wav", r"n\nl.wav", r"\xe9.wav", "Küche 1\u202f2.wav", r"\u001b[31m.wav"]
    assert sorted(found) == sorted(["a.wav", *escaped])
    assert all(recording.fault is None for recording in found.values())
    assert all(recording.duration_s == 0.5 for recording in found.values())


def test_what_leaves_files_of_one_name_has_a_fault_and_the_rest_has_none(tmp_path: Path) -> None:
    """Neither differs from the other in a folder of score files."""
    for name in (
        "0001.wav",
        "0001.flac",
        "0002.wav",
        "1/a.wav",
        "2/a.wav",
        "a\tb.wav",
        r"a\tb.wav",
    ):
        record(tmp_path / name)
    faults = {r.name: r.fault or "" for r in find_recordings([tmp_path])}
    assert {name for name, fault in faults.items() if not fault} == {
        "0002.wav",
        "1/a.wav",
        "2/a.wav",
    }
    assert str(tmp_path / "0001.flac") in faults["0001.wav"]
    assert str(tmp_path / "0001.wav") in faults["0001.flac"]
    assert len(faults) == 7, "those of one name have names that differ"
    found = find_recordings([tmp_path / "1", tmp_path / "2"])
    assert [r.fault is not None for r in found] == [True, True]
    assert len({r.name for r in found}) == 2
    assert not any(Path(r.name).is_absolute() or ".." in Path(r.name).parts for r in found)


def test_a_name_that_is_too_long_for_the_files_of_results(tmp_path: Path) -> None:
    record(tmp_path / f"{'x' * 248}.wav")
    record(tmp_path / f"{'y' * 250}.w64")
    long, too_long = find_recordings([tmp_path])
    assert long.fault is None
    assert "name is too long" in str(too_long.fault)


def test_every_ending_that_something_plays_and_a_note_about_the_rest(tmp_path: Path) -> None:
    for name in ("a.M4A", "b.webm", "c.wma", "d.amr", "e.mp4", "notes.txt", "x.txt", "cover.jpg"):
        (tmp_path / name).write_bytes(b"?")
    notes: list[str] = []
    found = find_recordings([tmp_path], note=notes.append)
    assert [r.name for r in found] == ["a.M4A", "b.webm", "c.wma", "d.amr", "e.mp4"]
    (note,) = notes
    assert note.endswith("none of recordings: .txt (2), .jpg (1)")


@pytest.mark.parametrize("ending", ["m3u", "m3u8", "pls"])
def test_playlists(tmp_path: Path, ending: str) -> None:
    for name in ("a.wav", "in/b b.wav", "Küche.wav", "in/win.wav"):
        record(tmp_path / name)
    far = record(tmp_path.parent / f"{tmp_path.name}-far.wav")
    entries = [
        "a.wav",
        "./in/b b.wav",
        far.as_uri(),
        "in\\win.wav",
        "http://u:pw@host/x",
        "Küche.wav",
    ]
    playlist = tmp_path / f"list.{ending}"
    if ending == "pls":
        lines = [f"File{n}={entry}" for n, entry in reversed([*enumerate(entries, 1)])]
        lines = ["[playlist]", *lines, "Title1=x", "NumberOfEntries=6"]
    else:
        lines = ["#EXTM3U", *(f"#EXTINF:1,x\n{entry}\n" for entry in entries), "a.wav"]
    encoding = "cp1252" if ending == "m3u" else "utf-8-sig"
    playlist.write_bytes("\r\n".join(lines).encode(encoding))
    notes: list[str] = []
    found = find_recordings([playlist], note=notes.append)
    assert [r.name for r in found] == ["a.wav", "in/b b.wav", far.name, "in/win.wav", "Küche.wav"]
    assert all(r.duration_s == 0.5 for r in found)
    assert "http://" in notes[0]
    assert "pw" not in "".join(notes)


def test_playlists_that_cannot_be(tmp_path: Path) -> None:
    playlist = tmp_path / "a.m3u"
    playlist.write_text("#EXTM3U\n\n")
    assert "names no recording" in refused(playlist)
    playlist.write_text("gone.wav\n")
    assert "no file that it names is there" in refused(playlist)
    playlist.write_text("a.m3u\n")
    (itself,) = find_recordings([playlist])
    assert itself.path == playlist, "not followed"
    playlist.write_bytes(b"a.wav\n" * (1 << 22))
    assert "is longer than" in refused(playlist)


def test_file_urls(tmp_path: Path) -> None:
    path = record(tmp_path / "Küche früh #1?.wav")
    assert names(Path(path.as_uri())) == [path.name]
    assert names(Path(tmp_path.as_uri())) == [path.name]


def test_a_folder_that_may_not_be_read_costs_nothing_else(tmp_path: Path) -> None:
    locked = tmp_path / "lost+found"
    record(locked / "a.wav")
    record(tmp_path / "b.wav")
    locked.chmod(0)
    notes: list[str] = []
    try:
        with unprivileged(tmp_path):
            (found,) = find_recordings([tmp_path], note=notes.append)
            assert found.name == "b.wav"
            assert f"{locked} cannot be read: Permission denied" in notes[0]
            assert "Permission denied" in refused(locked)
            (tmp_path / "b.wav").unlink()
            assert "Permission denied" in refused(tmp_path)
    finally:
        locked.chmod(0o700)
