"""Names of recordings: whom do the tables mean?"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streamsed.errors import DataError

_EXTENSION = re.compile(
    r"\.(aac|aifc?|aiff|au|caf|flac|m4a|mp[34]|oga|ogg|opus|rf64|snd|w64|wave?|webm|wma)$",
    re.IGNORECASE,
)


def without_extension(name: str) -> str:
    """Drop the extension of an audio file; names may hold other dots, such as ``a_30.000``."""
    return _EXTENSION.sub("", name)


def base_name(name: str) -> str:
    """Drop folders, also in the way of Windows, and the extension of an audio file."""
    return without_extension(re.split(r"[/\\]", name)[-1])


@dataclass(frozen=True, slots=True)
class Matches:
    """What names of one table mean.

    Attributes:
        known: by the table's name, the name of the recording that it means.
        unknown: names that mean no recording, in order.
    """

    known: Mapping[str, str]
    unknown: tuple[str, ...]


class RecordingNames:
    """The recordings that are evaluated, by name.

    The rule: a name of another table means the recording of exactly that name; if there is none,
    the one whose name is the same without an audio file's extension (``a.wav`` and ``a``, as
    score files are called); if there is none, the one whose name is the same without extension
    and folders (``a.wav``, ``audio/a.flac`` and ``/data/a.wav``). If a name could mean two
    recordings, or two names of a table could mean the same one, that is an error. A name that
    means a recording exactly is preferred to one that means it by half.

    Args:
        names: of the recordings.
        origin: where they stand, for people.
    """

    def __init__(self, names: Iterable[str], *, origin: str) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.origin = origin
        self._exactly = frozenset(self.names)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_base: dict[str, list[str]] = defaultdict(list)
        _refuse_halves(self.names, origin=origin)
        for name in self.names:
            self._by_stem[without_extension(name)].append(name)
            self._by_base[base_name(name)].append(name)

    def match(self, names: Iterable[str], *, origin: str) -> Matches:
        """Find the recordings that the names of one table mean.

        Args:
            names: in the table; each counts once.
            origin: where they stand, for people.

        Raises:
            DataError: a name could mean two recordings, or two names mean the same.
        """
        names = list(dict.fromkeys(names))
        _refuse_halves(names, origin=origin)
        known: dict[str, str] = {}
        unknown = []
        claims: dict[str, str] = {}  # recording -> the name that means it
        for name in sorted(names, key=lambda name: name not in self._exactly):
            recording = self._find(name, origin=origin)
            if recording is None or claims.get(recording) == recording != name:
                unknown.append(name)
                continue
            other = claims.setdefault(recording, name)
            if other != name:
                raise DataError(
                    f"{origin}: {other!r} and {name!r} could both mean {recording!r} of "
                    f"{self.origin}; name recordings the same everywhere"
                )
            known[name] = recording
        return Matches(known, tuple(unknown))

    def _find(self, name: str, *, origin: str) -> str | None:
        if name in self._exactly:
            return name
        for found in (
            self._by_stem.get(without_extension(name)),
            self._by_base.get(base_name(name)),
        ):
            if found and len(found) > 1:
                raise DataError(
                    f"{origin}: {name!r} could mean {found[0]!r} or {found[1]!r} of "
                    f"{self.origin}; name recordings the same everywhere"
                )
            if found:
                return found[0]
        return None


def _refuse_halves(names: Iterable[str], *, origin: str) -> None:
    """Refuse a name beside the same name with an extension: one recording would count as two.

    Raises:
        DataError: there are such two.
    """
    names = list(names)
    known = frozenset(names)
    for name in names:
        bare = without_extension(name)
        if bare != name and bare in known:
            raise DataError(
                f"{origin}: {bare!r} and {name!r} are one recording under two names, or two that "
                "cannot be distinguished; name recordings the same everywhere"
            )
