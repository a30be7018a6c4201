"""The recording bank: clips with their licences and splits, decoded once.

A bank is a folder with ``bank.tsv``, one row a file, and the files it names::

    file  kind  label  source  recording  split  seconds  licence

``kind`` is foreground, distractor, background or rir; ``recording`` is the key of the split:
all clips of one recording stand on one side.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamsed.errors import ConfigError

Kind = Literal["foreground", "distractor", "background", "rir"]
Split = Literal["train", "valid"]

TABLE = "bank.tsv"
COLUMNS = ("file", "kind", "label", "source", "recording", "split", "seconds", "licence")
SAMPLE_RATE = 16_000


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of ``bank.tsv``."""

    file: str
    kind: Kind
    label: str
    source: str
    recording: str
    split: Split
    seconds: float
    licence: str


class Bank:
    """Clips of a recording bank and their samples.

    Samples are decoded on first use and kept as int16 with one scale a clip. Call
    :meth:`preload` before worker processes are forked: they then share one copy.
    """

    def __init__(self, folder: Path, clips: tuple[Clip, ...]) -> None:
        self.folder = folder
        self.clips = clips
        self._decoded: dict[str, tuple[NDArray[np.int16], np.float32]] = {}
        self._index: dict[tuple[str, str, str | None], list[Clip]] = {}
        for clip in clips:
            for label in (clip.label, None):
                self._index.setdefault((clip.kind, clip.split, label), []).append(clip)

    @classmethod
    def open(cls, folder: Path) -> Bank:
        """Read ``bank.tsv`` of a folder; decodes nothing yet.

        Raises:
            ConfigError: the table or a file it names is missing, a column is missing, a value is
                wrong, or a recording stands in both splits.
        """
        table = folder / TABLE
        try:
            lines = table.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(
                f"{table}: cannot be read ({error.strerror}); a bank is a folder with {TABLE}"
            ) from error
        rows = csv.DictReader(lines, delimiter="\t")
        if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
            raise ConfigError(
                f"{table}: column {missing[0]} is missing; the columns are {', '.join(COLUMNS)}"
            )
        clips = tuple(_clip(row, f"{table}: line {rows.line_num}") for row in rows)
        side: dict[str, str] = {}
        for clip in clips:
            if not (folder / clip.file).is_file():
                raise ConfigError(f"{folder / clip.file}: missing, but {table} names it")
            if side.setdefault(clip.recording, clip.split) != clip.split:
                raise ConfigError(
                    f"{table}: recording {clip.recording} stands in both splits; it must be in one"
                )
        return cls(folder, clips)

    def without(self, patterns: Iterable[str]) -> Bank:
        """The bank less the files that match a shell-style pattern; decoded samples are shared."""
        skip = tuple(patterns)
        kept = tuple(
            clip for clip in self.clips if not any(fnmatchcase(clip.file, p) for p in skip)
        )
        bank = Bank(self.folder, kept)
        bank._decoded = self._decoded
        return bank

    def select(self, kind: Kind, *, split: Split, label: str | None = None) -> tuple[Clip, ...]:
        """Clips of a kind and split, of one label if it is given, in the table's order."""
        return tuple(self._index.get((kind, split, label), ()))

    def by_label(self, kind: Kind, *, split: Split) -> dict[str, tuple[Clip, ...]]:
        """Clips of a kind and split by label, in the table's order."""
        labels = dict.fromkeys(clip.label for clip in self.select(kind, split=split))
        return {label: self.select(kind, split=split, label=label) for label in labels}

    def samples(self, clip: Clip, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Samples of a clip from ``start`` to ``stop`` as a new ``(n,)`` float32 array.

        Raises:
            ConfigError: the file cannot be decoded, is empty, or has another rate than 16 kHz.
        """
        pcm, scale = self._decode(clip)
        return np.multiply(pcm[start:stop], scale, dtype=np.float32)

    def length(self, clip: Clip) -> int:
        """Number of samples of a clip."""
        return len(self._decode(clip)[0])

    def preload(self, split: Split | None = None) -> int:
        """Decode every clip (of one split) now; returns the bytes that they take."""
        for clip in self.clips:
            if split in {None, clip.split}:
                self._decode(clip)
        return sum(pcm.nbytes for pcm, _ in self._decoded.values())

    def licences(self, split: Split | None = None) -> tuple[tuple[str, str, int, float], ...]:
        """Sources and licences for a model card.

        Returns:
            Sorted rows ``(source, licence, clips, seconds)``, of one split if it is given.
        """
        clips, seconds = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for clip in self.clips:
            if split in {None, clip.split}:
                clips[clip.source, clip.licence] += 1
                seconds[clip.source, clip.licence] += clip.seconds  # type: ignore[assignment]
        return tuple((*key, clips[key], round(float(seconds[key]), 1)) for key in sorted(clips))

    def _decode(self, clip: Clip) -> tuple[NDArray[np.int16], np.float32]:
        if clip.file not in self._decoded:
            path = self.folder / clip.file
            try:
                audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
            except (OSError, soundfile.SoundFileError) as error:
                raise ConfigError(f"{path}: cannot be decoded: {error}") from error
            if rate != SAMPLE_RATE:
                raise ConfigError(f"{path}: rate {rate} Hz; the bank's files have {SAMPLE_RATE} Hz")
            mono = audio.mean(axis=1)
            if not len(mono) or not np.isfinite(mono).all():
                raise ConfigError(f"{path}: empty or not finite; it must hold audio")
            scale = np.float32(max(float(np.abs(mono).max()), 1e-6) / 32767.0)
            self._decoded[clip.file] = (np.rint(mono / scale).astype(np.int16), scale)
        return self._decoded[clip.file]


def _clip(row: dict[str, str], where: str) -> Clip:
    if row["kind"] not in get_args(Kind):
        raise ConfigError(f"{where}: kind {row['kind']!r}; must be {', '.join(get_args(Kind))}")
    if row["split"] not in get_args(Split):
        raise ConfigError(f"{where}: split {row['split']!r}; must be {', '.join(get_args(Split))}")
    try:
        seconds = float(row["seconds"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: seconds {row['seconds']!r}; must be a number") from error
    return Clip(**{name: row[name] for name in COLUMNS if name != "seconds"}, seconds=seconds)  # type: ignore[arg-type]
