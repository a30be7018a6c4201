"""A data set of minutes-long recordings in MAESTRO Real's shape, mixed from a bank.

Files lie where :mod:`train.data.maestro` reads them. Beside them::

    dataset.json                         what was made: seed, scenes, bank, sources and licences
    development_events/<scene>/<name>.tsv    when classes sound in truth: onset, offset, event_label

A recording depends on the seed, the configuration and the bank alone. Its annotation is written
last, so that a run that was stopped goes on with the first that has none. All folds are of one
split of the bank: recordings never part, but the sounds that they are mixed of come again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

import streamsed
from streamsed.errors import ConfigError
from train.data.annotators import soft_labels
from train.data.bank import Bank
from train.data.events import Event
from train.data.labels import rasterise
from train.data.maestro import FOLDS
from train.data.mixed_set import bank_digest, writing
from train.data.mixing import mixed
from train.data.recordings_config import RecordingsConfig
from train.data.soundscape import SoundscapeGenerator
from train.data.tables import write_rows
from train.writing import replacing

SCHEMA = "streamsed.recordings/1"
DESCRIPTION = "dataset.json"

_OPINIONS = 0x616E6E6F  # of the seed: opinions are drawn apart from scenes
_APART = 10_000  # between the generator's indices of two kinds' first recordings


class RecordingSet:
    """Writes such a data set, or goes on with one that was stopped.

    Args:
        folder: of the data set; new, empty, or one that this class began with the same seed,
            configuration and bank.
        bank: recordings, of which those to train on are used.
        recordings: of each kind of scene, 5 or more; they may grow, not shrink.
        config: the distribution.
        seed: of recordings and opinions.
        cache: folder in which simulated rooms are kept.

    Raises:
        ConfigError: the folder holds something else, or there are too few recordings.
    """

    def __init__(
        self,
        folder: Path,
        *,
        bank: Bank,
        recordings: int,
        config: RecordingsConfig,
        seed: int,
        cache: Path | None = None,
    ) -> None:
        if not len(FOLDS) <= recordings <= _APART:
            raise ConfigError(
                f"{folder}: {recordings} recordings of each scene; must be {len(FOLDS)} or more, "
                "one a fold"
            )
        self.folder, self.bank, self.config = folder, bank, config
        self.recordings, self.seed, self.cache = recordings, seed, cache
        self._check()

    @property
    def total(self) -> int:
        """Recordings of all scenes."""
        return self.recordings * len(self.config.scenes)

    def write(self, *, jobs: int = 1, progress: Callable[[int], None] | None = None) -> None:
        """Mix the recordings that are not there yet, then write the folds.

        Args:
            jobs: processes that mix; 1 mixes in this one.
            progress: called with the number of recordings done, those of an earlier run first.

        Raises:
            ConfigError: a file of the bank cannot be decoded, or a scene has none of its classes.
            DataError: a process died or the disk is full.
        """
        report = progress or (lambda _: None)
        with writing(self.folder):
            self._describe()
            for number, scene in enumerate(self.config.scenes):
                self._write_scene(scene, number * _APART, jobs=jobs, report=report)
            self._write_folds()

    def _write_scene(
        self, scene: str, first: int, *, jobs: int, report: Callable[[int], None]
    ) -> None:
        missing = [k for k in range(self.recordings) if not self._annotation(scene, k).exists()]
        report(self.recordings - len(missing))
        if not missing:
            return
        generator = SoundscapeGenerator(
            self.bank,
            split="train",
            config=self.config.of_scene(scene),
            seed=self.seed,
            cache=self.cache,
        )
        self._audio(scene, 0).parent.mkdir(parents=True, exist_ok=True)
        chunks = [[(first + k, self._audio(scene, k))] for k in missing]
        for _, done in mixed(generator, chunks, jobs=jobs):
            for index, events in done:
                self._annotate(scene, index - first, index, events)
            report(len(done))

    def _annotate(self, scene: str, which: int, index: int, events: Sequence[Event]) -> None:
        classes, total = self.config.classes, int(self.config.duration_s)
        active = rasterise(events, classes=classes, frames=total, frame_samples=1, sample_rate=1)
        rng = np.random.default_rng([self.seed, _OPINIONS, index])
        values = soft_labels(active > 0.0, self.config.annotators, rng=rng)
        truth = self.folder / "development_events" / scene / f"{_name(scene, which)}.tsv"
        truth.parent.mkdir(parents=True, exist_ok=True)
        write_rows(
            truth,
            ("onset", "offset", "event_label"),
            [(f"{e.onset_s:.3f}", f"{e.offset_s:.3f}", e.label) for e in events],
        )
        path = self._annotation(scene, which)
        with replacing(path) as part:
            part.write_text(annotation_lines(values, classes), encoding="utf-8")

    def _write_folds(self) -> None:
        folder = self.folder / "development_folds"
        folder.mkdir(exist_ok=True)
        for fold in FOLDS:
            parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
            for scene in self.config.scenes:
                for which in range(self.recordings):
                    place = (which - fold) % len(FOLDS)
                    part = {0: "test", 1: "val"}.get(place, "train")
                    parts[part].append(f"{scene}/{_name(scene, which)}")
            for part, names in parts.items():
                write_rows(folder / f"fold{fold}_{part}.csv", ("filename",), [(n,) for n in names])

    def _audio(self, scene: str, which: int) -> Path:
        return self.folder / "development_audio" / scene / f"{_name(scene, which)}.wav"

    def _annotation(self, scene: str, which: int) -> Path:
        folder = self.folder / "development_annotation" / f"soft_labels_{scene}"
        return folder / f"{_name(scene, which)}.txt"

    def _identity(self) -> dict[str, Any]:
        config = TypeAdapter(RecordingsConfig).dump_python(self.config, mode="json")
        return {
            "schema": SCHEMA,
            "seed": self.seed,
            "bank": bank_digest(self.bank),
            "config": config,
        }

    def _check(self) -> None:
        """Refuse a folder that holds other things."""
        path = self.folder / DESCRIPTION
        if not path.exists():
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise ConfigError(
                    f"{self.folder}: is not empty and has no {DESCRIPTION}; choose a new folder"
                )
            return
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            count = int(before["recordings"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}: is no {SCHEMA}; choose a new folder") from error
        for key, now in self._identity().items():
            if before.get(key) != now:
                raise ConfigError(
                    f"{self.folder}: holds a data set with another {key}; choose a new folder"
                )
        if count > self.recordings:
            raise ConfigError(
                f"{self.folder}: was begun with {count} recordings of each scene; ask for as many "
                "or more, or choose a new folder"
            )

    def _describe(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        plain = {
            "description": "Recordings in the shape of MAESTRO Real, mixed by streamsed-train "
            "soundscapes from a bank of recordings and synthesis; their labels are the opinions "
            "of simulated annotators. Audio is 16-bit mono.",
            "streamsed": streamsed.__version__,
            "recordings": self.recordings,
            "classes": self.config.classes,
            "sources": [
                {"source": source, "licence": licence, "files": files, "s": seconds}
                for source, licence, files, seconds in self.bank.licences("train")
            ],
            **self._identity(),
        }
        with replacing(self.folder / DESCRIPTION) as part:
            part.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def _name(scene: str, which: int) -> str:
    return f"{scene}_{which:02d}"


def annotation_lines(values: NDArray[np.float64], classes: Sequence[str]) -> str:
    """Return a recording's annotation: onset, offset, label, value of each second above 0."""
    return "".join(
        f"{second}\t{second + 1}\t{label}\t{value:.4f}\n"
        for second, row in enumerate(values)
        for label, value in zip(classes, row, strict=True)
        if value >= 0.00005
    )
