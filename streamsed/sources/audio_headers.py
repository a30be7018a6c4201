"""What the header of an audio file claims, held against what the file holds.

A recorder that lost power leaves sizes of 0, or those of some time before; one that writes to a
pipe leaves a placeholder; sizes beyond 4 GiB wrap around; and files that are laid one behind the
other are longer than what stands at the beginning of the first.
"""

from __future__ import annotations

import io
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

Patch = tuple[int, bytes]
"""Where in a file other bytes should stand, and which."""

_MOST_CHUNKS = 1000
_MOST_BYTES = 0xFFFFFFFF  # that a field of 32 bits counts
_PADDING = 1 << 16  # of zeros, which some recorders leave behind the last chunk
_JUNK = 1024  # so little behind the samples is none
_SEARCHED = 1 << 16  # for the first frame of MPEG audio
_MPEG_IN_WAV = (0x50, 0x55)
_PLACEHOLDER = 0x7FFF0000  # a size of 2 or 4 GiB, written where none is known
_TAG_VERSIONS = (b"ID3\2\0", b"ID3\3\0", b"ID3\4\0", b"APETAGEX", b"LYRICSBEGIN")
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")


@dataclass(frozen=True, slots=True)
class Header:
    """How a file is to be read.

    Attributes:
        patches: sizes that agree with the file, in place of those that do not.
        remark: what the header claims wrongly, though the file holds more; None for nothing.
        estimates: whether the length it states is an estimate, or that of its beginning alone.
        damage: what shows that the file is cut short or damaged; None for nothing.
    """

    patches: tuple[Patch, ...] = ()
    remark: str | None = None
    estimates: bool = False
    damage: str | None = None


class PatchedFile(io.FileIO):
    """A file that is read with other bytes in some places."""

    def __init__(self, path: Path, patches: tuple[Patch, ...]) -> None:
        super().__init__(path)
        self._patches = patches

    def readinto(self, buffer: object) -> int:
        """Read into a writable buffer; return how many bytes."""
        start = self.tell()
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        count = super().readinto(view)
        for offset, data in self._patches:
            first, last = max(offset, start), min(offset + len(data), start + count)
            if first < last:
                view[first - start : last - start] = data[first - offset : last - offset]
        return count

    def read(self, size: int | None = -1) -> bytes:
        """Read up to ``size`` bytes."""
        if size is None or size < 0:
            size = max(0, os.fstat(self.fileno()).st_size - self.tell())
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(buffer)])


def examine(path: Path) -> Header:
    """Look at the sizes in a header of uncompressed audio, and at the pages of an Ogg file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(40)
        match head[:4], head[8:12]:
            case ((b"RIFF" | b"RIFX" | b"RF64" | b"BW64"), b"WAVE"):
                header = _examine_wav(file, size, ">" if head[:4] == b"RIFX" else "<")
            case b"riff", _ if head[24:28] == b"wave":
                header = _examine_w64(file, size)
            case b"FORM", (b"AIFF" | b"AIFC"):
                header = _examine_aiff(file, size)
            case b"caff", _:
                header = _examine_caf(file, size)
            case ((b".snd" | b"dns."), _):
                header = _examine_au(head, size)
            case b"OggS", _:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    header = _examine_ogg(data)
            case _:
                header = Header()
        return header


@dataclass(frozen=True, slots=True)
class _Form:
    """How the chunks of a container begin: ``lead`` bytes of a name, then a size."""

    size: struct.Struct
    lead: int = 4
    counts_itself: bool = False
    align: int = 2

    def chunks(self, file: BinaryIO, offset: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield name, place and size of the content of each chunk from ``offset`` on."""
        for _ in range(_MOST_CHUNKS):
            file.seek(offset)
            head = file.read(self.lead + self.size.size)
            if offset >= end or len(head) < self.lead + self.size.size:
                return
            (size,) = self.size.unpack(head[self.lead :])
            size -= len(head) if self.counts_itself else 0
            yield head[:4], offset + len(head), size
            offset += len(head) + size
            offset += -offset % self.align

    def begins(self, file: BinaryIO, offset: int, end: int) -> bool:
        """Whether what lies at ``offset`` is a whole chunk, or nothing."""
        for name, start, size in self.chunks(file, offset, end):
            named = name.isascii() and name.decode().isprintable()
            return named and 0 <= size <= end - start + self.align
        return offset >= end


