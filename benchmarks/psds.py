"""How long an evaluation takes: PSDS, exact PSDS, bootstrap, everything.

    python benchmarks/psds.py [--recordings 1168] [--classes 10] [--resamples 1000]

The set is made on the fly, of the size of the DESED validation set: 10 s recordings, 156 frames,
three events each, and scores so noisy that a threshold of 0.01 finds twenty events a recording.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from streamsed.evaluate.criteria.exact_psds import exact_psds
from streamsed.evaluate.criteria.psds import PSDS1, PSDS2, psds
from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.measure import evaluate
from streamsed.evaluate.metrics.bootstrap import confidence_intervals
from streamsed.evaluate.metrics.thresholds import THRESHOLDS, ScoreStack
from streamsed.evaluate.tables import event_table

T = TypeVar("T")
DURATION_S, FRAME_S, FRAMES = 10.0, 0.064, 156


def main() -> None:
    """Build the set and print seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=1168)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    data = build(arguments.recordings, arguments.classes)
    assert data.scores is not None
    print(
        f"{arguments.recordings} recordings of {DURATION_S:g} s, {arguments.classes} classes,"
        f" {FRAMES} frames, {len(data.truth)} true events"
    )

    def both_psds() -> list[object]:
        assert data.scores is not None
        stack = ScoreStack(data.scores, data.classes)
        points = [stack.events(threshold) for threshold in THRESHOLDS]
        return [
            psds(points, data.truth, criteria, durations_s=data.durations_s)
            for criteria in (PSDS1, PSDS2)
        ]

    results = timed("PSDS1 and PSDS2 over 50 thresholds", both_psds)

    def exact() -> list[object]:
        assert data.scores is not None
        return [
            exact_psds(
                data.scores,
                data.truth,
                criteria,
                durations_s=data.durations_s,
                classes=data.classes,
            )
            for criteria in (PSDS1, PSDS2)
        ]

    timed("exact PSDS1 and PSDS2", exact)
    timed(
        f"bootstrap of both PSDS, {arguments.resamples} resamples",
        lambda: confidence_intervals(
            {str(k): result.resampled for k, result in enumerate(results)},  # type: ignore[attr-defined]
            recordings=arguments.recordings,
            resamples=arguments.resamples,
            seed=0,
        ),
    )
    timed("evaluate without bootstrap", lambda: evaluate(data, bootstrap=0))
    evaluation = timed(
        f"evaluate with {arguments.resamples} resamples",
        lambda: evaluate(data, bootstrap=arguments.resamples),
    )
    for metric in evaluation.metrics:
        interval = metric.interval
        range_ = "" if interval is None else f"  [{interval.low:.4f}, {interval.high:.4f}]"
        print(f"  {metric.key:16} {metric.value:.4f}{range_}")


def timed(what: str, work: Callable[[], T]) -> T:
    """Print how many seconds ``work`` takes, and return what it returns."""
    start, busy = time.perf_counter(), time.process_time()
    result = work()
    elapsed, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"{what}: {elapsed:.1f} s ({busy:.1f} s of CPU)", flush=True)
    return result


def build(recordings: int, classes: int) -> EvaluationData:
    """Return recordings with true events, and scores of a middling detector."""
    rng = np.random.default_rng(0)
    labels = tuple(f"class {c}" for c in range(classes))
    edges_s = np.minimum(np.arange(FRAMES + 1) * FRAME_S, DURATION_S)
    rows: list[tuple[str, float, float, str]] = []
    scores = {}
    for r in range(recordings):
        name = f"{r}.wav"
        logits = gaussian_filter1d(rng.normal(0, 1, (FRAMES, classes)), 2, axis=0) * 5 - 4
        ends = np.zeros(classes)
        for _ in range(rng.poisson(3.3)):
            c = rng.integers(classes)
            onset = rng.uniform(ends[c] + 0.3, ends[c] + 6)
            offset = min(onset + min(rng.lognormal(0.3, 1.0), 10), DURATION_S)
            if offset - onset < 0.1:
                continue
            ends[c] = offset
            rows.append((name, onset, offset, labels[c]))
            logits[int(onset / FRAME_S) : int(offset / FRAME_S) + 1, c] += rng.normal(5, 2)
        probabilities = (1 / (1 + np.exp(-logits))).astype(np.float32)
        filtered = median_filter(probabilities, size=(7, 1), mode="nearest")
        scores[name] = ScoreTable(edges_s, filtered)
    return EvaluationData(
        classes=labels,
        durations_s=dict.fromkeys(scores, DURATION_S),
        truth=event_table(rows),
        scores=scores,
    )


if __name__ == "__main__":
    main()
