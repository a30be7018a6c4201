"""What all data sets share that are mixed from a bank: what decides them, and how writing fails.

``dataset.json`` in a data set's folder says what it was made of.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import Any, ClassVar

import soundfile
from pydantic import TypeAdapter

from streamsed.errors import ConfigError, DataError
from train.data.bank import TABLE, Bank, Split
from train.data.mixing import Labels, Scenes, Write, mixed, write_scenes
from train.data.soundscape import SoundscapeConfig, SoundscapeGenerator
from train.writing import writing as files_written

DESCRIPTION = "dataset.json"

CHUNK = 8
"""Scenes that a process mixes before it reports them."""

_ROOM = 1 << 20  # bytes; with less on a disk a file may well not have fitted


def bank_digest(bank: Bank) -> str:
    """Return the SHA-256 of a bank's table, in hexadecimal."""
    return hashlib.sha256((bank.folder / TABLE).read_bytes()).hexdigest()


class MixedSet:
    """A data set of scenes of one distribution; what is there already is gone on with.

    Args:
        folder: of the data set; new, empty, or one that this class began with the same seed,
            configuration and bank.
        bank: recordings.
        config: the distribution of scenes.
        seed: of the scenes.
        cache: folder in which simulated rooms are kept.

    Attributes:
        schema: names the form of the description.
        beside: names that others may have in the folder.
    """

    schema: ClassVar[str]
    beside: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        folder: Path,
        *,
        bank: Bank,
        config: SoundscapeConfig,
        seed: int,
        cache: Path | None = None,
    ) -> None:
        self.folder, self.bank, self.config = folder, bank, config
        self.seed, self.cache = seed, cache

    def identity(self) -> dict[str, Any]:
        """Return what decides every scene, as plain data."""
        return {
            "schema": self.schema,
            "seed": self.seed,
            "bank": bank_digest(self.bank),
            "soundscape": TypeAdapter(SoundscapeConfig).dump_python(self.config, mode="json"),
        }

    def begun(self) -> dict[str, Any] | None:
        """Return the description of what is there; None if nothing is.

        Raises:
            ConfigError: the folder holds something else.
        """
        path = self.folder / DESCRIPTION
        if not path.exists():
            there = self.folder.iterdir() if self.folder.is_dir() else ()
            if {file.name for file in there} - self.beside:
                raise ConfigError(
                    f"{self.folder}: is not empty and has no {DESCRIPTION}; choose a new folder"
                )
            return None
        try:
            before: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{path}: is no {self.schema}; choose a new folder") from error
        if before.get("schema") != self.schema:
            raise ConfigError(f"{path}: is no {self.schema}; choose a new folder")
        for key, now in self.identity().items():
            if before.get(key) != now:
                raise ConfigError(
                    f"{self.folder}: holds a data set with another {key}; choose a new folder"
                )
        return before

    def mix(
        self, scenes: Scenes, split: Split, *, jobs: int, write: Write = write_scenes
    ) -> Iterator[Labels]:
        """Mix and write scenes, some at a time, in any order; yield the labels of those.

        Args:
            scenes: indices and files.
            split: of the bank's recordings.
            jobs: processes; 1 mixes in this one.
            write: what is done with some scenes.
        """
        generator = SoundscapeGenerator(
            self.bank, split=split, config=self.config, seed=self.seed, cache=self.cache
        )
        chunks = [scenes[start : start + CHUNK] for start in range(0, len(scenes), CHUNK)]
        for _, labels in mixed(generator, chunks, jobs=jobs, write=write):
            yield labels


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Write below ``folder``, with processes that mix.

    Raises:
        DiskFull: there is no space left.
        DataError: a process died, or files cannot be written for another reason.
    """
    try:
        with files_written(folder):
            yield
    except BrokenProcessPool as error:
        raise DataError(f"{folder}: a mixing process died; the same command goes on") from error
    except soundfile.SoundFileError as error:  # libsndfile gives no reason
        with files_written(folder):
            if disk_usage(folder).free < _ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise DataError(f"{folder}: cannot be written ({error})") from error
