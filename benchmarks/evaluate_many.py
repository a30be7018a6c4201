"""Evaluations of many recordings, and of many classes: time, which should grow with them.

Two minutes. Prints seconds of processor time

- of reading 5,000, 10,000 and 20,000 recordings with five events each, and the ratio of the last
  to the first; 4 is linear;
- of measuring everything of 150 recordings of ten seconds with 51, 102, 204 and 407 classes (as
  many as AudioSet's strong labels have), scores and 100 resamples; 8 is linear.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import process_time

import numpy as np
from scipy.ndimage import uniform_filter1d

from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.measure import evaluate
from streamsed.evaluate.reading.evaluation_data import read_evaluation_data
from streamsed.evaluate.tables import event_table

EVENTS = 5
COUNTS = (5_000, 10_000, 20_000)
CLASSES = 10
MANY_CLASSES = (51, 102, 204, 407)
RECORDINGS, FRAMES, FRAME_S = 150, 156, 0.064
TRUE_EVENTS = 8


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


def many_classes(classes: int) -> EvaluationData:
    """Return recordings with eight events each, and scores that are noise and know half of them."""
    rng = np.random.default_rng(0)
    names = tuple(f"class {c}" for c in range(classes))
    edges_s = np.arange(FRAMES + 1) * FRAME_S
    rows, scores = [], {}
    for recording in (f"r{r}" for r in range(RECORDINGS)):
        logits = uniform_filter1d(rng.normal(-4.5, 1.6, (FRAMES, classes)), 5, axis=0)
        for label in rng.choice(classes, TRUE_EVENTS, replace=False):
            onset_s = rng.uniform(0, 8)
            offset_s = min(onset_s + rng.uniform(0.3, 4), edges_s[-1])
            rows.append((recording, onset_s, offset_s, names[label]))
            sounding = (edges_s[:-1] >= onset_s) & (edges_s[:-1] < offset_s)
            logits[sounding, label] += rng.uniform(0, 7)
            logits[sounding, rng.integers(classes)] += rng.uniform(0, 5)
        scores[recording] = ScoreTable(edges_s, (1 / (1 + np.exp(-logits))).astype(np.float32))
    return EvaluationData(
        classes=names,
        durations_s=dict.fromkeys(scores, float(edges_s[-1])),
        truth=event_table(rows),
        scores=scores,
    )


def main() -> None:
    """Measure, and print."""
    recordings()
    classes()


def classes() -> None:
    """Measure with more and more classes."""
    times_s = []
    for count in MANY_CLASSES:
        data = many_classes(count)
        began = process_time()
        evaluate(data, bootstrap=100)
        times_s.append(process_time() - began)
        print(f"{count} classes: {times_s[-1]:.2f} s", flush=True)
    print(f"8 times as many classes take {times_s[-1] / times_s[0]:.1f} times as long")


def recordings() -> None:
    """Read more and more recordings."""
    with tempfile.TemporaryDirectory() as name:
        times_s = []
        for recordings in COUNTS:
            truth, durations = write(Path(name), recordings)
            began = process_time()
            read_evaluation_data(ground_truth=truth, durations=durations, events=truth)
            times_s.append(process_time() - began)
            print(f"{recordings} recordings: {times_s[-1]:.2f} s", flush=True)
        print(
            f"{COUNTS[-1] // COUNTS[0]} times as many take {times_s[-1] / times_s[0]:.1f} as long"
        )


if __name__ == "__main__":
    main()
