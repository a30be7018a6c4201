"""Mixtures with their sources, in FUSS's shape, so that separation learns without downloads.

Files and lists lie where :mod:`train.data.fuss` reads them, with ``dataset.json`` beside them.
Mixture ``i`` of a split depends on the seed, the configuration and the bank alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import streamsed
from train.data import bank as banks
from train.data.bank import Bank
from train.data.fuss import MOST_SOURCES, Split
from train.data.mixed_set import DESCRIPTION, MixedSet, writing
from train.data.mixing import Labels, Scenes, write_wav
from train.data.soundscape import SoundscapeConfig, SoundscapeGenerator

SCHEMA = "streamsed.mixtures/1"

ORIGINS: dict[Split, tuple[banks.Split, int]] = {
    "train": ("train", 40_000_000),
    "validation": ("train", 50_000_000),
    "eval": ("valid", 40_000_000),
}
"""Whose recordings a split is made of, and its first scene. As with soundscapes, ``validation``
is new scenes of the training recordings, and ``eval`` is of recordings that nothing learns from."""


class SourceSet(MixedSet):
    """Writes such a data set, or goes on with one that was stopped.

    Args:
        folder: see :class:`MixedSet`.
        clips: how many mixtures of each split.
        bank: recordings.
        config: the distribution of scenes; their device is left out.
        seed: of the scenes.
        cache: folder in which simulated rooms are kept.

    Raises:
        ConfigError: the folder holds something else.
    """

    schema = SCHEMA

    def __init__(
        self,
        folder: Path,
        *,
        clips: Mapping[Split, int],
        bank: Bank,
        config: SoundscapeConfig,
        seed: int,
        cache: Path | None = None,
    ) -> None:
        super().__init__(folder, bank=bank, config=config, seed=seed, cache=cache)
        self.clips = {split: count for split, count in clips.items() if count > 0}
        self.begun()

    def write(self, *, jobs: int = 1, progress: Callable[[int], None] | None = None) -> None:
        """Mix what is not there yet, then write the lists.

        Args:
            jobs: processes that mix; 1 mixes in this one.
            progress: called with the number of mixtures done, those of an earlier run first.

        Raises:
            ConfigError: a file of the bank cannot be decoded.
            DataError: a process died or the disk is full.
        """
        report = progress or (lambda _: None)
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"streamsed": streamsed.__version__, **self.identity()}, indent=1)
            (self.folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
            for split, count in self.clips.items():
                self._mix(split, count, jobs, report)
                self._list(split, count)

    def _path(self, split: Split, index: int) -> Path:
        return self.folder / split / f"example{index:05d}.wav"

    def _mix(self, split: Split, count: int, jobs: int, report: Callable[[int], None]) -> None:
        # A mixture's file is written after its sources'.
        missing = [i for i in range(count) if not self._path(split, i).exists()]
        report(count - len(missing))
        if not missing:
            return
        whose, first = ORIGINS[split]
        (self.folder / split).mkdir(exist_ok=True)
        scenes = [(first + index, self._path(split, index)) for index in missing]
        for done in self.mix(scenes, whose, jobs=jobs, write=write_mixtures):
            report(len(done))

    def _list(self, split: Split, count: int) -> None:
        lines = []
        for index in range(count):
            path = self._path(split, index)
            sources = sorted(sources_of(path).glob("*.wav"))
            names = [str(file.relative_to(self.folder)) for file in (path, *sources)]
            lines.append("\t".join(names) + "\n")
        (self.folder / f"{split}_example_list.txt").write_text("".join(lines), encoding="utf-8")


def write_mixtures(generator: SoundscapeGenerator, scenes: Scenes) -> Labels:
    """Write each scene's sources, then their sum."""
    for index, path in scenes:
        sources = generator.separate(index, most=MOST_SOURCES)
        sources_of(path).mkdir(exist_ok=True)
        # What is read back sums to the mixture but for the mixture's own rounding.
        rounded = (np.round(sources * 32768.0) / 32768.0).astype(np.float32)
        names = ["background0", *(f"foreground{i}" for i in range(len(sources) - 1))]
        for name, source in zip(names, rounded, strict=True):
            file = sources_of(path) / f"{name}_sound.wav"
            write_wav(file, source, sample_rate=generator.config.sample_rate)
        write_wav(path, rounded.sum(axis=0), sample_rate=generator.config.sample_rate)
    return [(index, ()) for index, _ in scenes]


def sources_of(mixture: Path) -> Path:
    """Return the folder of a mixture's sources."""
    return mixture.with_name(f"{mixture.stem}_sources")
