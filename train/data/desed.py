"""DESED as it lies on disk, in the folders that the DCASE recipes and the desed package make.

::

    audio/train/weak/                                  metadata/train/weak.tsv
    audio/train/unlabel_in_domain/
    audio/train/synthetic21_train/soundscapes/         metadata/train/synthetic21_train/soundscapes.tsv
    audio/train/strong_label_real/                     metadata/train/audioset_strong.tsv
    audio/validation/synthetic21_validation/soundscapes/
                                 metadata/validation/synthetic21_validation/soundscapes.tsv
                                 metadata/validation/synthetic21_validation/durations.tsv
    audio/validation/validation/                       metadata/validation/validation.tsv
                                                       metadata/validation/validation_durations.tsv
    audio/eval/public/                                 metadata/eval/public.tsv
                                                       metadata/eval/public_durations.tsv

A folder of audio may end in ``_16k``, as the recipes call their resampled copies; such a copy is
preferred. Everything may lie below ``dataset/``, the synthetic sets below ``dcase_synth/``, and
``audio/validation/`` may hold the validation files themselves. Tables are tab-separated: weak
``filename event_labels`` (labels joined by commas), strong ``filename onset offset event_label``,
durations ``filename duration``. Durations are optional: where no table has them, headers do.
"""  # noqa: E501 - a table of paths

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import structlog

from streamsed.bundle.manifest import class_name
from streamsed.errors import DataError
from train.data.audio import SUFFIXES
from train.data.classes import CLASSES
from train.data.clips import Clip, ClipSet, Kind, require_files
from train.data.events import read_tsv
from train.data.tables import read_rows

log = structlog.get_logger()

Part = Literal[
    "weak",
    "unlabelled",
    "strong",
    "strong_real",
    "strong_validation",
    "validation",
    "public",
]


@dataclass(frozen=True)
class Place:
    """Where a part of DESED lies, as paths below the root.

    Attributes:
        kind: what is known of its clips.
        audio: folders that may hold the files; the first that exists is taken.
        table: labels; None of unlabelled clips.
        durations: table of durations, if there is one.
    """

    kind: Kind
    audio: tuple[str, ...]
    table: str | None
    durations: str | None = None


PLACES: dict[Part, Place] = {
    "weak": Place("weak", ("audio/train/weak",), "metadata/train/weak.tsv"),
    "unlabelled": Place("unlabelled", ("audio/train/unlabel_in_domain",), None),
    "strong": Place(
        "strong",
        ("audio/train/synthetic21_train/soundscapes",),
        "metadata/train/synthetic21_train/soundscapes.tsv",
        "metadata/train/synthetic21_train/durations.tsv",
    ),
    "strong_real": Place(
        "strong", ("audio/train/strong_label_real",), "metadata/train/audioset_strong.tsv"
    ),
    "strong_validation": Place(
        "strong",
        ("audio/validation/synthetic21_validation/soundscapes",),
        "metadata/validation/synthetic21_validation/soundscapes.tsv",
        "metadata/validation/synthetic21_validation/durations.tsv",
    ),
    "validation": Place(
        "strong",
        ("audio/validation/validation", "audio/validation"),
        "metadata/validation/validation.tsv",
        "metadata/validation/validation_durations.tsv",
    ),
    "public": Place(
        "strong",
        ("audio/eval/public",),
        "metadata/eval/public.tsv",
        "metadata/eval/public_durations.tsv",
    ),
}

RESAMPLED = "_16k"
_BELOW = ("", "dataset", "dcase_synth", "dataset/dcase_synth")
# An id of YouTube has 11 characters; most tables put a Y before it.
_YOUTUBE = re.compile(r"Y?(?P<id>[\w-]{11})_\d+(\.\d+)?_\d+(\.\d+)?")


