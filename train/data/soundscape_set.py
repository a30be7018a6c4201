"""A data set of soundscapes in DESED's shape, so that every recipe runs without downloads.

Files and tables lie where :mod:`train.data.desed` reads them, audio in folders that end in
``_16k``. Beside them::

    dataset.json        what was made: seed, scenes, bank, sources and licences
    .scenes/*.jsonl     labels of every scene that is whole, from which a stopped run goes on

Scene ``i`` of a part depends on the seed, the configuration and the bank alone: neither the
number of processes nor stopping and going on nor the sizes of the other parts change it, and a
larger set begins with the clips of a smaller one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import streamsed
from streamsed.errors import ConfigError
from train.data.bank import Bank, Split
from train.data.desed import PLACES, RESAMPLED, Part
from train.data.events import Event, write_tsv
from train.data.mixed_set import DESCRIPTION, MixedSet, writing
from train.data.soundscape import SoundscapeConfig
from train.data.tables import write_rows

SCHEMA = "streamsed.dataset/1"

SEPARATION = "separation"
"""Folder in which :mod:`train.data.source_set` may have put mixtures with their sources."""

_JOURNALS = ".scenes"
_WAV_HEADER_BYTES = 44


@dataclass(frozen=True)
class Source:
    """Where the scenes of a part come from.

    Attributes:
        split: of the bank's recordings.
        prefix: of file names.
        first: the generator's index of the part's first scene; parts share none.
    """

    split: Split
    prefix: str
    first: int


SOURCES: dict[Part, Source] = {
    "strong": Source("train", "strong", 0),
    "weak": Source("train", "weak", 10_000_000),
    "unlabelled": Source("train", "unlabelled", 20_000_000),
    "strong_validation": Source("train", "strong_validation", 30_000_000),
    "validation": Source("valid", "validation", 0),
    "public": Source("valid", "public", 10_000_000),
}
"""``strong_validation``, on which checkpoints are chosen, is new scenes of the training
recordings: ``validation`` and ``public``, on which results are reported, stay unseen by both."""


class SoundscapeSet(MixedSet):
    """Writes such a data set, or goes on with one that was stopped.

    Args:
        folder: see :class:`MixedSet`.
        clips: how many of each part; a part may grow, not shrink, and one that is there already
            and not asked for stays.
        bank: recordings.
        config: the distribution of scenes.
        seed: of the scenes.
        cache: folder in which simulated rooms are kept.

    Raises:
        ConfigError: the folder holds something else.
    """

    schema = SCHEMA
    beside = frozenset({SEPARATION})

    def __init__(
        self,
        folder: Path,
        *,
        clips: Mapping[Part, int],
        bank: Bank,
        config: SoundscapeConfig,
        seed: int,
        cache: Path | None = None,
    ) -> None:
        super().__init__(folder, bank=bank, config=config, seed=seed, cache=cache)
        self.clips = {part: count for part, count in clips.items() if count > 0}
        self._samples = round(config.duration_s * config.sample_rate)
        if not self.clips:
            raise ConfigError(f"{folder}: no clips are asked for; ask for at least one")
        self._grow()

    def write(self, *, jobs: int = 1, progress: Callable[[int], None] | None = None) -> None:
        """Mix the scenes that are not there yet, then write the tables.

        Args:
            jobs: processes that mix; 1 mixes in this one.
            progress: called with the number of scenes done, those of an earlier run first.

        Raises:
            ConfigError: a file of the bank cannot be decoded.
            DataError: a process died or the disk is full.
        """
        report = progress or (lambda _: None)
        with writing(self.folder):
            self._describe(complete=False)
            todo = {part: self._missing(part) for part in self.clips}
            report(sum(self.clips.values()) - sum(map(len, todo.values())))
            for split in ("train", "valid"):
                parts = [part for part in todo if SOURCES[part].split == split and todo[part]]
                if parts:
                    self._mix({part: todo[part] for part in parts}, split, jobs, report)
            for part in self.clips:
                self._write_tables(part)
            self._describe(complete=True)

    def _grow(self) -> None:
        """Ask for the parts that are there already as well; refuse smaller ones."""
        before = self.begun()
        if before is None:
            return
        try:
            parts = {part: int(before["parts"][part]["clips"]) for part in before["parts"]}
            if not parts.keys() <= SOURCES.keys():
                raise ValueError(f"unknown parts among {', '.join(parts)}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            path = self.folder / DESCRIPTION
            raise ConfigError(f"{path}: is no {SCHEMA}; choose a new folder") from error
        for part, count in parts.items():
            if self.clips.setdefault(part, count) < count:
                raise ConfigError(
                    f"{self.folder}: was begun with {count} clips of part {part}; ask for as many "
                    "or more, or choose a new folder"
                )

    def _describe(self, *, complete: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        splits = sorted({SOURCES[part].split for part in self.clips})
        plain = {
            "description": "Soundscapes in the shape of DESED, mixed by streamsed-train "
            "soundscapes from a bank of recordings and synthesis. Audio is 16-bit mono.",
            "complete": complete,
            "streamsed": streamsed.__version__,
            "parts": {
                part: {
                    "clips": count,
                    "split": SOURCES[part].split,
                    "first_scene": SOURCES[part].first,
                    "audio": f"{PLACES[part].audio[0]}{RESAMPLED}",
                    "labels": PLACES[part].table,
                }
                for part, count in self.clips.items()
            },
            "sources": [
                {"split": split, "source": source, "licence": licence, "files": files, "s": seconds}
                for split in splits
                for source, licence, files, seconds in self.bank.licences(split)
            ],
            **self.identity(),
        }
        part_file = self.folder / f"{DESCRIPTION}.part"
        part_file.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
        part_file.replace(self.folder / DESCRIPTION)

    def _path(self, part: Part, index: int) -> Path:
        folder = self.folder / f"{PLACES[part].audio[0]}{RESAMPLED}"
        return folder / f"{SOURCES[part].prefix}-{index:06d}.wav"

    def _journal(self, part: Part) -> Path:
        return self.folder / _JOURNALS / f"{part}.jsonl"

    def _events(self, part: Part) -> dict[int, tuple[Event, ...]]:
        """Events of the scenes that the journal knows; a line cut short by a kill is passed by."""
        journal = self._journal(part)
        found: dict[int, tuple[Event, ...]] = {}
        for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else ():
            try:
                index, events = json.loads(line)
                found[int(index)] = tuple(Event(*event) for event in events)
            except (ValueError, TypeError):
                continue
        return found

    def _missing(self, part: Part) -> list[int]:
        """Scenes of a part whose file is not whole or whose labels are not known."""
        known = self._events(part)
        size = _WAV_HEADER_BYTES + 2 * self._samples
        return [
            index
            for index in range(self.clips[part])
            if index not in known or not _is_whole(self._path(part, index), size)
        ]

    def _mix(
        self,
        todo: Mapping[Part, list[int]],
        split: Split,
        jobs: int,
        report: Callable[[int], None],
    ) -> None:
        (self.folder / _JOURNALS).mkdir(exist_ok=True)
        scenes: list[tuple[int, Path]] = []
        of: dict[int, tuple[Part, int]] = {}
        for part, missing in todo.items():
            self._path(part, 0).parent.mkdir(parents=True, exist_ok=True)
            first = SOURCES[part].first
            scenes += [(first + index, self._path(part, index)) for index in missing]
            of |= {first + index: (part, index) for index in missing}
        with ExitStack() as files:
            journals = {
                part: files.enter_context(self._journal(part).open("a", encoding="utf-8"))
                for part in todo
            }
            for journal in journals.values():
                journal.write("\n")  # ends a line that a kill cut short
            for done in self.mix(scenes, split, jobs=jobs):
                for scene, events in done:
                    part, index = of[scene]
                    row = [[e.label, e.onset_s, e.offset_s] for e in events]
                    journals[part].write(f"{json.dumps([index, row])}\n")
                for journal in journals.values():
                    journal.flush()
                report(len(done))

    def _write_tables(self, part: Part) -> None:
        place, known = PLACES[part], self._events(part)
        labels = {self._path(part, i).name: known[i] for i in range(self.clips[part])}
        if place.table is not None:
            table = self.folder / place.table
            table.parent.mkdir(parents=True, exist_ok=True)
            if place.kind == "weak":
                rows = [
                    (name, ",".join(sorted({e.label for e in events})))
                    for name, events in labels.items()
                ]
                write_rows(table, ("filename", "event_labels"), rows)
            else:
                write_tsv(table, labels)
        if place.durations is not None:
            seconds = f"{self._samples / self.config.sample_rate:.3f}"
            rows = [(name, seconds) for name in labels]
            write_rows(self.folder / place.durations, ("filename", "duration"), rows)


def _is_whole(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
