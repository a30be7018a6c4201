"""Mixtures with their sources, in FUSS's shape, so that separation learns without downloads.

Files and lists lie where :mod:`train.data.fuss` reads them, with ``dataset.json`` beside them.
Mixture ``i`` of a split depends on the seed, the configuration and the bank alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import streamsed
from streamsed.errors import ConfigError
from train.data import bank as banks
from train.data.bank import Bank
from train.data.fuss import MOST_SOURCES, Split
from train.data.mixed_set import identity, writing
from train.data.mixing import Labels, Scenes, mixed, write_wav
from train.data.soundscape import SoundscapeConfig, SoundscapeGenerator
from train.data.soundscape_set import DESCRIPTION

SCHEMA = "streamsed.mixtures/1"

ORIGINS: dict[Split, tuple[banks.Split, int]] = {
    "train": ("train", 40_000_000),
    "validation": ("train", 50_000_000),
    "eval": ("valid", 40_000_000),
}
"""Whose recordings a split is made of, and its first scene. As with soundscapes, ``validation``
is new scenes of the training recordings, and ``eval`` is of recordings that nothing learns from."""

_CHUNK = 8


class SourceSet:
    """Writes such a data set, or goes on with one that was stopped.

    Args:
        folder: of the data set; new, empty, or one that this class began with the same seed,
            configuration and bank.
        bank: recordings.
        mixtures: how many of each split.
        config: the distribution of scenes; their device is left out.
        seed: of the scenes.
        cache: folder in which simulated rooms are kept.

    Raises:
        ConfigError: the folder holds something else.
    """

    def __init__(
        self,
        folder: Path,
        *,
        bank: Bank,
        mixtures: Mapping[Split, int],
        config: SoundscapeConfig,
        seed: int,
        cache: Path | None = None,
    ) -> None:
        self.folder, self.bank, self.config = folder, bank, config
        self.mixtures = {split: count for split, count in mixtures.items() if count > 0}
        self.seed, self.cache = seed, cache
        described = folder / DESCRIPTION
        if described.exists():
            before = json.loads(described.read_text(encoding="utf-8"))
            for key, now in self._identity().items():
                if before.get(key) != now:
                    raise ConfigError(
                        f"{folder}: holds mixtures with another {key}; choose a new folder"
                    )
        elif folder.is_dir() and any(folder.iterdir()):
            raise ConfigError(
                f"{folder}: is not empty and has no {DESCRIPTION}; choose a new folder"
            )

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
            text = json.dumps({"streamsed": streamsed.__version__, **self._identity()}, indent=1)
            (self.folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
            for split, count in self.mixtures.items():
                self._mix(split, count, jobs, report)
                self._list(split, count)

    def _identity(self) -> dict[str, Any]:
        return identity(SCHEMA, seed=self.seed, bank=self.bank, config=self.config)

    def _path(self, split: Split, index: int) -> Path:
        return self.folder / split / f"example{index:05d}.wav"

    def _mix(self, split: Split, count: int, jobs: int, report: Callable[[int], None]) -> None:
        # A mixture's file is written after its sources'.
        missing = [i for i in range(count) if not self._path(split, i).exists()]
        report(count - len(missing))
        if not missing:
            return
        whose, first = ORIGINS[split]
        generator = SoundscapeGenerator(
            self.bank, split=whose, config=self.config, seed=self.seed, cache=self.cache
        )
        (self.folder / split).mkdir(exist_ok=True)
        scenes = [(first + index, self._path(split, index)) for index in missing]
        chunks = [scenes[start : start + _CHUNK] for start in range(0, len(scenes), _CHUNK)]
        for _, done in mixed(generator, chunks, jobs=jobs, write=write_mixtures):
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
