"""A bank of seconds of made-up sound, in the layout of the real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
BURST_S = (0.4, 0.9)  # where the sound is in every made-up speech clip


def _row(file: str, recording: str, split: str) -> dict[str, str]:
    kind, label, _ = file.split("/")
    return {
        "file": file,
        "kind": kind,
        "label": label,
        "source": "tones",
        "recording": recording,
        "split": split,
        "seconds": "1.5" if label == "Speech" else "3.0",
        "licence": "CC0-1.0",
    }


ROWS = [
    _row("foreground/Speech/speech-a.wav", "voice-a", "train"),
    _row("foreground/Speech/speech-b.wav", "voice-a", "train"),
    _row("foreground/Frying/frying.wav", "pan", "train"),
    _row("foreground/Speech/speech-v.wav", "voice-valid", "valid"),
    _row("foreground/Frying/frying-v.wav", "pan-valid", "valid"),
    _row("distractor/door/door.wav", "door", "train"),
    _row("distractor/door/door-v.wav", "door-valid", "valid"),
    _row("background/fridge/fridge.wav", "fridge", "train"),
    _row("background/fridge/fridge-v.wav", "fridge-valid", "valid"),
    _row("rir/hall/hall.wav", "hall", "train"),
]


def write_bank(folder: Path) -> Path:
    """Write the bank below ``folder`` and return it."""
    rng = np.random.default_rng(7)
    for row in ROWS:
        n = int(float(row["seconds"]) * RATE)
        time_s = np.arange(n) / RATE
        audio = 0.2 * rng.standard_normal(n)
        if row["label"] == "Speech":
            on, off = BURST_S
            audio = 0.5 * np.sin(2 * np.pi * 440.0 * time_s) * ((time_s >= on) & (time_s < off))
        elif row["kind"] == "rir":
            audio = np.zeros(n)
            audio[500], audio[900] = 1.0, 0.4
        path = folder / row["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, audio.clip(-1.0, 1.0), RATE, subtype="PCM_16")
    lines = ["\t".join(ROWS[0]), *("\t".join(row.values()) for row in ROWS)]
    (folder / "bank.tsv").write_text("\n".join(lines) + "\n")
    return folder
