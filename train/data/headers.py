"""Files that cannot be decoded, found before a run begins: by their headers and last samples.

A run that takes hours must not end at the first step that draws a broken file. Headers show most
that are: empty ones, pages of HTML, half a download. The last sample shows those that were cut
short behind a header that is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import soundfile
import structlog

from streamsed.errors import DataError
from train.data.clips import ClipSet

log = structlog.get_logger()

Key = TypeVar("Key")

_THREADS = 8
_NAMED = 50
_SHORT = "is cut short, or holds no samples"


def undecodable(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the files that cannot be decoded, and why.

    Args:
        paths: of audio files; those that are not there are passed by.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        files = list(dict.fromkeys(paths))
        found = zip(files, pool.map(_problem, files), strict=True)
        return {path: problem for path, problem in found if problem is not None}


def refuse_undecodable(paths: Iterable[Path], *, instead: str = "") -> None:
    """Refuse files of which some cannot be decoded.

    Args:
        paths: of audio files.
        instead: what else would do than mending the files, in words.

    Raises:
        DataError: one line that names all of them.
    """
    if broken := undecodable(paths):
        named = [f"{path} ({problem})" for path, problem in list(broken.items())[:_NAMED]]
        more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        files = "1 file" if len(broken) == 1 else f"{len(broken)} files"
        raise DataError(f"{files} cannot be decoded: {', '.join(named)}{more}{instead}")


def decodable(
    sets: Mapping[Key, ClipSet], *, missing: Literal["refuse", "leave_out"] = "refuse"
) -> dict[Key, ClipSet]:
    """Return sets whose clips can all be decoded.

    Args:
        sets: by any key.
        missing: what to do about the others: to leave them out is logged.

    Raises:
        DataError: clips that cannot be decoded are refused; or a set has no others.
    """
    paths = [clip.path for clips in sets.values() for clip in clips.clips]
    if missing == "refuse":
        refuse_undecodable(paths, instead="; data.missing: leave_out goes on without them")
        return dict(sets)
    broken = undecodable(paths)
    kept = {}
    for key, clips in sets.items():
        whole = tuple(clip for clip in clips.clips if clip.path not in broken)
        if not whole:
            raise DataError(
                f"{clips.name}: no clip can be decoded; the first: {clips.clips[0].path}"
            )
        if left_out := [clip.name for clip in clips.clips if clip.path in broken]:
            log.warning("undecodable_files_left_out", part=clips.name, files=left_out)
        kept[key] = replace(clips, clips=whole)
    return kept


def _problem(path: Path) -> str | None:
    if not path.is_file():
        return None  # readers name what is missing, and where it should be
    try:
        with soundfile.SoundFile(path) as file:
            return None if file.frames and _has_last_sample(file) else _SHORT
    except (OSError, soundfile.SoundFileError) as error:
        text = str(error).removeprefix(f"Error opening {str(path)!r}: ")
        return " ".join(text.split()).rstrip(".")


def _has_last_sample(file: soundfile.SoundFile) -> bool:
    try:
        file.seek(file.frames - 1)
        return len(file.read(1)) == 1
    except soundfile.SoundFileError:
        return False
