"""Recordings: what the paths on a command line come to."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path, PurePosixPath
from stat import S_ISREG

import soundfile

from streamsed.errors import ConfigError, SourceError
from streamsed.redaction import redacted
from streamsed.sources.file_names import PLAYLIST_SUFFIXES, escape_name, file_path, read_playlist

_SNDFILE = "aif aifc aiff au caf flac mp3 oga ogg opus rf64 snd w64 wav wave"
_FFMPEG = (  # of what libsndfile does not read
    "3g2 3ga 3gp aac ac3 adts aiffc alac amr ape asf avi awb bwf dff dsf dts eac3 f4a f4v flv gsm "
    "m2ts m4a m4b m4r m4v mka mkv mov mp1 mp2 mp4 mpa mpc mpeg mpg mpga mts mxf nut ofr ogm ogv "
    "ogx qcp ra ram rm rmvb shn spx tak ts tta vob voc vqf webm wma wmv wv xwma"
)
_BY_FFMPEG = frozenset(f".{suffix}" for suffix in _FFMPEG.split())
AUDIO_SUFFIXES = _BY_FFMPEG | frozenset(f".{suffix}" for suffix in _SNDFILE.split())
"""Of the files below a folder, those with these endings are recordings, films among them."""
LIST_SUFFIXES = frozenset((".txt", ".tsv"))

_UNKNOWN_FRAMES = 2**62  # FLAC written to a pipe does not hold its length
_ASSUMED_BYTES_PER_S = 16_000  # of what ffmpeg decodes, for its length without starting one
_LONGEST_NAME = 255 - len(".jsonl")  # in bytes, as file systems have it; beside files of results
_MOST_KINDS = 8  # of endings that are named

Note = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Recording:
    """A file that is to be replayed; it need not be readable.

    Attributes:
        name: how tables and messages call it: the path below the folder that was given, or as it
            stands in the list that was given, else the file's name; ``/`` between folders.
        path: where it is, absolute.
        duration_s: by its header; None without one, or where it cannot be read.
        size: in bytes; with ``mtime_ns`` it shows whether the file is still the same. Both are 0
            if there is no such file.
        mtime_ns: when it was last written.
        fault: why it cannot be replayed, readable or not; None if it may be.
    """

    name: str
    path: Path
    duration_s: float | None
    size: int
    mtime_ns: int
    fault: str | None = None

    @property
    def stem(self) -> str:
        """The name without its extension: what its score file is called."""
        return str(PurePosixPath(self.name).with_suffix(""))


def find_recordings(paths: Iterable[Path], *, note: Note = lambda _: None) -> tuple[Recording, ...]:
    """Find the recordings that files, folders (searched recursively) and lists stand for.

    Below a folder, files are recordings by their ending, and hidden ones are left out. A list is
    a ``.txt`` or ``.tsv`` file with a path a line and comments after ``#`` at its beginning, or
    a table with a column ``filename``, or a playlist (``.m3u``, ``.m3u8``, ``.pls``); its paths
    are relative to it. A recording that a list names need not exist, as one that exists need not
    be readable, but not all may be missing. Two that would leave files of results of one name
    have a fault, unless both were given by themselves.

    Args:
        paths: as on a command line; ``file:`` URLs too.
        note: is given a line about whatever is left out.

    Raises:
        ConfigError: a path does not exist, a folder or list names no recording, or two
            recordings that were given by themselves have one name.
    """
    groups: dict[str, list[Recording]] = {}
    given: set[Recording] = set()
    for path in map(_local, paths):
        alone = not (os.path.isdir(path) or _is_list(path))  # noqa: PTH112 - pathlib's may raise
        for name, file in _named(path, note):
            recording = _recording(name, file)
            group = groups.setdefault(recording.stem, [])
            if alone and (others := given.intersection(group)):
                raise ConfigError(_clash(others.pop(), recording))
            if recording in group:
                note(f"{escape_name(str(file))}: is given twice, and replayed once")
                continue
            group.append(recording)
            if alone:
                given.add(recording)
    names = {group[0].name for group in groups.values() if len(group) == 1}
    return tuple(each for group in groups.values() for each in _told_apart(group, names))


def _local(path: Path) -> Path:
    try:
        return file_path(str(path)).expanduser()
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _is_list(path: Path) -> bool:
    return path.suffix.lower() in LIST_SUFFIXES | PLAYLIST_SUFFIXES


def _named(path: Path, note: Note) -> Iterator[tuple[str, Path]]:
    """Yield name and file of each recording that ``path`` stands for."""
    if os.path.isdir(path):  # noqa: PTH112 - pathlib's raises without permission
        unreadable: list[str] = []
        files = sorted(_below(path, unreadable, note))
        if not files:
            raise ConfigError(
                f"{path}: no recording in this folder nor below"
                f"{''.join(f' ({line})' for line in unreadable[:1])}; files that end in "
                f"{' '.join(sorted(AUDIO_SUFFIXES))} would be found"
            )
        for line in unreadable:
            note(f"{line}; recordings in it are left out")
        yield from ((file.relative_to(path).as_posix(), file) for file in files)
    elif not os.path.exists(path):  # noqa: PTH110
        raise ConfigError(f"{path}: no such file or folder; a recording, a folder or a list")
    elif path.suffix.lower() in LIST_SUFFIXES:
        yield from _listed(path)
    elif path.suffix.lower() in PLAYLIST_SUFFIXES:
        yield from _played(path, note)
    else:
        yield path.name, path


def _below(folder: Path, unreadable: list[str], note: Note) -> Iterator[Path]:
    seen: set[object] = set()  # a folder that a link leads back to is not entered again
    others: Counter[str] = Counter()

    def pass_over(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise ConfigError(f"{folder}: cannot be read: {error.strerror}") from error
        unreadable.append(f"{escape_name(str(error.filename))} cannot be read: {error.strerror}")

    for root, folders, files in os.walk(folder, onerror=pass_over, followlinks=True):
        here = Path(root)
        if (identity := _identity(here)) in seen:
            folders.clear()
            continue
        seen.add(identity)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if suffix in AUDIO_SUFFIXES:
                yield here / name
            else:
                others[escape_name(suffix) or "none"] += 1
    if others:
        kinds = [f"{suffix} ({count})" for suffix, count in others.most_common(_MOST_KINDS)]
        more = ", and more" if len(others) > _MOST_KINDS else ""
        note(
            f"{escape_name(str(folder))}: files left out, for their endings are none of "
            f"recordings: {', '.join(kinds)}{more}"
        )


def _identity(folder: Path) -> object:
    try:
        stat = folder.stat()
    except OSError:
        return folder
    return stat.st_dev, stat.st_ino


def _played(path: Path, note: Note) -> Iterator[tuple[str, Path]]:
    """Yield name and file of each recording that a playlist names."""
    try:
        entries = read_playlist(path)
    except SourceError as error:
        raise ConfigError(str(error)) from error
    if entries is None:
        yield path.name, path
        return
    for text in (entry.text for entry in entries if entry.path is None):
        note(f"{path}: {escape_name(redacted(text))}: is no file, and left out")
    files = [entry.path for entry in entries if entry.path is not None]
    if not any(os.path.exists(file) for file in files):  # noqa: PTH110
        raise ConfigError(f"{path}: no file that it names is there; paths relative to it would be")
    for file in dict.fromkeys(files):
        beside = file.is_relative_to(path.parent) and ".." not in file.parts
        yield file.relative_to(path.parent).as_posix() if beside else file.name, file


def _listed(path: Path) -> Iterator[tuple[str, Path]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text; a path a line would be right") from error
    entries = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    head = entries[0][1].split("\t") if entries else []
    if "filename" in head:
        entries = _column(path, entries[1:], head.index("filename"))
    elif len(head) > 1:
        raise ConfigError(f"{path}: is a table without a column filename; one would be right")
    else:
        entries = [(number, line.strip()) for number, line in entries if line[0] != "#"]
    if not entries:
        raise ConfigError(f"{path}: names no recording; a path a line would be right")
    if not any(os.path.exists(path.parent / text) for _, text in entries):  # noqa: PTH110
        number, text = entries[0]
        raise ConfigError(
            f"{path}:{number}: {path.parent / text}: no such file, nor is any other that it names; "
            "paths relative to the list would be right"
        )
    for _, text in entries:
        listed = Path(text)
        beside = not listed.is_absolute() and ".." not in listed.parts
        yield listed.as_posix() if beside else listed.name, path.parent / listed


def _column(path: Path, lines: Sequence[tuple[int, str]], column: int) -> list[tuple[int, str]]:
    """Return the different entries of a table's column, each with its first line's number."""
    entries: dict[str, int] = {}
    rows = csv.reader((line for _, line in lines), delimiter="\t", quoting=csv.QUOTE_NONE)
    for (number, _), row in zip(lines, rows, strict=True):
        if column >= len(row) or not (text := row[column].strip()):
            raise ConfigError(f"{path}:{number}: the filename is missing")
        entries.setdefault(text, number)
    return [(number, text) for text, number in entries.items()]


def _recording(name: str, path: Path) -> Recording:
    name = escape_name(name)
    fault = None
    if max(len(os.fsencode(part)) for part in PurePosixPath(name).with_suffix("").parts) > (
        _LONGEST_NAME
    ):
        fault = "its name is too long for the files of results; a shorter one would be right"
    try:
        stat = path.stat()
    except OSError:  # such as a link to nothing; the replay reports it
        return Recording(name, path.absolute(), None, size=0, mtime_ns=0, fault=fault)
    # Opening a named pipe would wait for a writer.
    duration_s = _duration_s(path, stat.st_size) if S_ISREG(stat.st_mode) else None
    return Recording(name, path.absolute(), duration_s, stat.st_size, stat.st_mtime_ns, fault)


def _duration_s(path: Path, size: int) -> float | None:
    """Look into the header; what is wrong with it is reported when the recording is replayed."""
    if path.suffix.lower() in _BY_FFMPEG:
        return size / _ASSUMED_BYTES_PER_S
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:  # whatever its bytes are
            frames, rate = file.frames, file.samplerate
    except (OSError, TypeError, soundfile.LibsndfileError):
        return None
    return float(frames / rate) if 0 < frames < _UNKNOWN_FRAMES and rate > 0 else None


def _told_apart(group: Sequence[Recording], names: set[str]) -> Iterator[Recording]:
    """Yield recordings of one stem, with a fault if there are several.

    Args:
        group: of one stem.
        names: that are taken; those that are yielded are added.
    """
    if len(group) == 1:
        yield group[0]
        return
    for one in group:
        other = next(each for each in group if each is not one)
        fault = (
            f"{escape_name(str(other.path))} would have the same files of results; names that "
            "differ before their endings would be right"
        )
        name = one.name
        if sum(each.name == name for each in group) > 1:  # not even tables can hold both
            name = escape_name("/".join(p for p in one.path.parts if p not in (os.sep, os.pardir)))
        numbered = (f"{name} ({number})" for number in count(2))
        while name in names:
            name = next(numbered)
        names.add(name)
        yield replace(one, name=name, fault=one.fault or fault)


def _clash(one: Recording, other: Recording) -> str:
    if one.path.resolve() == other.path.resolve():
        return f"{other.path}: is given twice"
    if one.name == other.name:
        return (
            f"{one.path} and {other.path}: both would be named {one.name!r}; "
            "a folder that holds both, or a replay for each, would be right"
        )
    return (
        f"{one.path} and {other.path}: both would be scores/{one.stem}.tsv; "
        "names that differ before their endings, or a replay for each, would be right"
    )
