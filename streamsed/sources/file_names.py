"""What names a file: a path, a ``file://`` URL, a line of a playlist."""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from streamsed.errors import SourceError

PLAYLIST_SUFFIXES = frozenset((".m3u", ".m3u8", ".pls"))
MOST_PLAYLIST_BYTES = 1 << 24
MOST_ENTRIES = 100_000

_FILE_URL = re.compile(r"file:(?://(?P<host>[^/]*))?(?P<path>/(?!/).*)", re.IGNORECASE | re.DOTALL)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PLS_ENTRY = re.compile(r"\s*File(\d{1,9})\s*=(.*)", re.IGNORECASE)
_STREAMED = re.compile(r"^#EXT-X-(?:TARGETDURATION|STREAM-INF)", re.MULTILINE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ESCAPES = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}
_UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, undecodable bytes, ends of lines


def is_file_url(text: str) -> bool:
    """Whether a text is meant to be a ``file:`` URL."""
    return text[:6].lower() == "file:/"


def file_path(text: str) -> Path:
    """Return the path of a file that is named by a path or a ``file:`` URL.

    Escapes such as ``%20`` are resolved in URLs alone; ``#`` and ``?`` belong to the name.

    Raises:
        ValueError: the URL has no path, or is of another machine.
    """
    if not is_file_url(text):
        return Path(text)
    found = _FILE_URL.fullmatch(text)
    if found is None or (found["host"] or "localhost").lower() != "localhost":
        raise ValueError(f"{text!r} names no file of this machine; file:///PATH would be right")
    path = unquote_to_bytes(os.fsencode(found["path"]))
    if b"\0" in path:
        raise ValueError(f"{text!r} names no file; %00 is part of no name")
    return Path(os.fsdecode(path))


def escape_name(text: str) -> str:
    r"""Escape what no line of a table or a log can hold: tabs, newlines, undecodable bytes.

    They become ``\t``, ``\n`` and ``\xe9``; everything else stays.
    """
    if text.isprintable():
        return text
    return "".join(map(_escape, text))


def _escape(sign: str) -> str:
    if unicodedata.category(sign) not in _UNSEEN:
        return sign
    if "\udc80" <= sign <= "\udcff":  # a byte that could not be decoded (PEP 383)
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return _ESCAPES.get(sign) or f"\\u{ord(sign):04x}"


@dataclass(frozen=True, slots=True)
class PlaylistEntry:
    """What a line of a playlist names.

    Attributes:
        text: as it stands there.
        path: of the file; None if it is a stream, or another machine's.
    """

    text: str
    path: Path | None


def read_playlist(path: Path) -> tuple[PlaylistEntry, ...] | None:
    """Read an ``.m3u``, ``.m3u8`` or ``.pls`` file; its paths are relative to it.

    A playlist in a playlist is an entry like any other: it is not followed.

    Returns:
        The entries in order; None for a stream of segments (HLS), which is one recording.

    Raises:
        SourceError: it cannot be read, is too long, or names nothing.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_PLAYLIST_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MOST_PLAYLIST_BYTES:
        raise SourceError(f"{path}: is longer than {MOST_PLAYLIST_BYTES} bytes; is it a playlist?")
    text = _decode(data)
    if _STREAMED.search(text):
        return None
    named = _pls(text) if path.suffix.lower() == ".pls" else _m3u(text)
    entries: list[PlaylistEntry] = []
    for line in named:
        if len(entries) == MOST_ENTRIES:
            raise SourceError(f"{path}: names more than {MOST_ENTRIES} recordings")
        entries.append(PlaylistEntry(line, _find(line, path.parent)))
    if not entries:
        raise SourceError(f"{path}: names no recording; a path a line would be right")
    return tuple(entries)


def _decode(data: bytes) -> str:
    if data.startswith(_UTF_16):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "surrogateescape")  # what .m3u once was


def _m3u(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if (stripped := line.strip()) and not stripped.startswith("#"):
            yield stripped


def _pls(text: str) -> Iterator[str]:
    found = (_PLS_ENTRY.fullmatch(line) for line in text.splitlines())
    numbered = {int(each[1]): each[2].strip() for each in found if each is not None}
    yield from (numbered[number] for number in sorted(numbered) if numbered[number])


def _find(line: str, folder: Path) -> Path | None:
    if is_file_url(line):
        try:
            return file_path(line)
        except ValueError:
            return None
    if _URL.match(line):
        return None
    path = folder / line.replace("\0", "")
    if "\\" in line and not os.path.lexists(path):  # as Windows writes it
        return folder / line.replace("\\", "/")
    return path