_RIFF_FORMS = {"<": _Form(struct.Struct("<I")), ">": _Form(struct.Struct(">I"))}
_W64_FORM = _Form(struct.Struct("<q"), lead=16, counts_itself=True, align=8)
_AIFF_FORM = _Form(struct.Struct(">I"))
_CAF_FORM = _Form(struct.Struct(">q"), align=1)


def _goes_on(file: BinaryIO, form: _Form, *, start: int, claimed: int, end: int) -> bool:
    """Whether samples go on where the header claims that they end: nothing else lies there."""
    behind = start + max(0, claimed)
    if behind >= end or (claimed > 0 and end - behind < _JUNK):
        return False
    for offset in (behind, behind + -behind % form.align):
        file.seek(offset)
        content = file.read(_PADDING)
        if content.startswith(_TAGS) or form.begins(file, offset, end):
            return False
    return end - behind > _PADDING or any(content)


def _short(claimed: int, rest: int) -> str | None:
    """Return how much less there is than the header claims; None if there is not."""
    lacking = claimed - rest
    return f"{lacking} of {claimed} bytes of samples are missing" if lacking > 0 else None


def _remark(claimed: int, rest: int) -> str:
    return f"its header claims {claimed} bytes of samples, and there are {rest}, which were read"


def _examine_wav(file: BinaryIO, end: int, order: str) -> Header:
    form, ds64, in_mpeg = _RIFF_FORMS[order], None, False
    for name, start, size in form.chunks(file, 12, end):
        if name == b"ds64":
            ds64 = start + 8
        elif name == b"fmt ":
            file.seek(start)
            in_mpeg = struct.unpack(f"{order}H", file.read(2).ljust(2))[0] in _MPEG_IN_WAV
        elif name == b"data":
            rest, claimed, place, form64 = end - start, size, start - 4, f"{order}I"
            if ds64 is not None and size == _MOST_BYTES:
                file.seek(ds64)
                claimed, place, form64 = *struct.unpack("<Q", file.read(8).ljust(8)), ds64, "<Q"
            wrapped = claimed == _MOST_BYTES < rest
            if not wrapped and not _goes_on(file, form, start=start, claimed=claimed, end=end):
                placeholder = size >= _PLACEHOLDER and claimed == size
                return Header(
                    estimates=in_mpeg, damage=None if placeholder else _short(claimed, rest)
                )
            remark = _remark(claimed, rest)
            if in_mpeg or (form64[1] == "I" and rest > _MOST_BYTES):
                return Header(remark=remark, estimates=True)
            return Header(((place, struct.pack(form64, rest)),), remark)
    return Header(estimates=in_mpeg)


def _examine_w64(file: BinaryIO, end: int) -> Header:
    for name, start, size in _W64_FORM.chunks(file, 40, end):
        if name != b"data":
            continue
        if _goes_on(file, _W64_FORM, start=start, claimed=size, end=end):
            patch = start - 8, struct.pack("<q", end - start + 24)
            return Header((patch,), _remark(max(0, size), end - start))
        return Header(damage=_short(size, end - start))
    return Header()


