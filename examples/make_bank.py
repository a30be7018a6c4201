"""Make a recording bank without recordings: formulas and espeak-ng for the classes of a home.

What :mod:`train.synthesis` makes by itself (alarms, motors) is not in it; the rest is as in
``kitchen_sounds.py``, in many sizes. Sentences, voices and sizes of the ``valid`` split are others
than those of ``train``. Enough to try every recipe and plan where no bank is at hand; figures on
it say nothing about recordings::

    pip install -e '.[train]' && python -m examples.make_bank BANK    # needs espeak-ng
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from examples.kitchen_sounds import (
    RATE,
    Sound,
    cat,
    dishes,
    dog,
    frying,
    running_water,
    speech,
)
from train.data.bank import COLUMNS, SAMPLE_RATE, TABLE, Split
from train.synthesis.oscillators import shaped_noise

COUNTS: dict[Split, int] = {"train": 60, "valid": 20}
VOICES: dict[Split, tuple[str, ...]] = {
    "train": ("en-gb+f2", "en-us+m3", "en-gb+m1", "en-us+f4", "en-gb-scotland+m7", "en-us+f1"),
    "valid": ("en-gb+f3", "en-us+m5", "en-gb-scotland+f5", "en-us+m2"),
}
WORDS: dict[Split, str] = {
    "train": "the kettle a window before morning seven people never quite remember where they "
    "left those old yellow boots and my sister thinks about music while it rains over the harbour",
    "valid": "nobody asked how much bread we should buy today because every shop in this long "
    "street opens late on a friday unless somebody calls them first",
}


def _speech(rng: np.random.Generator, split: Split) -> Sound:
    words = rng.choice(WORDS[split].split(), int(rng.integers(2, 9)))
    speed, pitch = int(rng.integers(110, 200)), int(rng.integers(25, 80))
    voice = str(rng.choice(VOICES[split]))
    return speech(" ".join(words), voice=voice, speed=speed, pitch=pitch)


MAKERS: dict[str, Callable[[np.random.Generator, Split], Sound]] = {
    "Cat": lambda rng, _: cat(pitch_hz=rng.uniform(380, 760), duration_s=rng.uniform(0.45, 1.4)),
    "Dishes": lambda rng, _: dishes(rng.uniform(1.0, 4.0), hits_per_s=rng.uniform(1.0, 4.0)),
    "Dog": lambda rng, _: dog(
        int(rng.integers(1, 5)), pitch_hz=rng.uniform(280, 800), gap_s=rng.uniform(0.15, 0.9)
    ),
    "Frying": lambda rng, _: frying(rng.uniform(4.0, 10.0)),
    "Running_water": lambda rng, _: running_water(rng.uniform(3.0, 10.0)),
    "Speech": _speech,
}


def _background(rng: np.random.Generator, _: Split) -> Sound:
    gains_db = [-rng.uniform(0, 8) * octave for octave in range(6)]

    def make(rng: np.random.Generator) -> np.ndarray:
        points_hz = [30, 100, 500, 2000, 8000, 20000]
        return shaped_noise(
            rng, 12 * RATE, points_hz=points_hz, gains_db=gains_db, sample_rate=RATE
        )

    return make


def rows(folder: Path) -> Iterator[dict[str, str]]:
    """Write the files, and yield a row of the table for each."""
    kinds = [("foreground", label, maker) for label, maker in MAKERS.items()]
    for kind, label, maker in (*kinds, ("background", "room", _background)):
        for split, count in COUNTS.items():
            for index in range(count):
                rng = np.random.default_rng([split == "valid", index, *label.encode()])
                audio = soxr.resample(maker(rng, split)(rng), RATE, SAMPLE_RATE)
                name = f"{kind}/{label}/{split}-{index:02}.flac"
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(folder / name, audio / np.abs(audio).max() * 0.9, SAMPLE_RATE)
                yield {
                    "file": name,
                    "kind": kind,
                    "label": label,
                    "source": "formulas",
                    "recording": f"{label}-{split}-{index}",
                    "split": split,
                    "seconds": f"{len(audio) / SAMPLE_RATE:.3f}",
                    "licence": "MIT",
                }


def main() -> None:
    """Make the bank in a folder."""
    parser = argparse.ArgumentParser(description="Make a recording bank without recordings.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    made = list(rows(folder))
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(made)


if __name__ == "__main__":
    main()
