"""A data set in MAESTRO Real's shape whose classes are a tone and noise, of two scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.train.trees import RATE, write_table, write_wav

SCENES = {"home": ("Speech", "Frying"), "street": ("Speech",)}
RECORDINGS = 5
SECONDS = 4


def write_soft_set(root: Path, *, seconds: int = SECONDS) -> Path:
    """Write recordings, soft labels a second, and five folds."""
    rng = np.random.default_rng(4)
    for scene, classes in SCENES.items():
        for which in range(RECORDINGS):
            name = f"{scene}_{which:02d}"
            audio = 0.003 * rng.standard_normal(seconds * RATE)
            lines = []
            for second in range(seconds):
                part = slice(second * RATE, (second + 1) * RATE)
                for label in classes:
                    if rng.random() < 0.5:
                        value = float(rng.uniform(0.5, 1.0))
                        time_s = np.arange(RATE) / RATE
                        tone = 0.2 * np.sin(2 * np.pi * 440.0 * time_s)
                        noise = 0.1 * rng.standard_normal(RATE)
                        audio[part] += tone if label == "Speech" else noise
                    else:
                        value = float(rng.uniform(0.0, 0.3))
                    lines.append(f"{second}\t{second + 1}\t{label}\t{value:.4f}\n")
            write_wav(root / f"development_audio/{scene}/{name}.wav", audio.astype(np.float32))
            table = root / f"development_annotation/soft_labels_{scene}/{name}.txt"
            table.parent.mkdir(parents=True, exist_ok=True)
            table.write_text("".join(lines))
    for fold in range(1, 6):
        parts: dict[str, list[tuple[str]]] = {"train": [], "val": [], "test": []}
        for scene in SCENES:
            for which in range(RECORDINGS):
                part = {0: "test", 1: "val"}.get((which - fold) % 5, "train")
                parts[part].append((f"{scene}/{scene}_{which:02d}",))
        for part, rows in parts.items():
            write_table(root / f"development_folds/fold{fold}_{part}.csv", "filename", rows)
    return root
