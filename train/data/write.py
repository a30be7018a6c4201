"""Write soundscapes to a folder, to listen to or to evaluate on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import soundfile

from train.data.events import Event, write_tsv
from train.data.soundscape import SoundscapeGenerator


def write_soundscapes(
    generator: SoundscapeGenerator, folder: Path, *, count: int, first: int = 0
) -> dict[str, Sequence[Event]]:
    """Write scenes ``first .. first + count`` as 16-bit WAV files beside their DCASE tables.

    The folder gets ``audio/<split>-<index>.wav``, ``events.tsv`` (``filename onset offset
    event_label``) and ``durations.tsv`` (``filename duration``).

    Returns:
        Events by filename, as they are in the table.
    """
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    recordings: dict[str, Sequence[Event]] = {}
    durations = ["filename\tduration"]
    rate = generator.config.sample_rate
    for index in range(first, first + count):
        scene = generator.generate(index)
        name = f"{generator.split}-{index:06d}.wav"
        soundfile.write(folder / "audio" / name, scene.audio, rate, subtype="PCM_16")
        recordings[name] = scene.events
        durations.append(f"{name}\t{len(scene.audio) / rate:.3f}")
    write_tsv(folder / "events.tsv", recordings)
    (folder / "durations.tsv").write_text("\n".join(durations) + "\n", encoding="utf-8")
    return recordings
