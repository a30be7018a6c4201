"""What loudness, a gain and a high-pass do to detection in the example recording.

    python benchmarks/gain.py      # two minutes on an idle machine

The example is replayed softer and louder, with `gain_db` of 0, of what was taken away (up to 60)
and `auto`; with its channel inverted beside itself, where the mix cancels; and through high-pass
filters of second order, with and without rumble and mains hum, by ffmpeg. An event is found if one
of the same class overlaps it by 30 % of the shorter one, and false if none does.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from streamsed.sources.ffmpeg import find_ffmpeg

EXAMPLE = Path("examples/kitchen.ogg")
TRUTH = Path("examples/kitchen.tsv")
LEVELS_DB = (20, 10, 0, -10, -20, -30, -40, -50, -60)
CUTOFFS_HZ = (40, 80, 120, 200)
RUMBLE = "anoisesrc=r=44100:d=90:c=brown:a=1,lowpass=f=60,lowpass=f=60,volume=0.4"
HUM = "sine=f=50:r=44100:d=90,volume=0.8"

Event = tuple[float, float, str]


def render(target: Path, chain: str, *noise: str) -> None:
    """Write the example through a filter chain, with a noise added before it."""
    inputs = [part for source in noise for part in ("-f", "lavfi", "-i", source)]
    mix = f"amix=inputs={1 + len(noise)}:normalize=0:duration=first"
    command = [str(find_ffmpeg()), "-v", "error", "-i", str(EXAMPLE), *inputs]
    command += ["-filter_complex", f"{mix},{chain}", "-ar", "16000", "-c:a", "pcm_f32le"]
    subprocess.run([*command, str(target)], check=True)


def events(table: Path) -> dict[str, list[Event]]:
    """Return events by recording."""
    found = defaultdict(list)
    with table.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            event = float(row["onset"]), float(row["offset"]), row["event_label"]
            found[row["filename"]].append(event)
    return found


def overlap(one: Event, other: Event) -> bool:
    """Whether one may be the detection of the other."""
    shorter = min(one[1] - one[0], other[1] - other[0])
    return one[2] == other[2] and min(one[1], other[1]) - max(one[0], other[0]) > 0.3 * shorter


def replay(folder: Path, gain_db: object) -> dict[str, str]:
    """Replay a folder; return the figures by recording."""
    out = folder.parent / f"out-{folder.name}-{gain_db}"
    command = [sys.executable, "-m", "streamsed", "replay", str(folder), "-q", "-o", str(out)]
    subprocess.run([*command, f"--gain-db={gain_db}"], check=True, stderr=subprocess.DEVNULL)
    truth, detected = next(iter(events(TRUTH).values())), events(out / "events.tsv")
    figures = {}
    for path in sorted(folder.iterdir()):
        mine = detected[path.name]
        hits = sum(any(overlap(each, one) for one in mine) for each in truth)
        false = sum(not any(overlap(each, one) for each in truth) for one in mine)
        figures[path.stem] = f"{hits} of {len(truth)} found, {false} false"
    return figures


def main() -> None:
    """Print all figures."""
    with tempfile.TemporaryDirectory() as name:
        levels, filters = Path(name) / "levels", Path(name) / "filters"
        levels.mkdir()
        filters.mkdir()
        for level_db in LEVELS_DB:
            render(levels / f"{level_db} dB.wav", f"volume={level_db}dB")
        render(levels / "inverted.wav", "aeval=val(0)|-0.98*val(0):c=stereo")
        for kind, noise in (("clean", ()), ("rumble", (RUMBLE,)), ("hum", (HUM,))):
            render(filters / f"{kind}, no filter.wav", "anull", *noise)
            for cutoff_hz in CUTOFFS_HZ:
                target = filters / f"{kind}, high-pass {cutoff_hz} Hz.wav"
                render(target, f"highpass=f={cutoff_hz}", *noise)
        for gain_db in (0, 30, "auto"):
            for recording, figure in replay(levels, gain_db).items():
                print(f"gain_db {gain_db:>4}  {recording:<24} {figure}")
        for recording, figure in replay(filters, 0).items():
            print(f"{recording:<38} {figure}")


if __name__ == "__main__":
    main()