def _examine_aiff(file: BinaryIO, end: int) -> Header:
    frames_at, frames, frame_bytes = 0, 0, 0
    for name, start, size in _AIFF_FORM.chunks(file, 12, end):
        if name == b"COMM":
            file.seek(start)
            content = file.read(22)
            channels, frames, bits = struct.unpack(">hIh", content[:8].ljust(8, b"\0"))
            plain = size < 22 or content[18:22] in (b"NONE", b"sowt", b"twos", b"fl32", b"FL32")
            frames_at, frame_bytes = start + 2, channels * -(-bits // 8) if plain else 0
        elif name == b"SSND":
            rest = end - start - 8
            claimed = min(size - 8, frames * frame_bytes)
            if frame_bytes <= 0 or not _goes_on(
                file, _AIFF_FORM, start=start + 8, claimed=claimed, end=end
            ):
                break
            patches = (
                (start - 4, struct.pack(">I", min(_MOST_BYTES, rest + 8))),
                (frames_at, struct.pack(">I", min(_MOST_BYTES, rest // frame_bytes))),
            )
            return Header(patches, _remark(max(0, claimed), rest))
    return Header()


def _examine_caf(file: BinaryIO, end: int) -> Header:
    for name, start, size in _CAF_FORM.chunks(file, 8, end):
        if name == b"data":
            patch = start - 8, struct.pack(">q", end - start)
            if size == -1:  # allowed of the last chunk
                return Header((patch,))
            if _goes_on(file, _CAF_FORM, start=start, claimed=size, end=end):
                return Header((patch,), _remark(max(0, size - 4), end - start - 4))
            return Header(damage=_short(size, end - start))
    return Header()


def _examine_au(head: bytes, end: int) -> Header:
    order = ">" if head[:4] == b".snd" else "<"
    start, claimed = struct.unpack(f"{order}II", head[4:12].ljust(8, b"\0"))
    if claimed < end - start - _JUNK:  # nothing may follow the samples
        patch = (8, struct.pack(f"{order}I", _MOST_BYTES))
        return Header((patch,), _remark(claimed, end - start))
    return Header(damage=_short(claimed, end - start) if claimed < _PLACEHOLDER else None)


def _examine_ogg(data: mmap.mmap) -> Header:
    """Follow the pages (RFC 3533, section 6): streams may come one behind the other."""
    offset, begun, chained, last, lost = 0, False, False, 0, 0
    while offset + 27 <= len(data):
        if data[offset : offset + 4] != b"OggS":
            lost = lost or offset
            if (offset := data.find(b"OggS", offset)) < 0:
                break
            continue
        last = data[offset + 5]
        begins = bool(last & 2)
        chained |= begins and begun
        begun |= not begins
        segments = data[offset + 26]
        offset += 27 + segments + sum(data[offset + 27 : offset + 27 + segments])
    damage = None
    if lost and offset >= 0:
        damage = f"from byte {lost} on it is no Ogg for a while"
    elif not last & 4 or offset > len(data):
        damage = "its last page is missing"
    return Header(estimates=chained, damage=damage)


def is_chained_flac(path: Path) -> bool:
    """Whether a FLAC file is several, one behind the other.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        offset = data.find(b"fLaC")
        while (offset := data.find(b"fLaC", offset + 4)) > 0:
            # The first block is STREAMINFO, of 34 bytes.
            if data[offset + 4] & 0x7F == 0 and data[offset + 5 : offset + 8] == b"\0\0\x22":
                return True
    return False


def count_tags(path: Path) -> int:
    """Return how many tags there are behind the first frames of MPEG audio, at most.

    Raises:
        OSError: the file cannot be read.
    """
    count = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for tag in _TAG_VERSIONS:
            offset = 0
            while (offset := data.find(tag, offset + 1)) >= 0:
                count += 1
    return count


def states_length(path: Path) -> bool:
    """Whether MPEG audio states how many frames it has, of all that the file holds.

    Without a count (Xing's, Info or VBRI) a decoder can but estimate it from the first bit rate.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        start = _behind_id3(file, 0)
        file.seek(start)
        data = file.read(_SEARCHED)
        first = _first_frame(data)
        if first is None:
            return False
        at, side = first
        tag = data[at + side : at + side + 16]
        if tag[:4] not in (b"Xing", b"Info") or len(tag) < 16:
            return False
        flags, _, count = struct.unpack(">III", tag[4:])
        if flags & 3 != 3:
            return False
        behind = _behind_id3(file, start + at + count)  # or it is that of another file
        file.seek(behind)
        return end - behind < _JUNK or file.read(16).startswith(_TAGS)


def _behind_id3(file: BinaryIO, start: int) -> int:
    """Return where ID3v2 tags end that begin at ``start`` (ID3v2.4, section 3.1)."""
    file.seek(start)
    head = file.read(10)
    while head[:3] == b"ID3" and len(head) == 10:
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte & 0x7F
        start += 10 + size + (10 if head[5] & 0x10 else 0)
        file.seek(start)
        head = file.read(10)
    return start


def _first_frame(data: bytes) -> tuple[int, int] | None:
    """Return the place of the first frame of layer III, and how far in its Xing tag would be."""
    at = -1
    while (at := data.find(b"\xff", at + 1)) >= 0:
        if len(data) < at + 4:
            break
        second, third, fourth = data[at + 1 : at + 4]
        version, layer = second >> 3 & 3, second >> 1 & 3
        rates = third >> 4, third >> 2 & 3
        if (
            second >> 5 == 7
            and version != 1
            and layer == 1
            and rates[0] not in (0, 15)
            and rates[1] != 3
        ):
            mono = fourth >> 6 == 3
            side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
            return at, 4 + side
    return None
