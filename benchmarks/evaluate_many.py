"""Reading an evaluation of many recordings: time by recordings, which should grow with them.

About a minute. Prints seconds of processor time for 5,000, 10,000 and 20,000 recordings with five
events each, and the ratio of the last to the first; 4 is linear.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import process_time

import numpy as np

from streamsed.evaluate.reading import read_material

EVENTS = 5
COUNTS = (5_000, 10_000, 20_000)
CLASSES = 10


def write(folder: Path, recordings: int) -> tuple[Path, Path]:
    """Write a ground truth and durations; return both."""
    rng = np.random.default_rng(0)
    truth, durations = folder / f"truth-{recordings}.tsv", folder / f"durations-{recordings}.tsv"
    with truth.open("w", encoding="utf-8") as file:
        file.write("filename\tonset\toffset\tevent_label\n")
        for recording in range(recordings):
            for label, onset in zip(
                rng.integers(CLASSES, size=EVENTS), rng.uniform(0, 8, EVENTS), strict=True
            ):
                file.write(f"r{recording}.wav\t{onset:.3f}\t{onset + 1:.3f}\tclass {label}\n")
    rows = (f"r{recording}.wav\t10\n" for recording in range(recordings))
    durations.write_text("filename\tduration\n" + "".join(rows), encoding="utf-8")
    return truth, durations


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as name:
        times_s = []
        for recordings in COUNTS:
            truth, durations = write(Path(name), recordings)
            began = process_time()
            read_material(ground_truth=truth, durations=durations, events=truth)
            times_s.append(process_time() - began)
            print(f"{recordings} recordings: {times_s[-1]:.2f} s", flush=True)
        print(
            f"{COUNTS[-1] // COUNTS[0]} times as many take {times_s[-1] / times_s[0]:.1f} as long"
        )


if __name__ == "__main__":
    main()