def read_desed(
    root: Path,
    part: Part,
    *,
    classes: tuple[str, ...] = CLASSES,
    missing: Literal["refuse", "leave_out"] = "refuse",
) -> ClipSet:
    """Read a part of DESED, or of a data set of its shape.

    Recordings are the YouTube videos that clips were cut from, so that two clips of one video
    stay on one side of a split; other files (soundscapes) are each a recording.

    Args:
        root: the folder with ``audio`` and ``metadata``.
        part: which.
        classes: of the targets.
        missing: what to do about files that a table names and that are not there: DESED's real
            clips are downloaded from YouTube, where some are gone. To leave them out is logged.

    Raises:
        DataError: the folder or the table is missing or wrong; the line names where they should be.
    """
    if part not in get_args(Part):
        raise DataError(f"{part}: no part of DESED; must be one of {', '.join(get_args(Part))}")
    place = PLACES[part]
    folder = _folder(root, part, place)
    clips = tuple(_clips(root, place, folder))
    if not clips:
        table = f" and {_find(root, place.table)}" if place.table else ""
        raise DataError(f"{folder}{table}: no clips; DESED's part {part} must have some")
    if missing == "leave_out":
        there = tuple(clip for clip in clips if clip.path.is_file())
        if len(there) < len(clips):
            log.warning("missing_files_left_out", part=part, count=len(clips) - len(there))
        clips = there
    elif place.table is not None:
        require_files(clips, table=_find(root, place.table), layout=f"in {folder}")
    return ClipSet(part, place.kind, classes, clips)


def part_files(root: Path, part: Part) -> tuple[Path, Path]:
    """Return the folder of a part's audio and its table of labels.

    Raises:
        DataError: the folder is missing; the line names where it should be.
    """
    place = PLACES[part]
    assert place.table is not None, "unlabelled clips have none"
    return _folder(root, part, place), _find(root, place.table)


def recording_of(filename: str) -> str:
    """Key of splits of a file: the video of a clip cut from YouTube, else the name itself."""
    stem = Path(filename).stem
    match = _YOUTUBE.fullmatch(stem)
    return match["id"] if match else stem


def _find(root: Path, path: str) -> Path:
    """Where a path of the layout exists; else where it should be."""
    places = [root / below / path for below in _BELOW]
    return next((place for place in places if place.exists()), places[0])


def _folder(root: Path, part: Part, place: Place) -> Path:
    found = [_find(root, path + suffix) for path in place.audio for suffix in (RESAMPLED, "")]
    for folder in found:
        if folder.is_dir():
            return folder
    wanted = " or ".join(str(root / path) for path in place.audio)
    raise DataError(
        f"{root}: no folder for DESED's part {part}; expected {wanted} (or that with {RESAMPLED})"
    )


def _clips(root: Path, place: Place, folder: Path) -> Iterator[Clip]:
    durations = _durations(root, place)
    if place.table is None:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in SUFFIXES:
                yield Clip(path.name, path, recording_of(path.name), durations.get(path.name))
        return
    table = _find(root, place.table)
    if place.kind == "weak":
        for name, tags in _read_tags(table).items():
            yield Clip(name, folder / name, recording_of(name), durations.get(name), tags=tags)
    else:
        for name, events in read_tsv(table).items():
            yield Clip(name, folder / name, recording_of(name), durations.get(name), events)


def _read_tags(table: Path) -> dict[str, tuple[str, ...]]:
    tags: dict[str, tuple[str, ...]] = {}
    for where, row in read_rows(table, ("filename", "event_labels")):
        if row["filename"] in tags:
            raise DataError(f"{where}: {row['filename']} stands twice; a weak clip has one row")
        labels = {class_name(label.strip()) for label in row["event_labels"].split(",")}
        tags[row["filename"]] = tuple(sorted(labels - {""}))
    return tags


def _durations(root: Path, place: Place) -> dict[str, float]:
    if place.durations is None or not (table := _find(root, place.durations)).is_file():
        return {}
    found: dict[str, float] = {}
    for where, row in read_rows(table, ("filename", "duration")):
        try:
            found[row["filename"]] = float(row["duration"])
        except ValueError as error:
            raise DataError(
                f"{where}: duration {row['duration']!r}; must be a number of seconds"
            ) from error
    return found
