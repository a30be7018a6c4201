"""Small datasets, drawn at random: what hypothesis feeds the metrics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from streamsed.evaluate.data import EvaluationData, ScoreTable
from streamsed.evaluate.metrics.detections import merge_overlapping
from streamsed.evaluate.tables import EVENT_COLUMNS, event_table

CLASSES = ("Cat", "Dog", "Speech")
DURATION_S = 10.0
RECORDINGS = ("a", "b", "c", "d")


@st.composite
def event_tables(draw: st.DrawFn, *, apart: bool) -> pd.DataFrame:
    """Events on a grid of 50 ms, so that collars and shares are met exactly now and then.

    Args:
        draw: from hypothesis.
        apart: whether events of one class never touch, as in a truth; else they only never
            overlap.
    """
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(RECORDINGS),
                st.integers(0, 190),
                st.integers(1, 60),
                st.sampled_from(CLASSES),
            ),
            max_size=25,
        )
    )
    table = event_table(
        (name, first * 0.05, min(first + length, 200) * 0.05, label)
        for name, first, length, label in rows
    )
    return merge_overlapping(table, touching=apart)


@st.composite
def datasets(draw: st.DrawFn) -> EvaluationData:
    """Truth, and scores that know something of it; frames of 100 ms."""
    truth = draw(event_tables(apart=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    edges_s = np.arange(101) * 0.1
    scores = {name: rng.beta(1, 5, (25, 3)).repeat(4, axis=0) for name in RECORDINGS}
    for row in truth.itertuples():
        frames = slice(int(row.onset / 0.1), int(row.offset / 0.1) + 1)
        scores[row.filename][frames, CLASSES.index(row.event_label)] += rng.uniform(0, 0.7)
    return EvaluationData(
        classes=CLASSES,
        durations_s=dict.fromkeys(RECORDINGS, DURATION_S),
        truth=truth,
        scores={
            name: ScoreTable(edges_s, np.clip(array, 0, 1).astype(np.float32))
            for name, array in scores.items()
        },
    )


def noisy_data(seed: int, recordings: int = 12) -> EvaluationData:
    """The same by seed, with every class in the truth, in as many recordings as wanted."""
    rng = np.random.default_rng(seed)
    names = [f"r{k}" for k in range(recordings)]
    edges_s = np.arange(101) * 0.1
    rows, scores = [], {}
    for k, name in enumerate(names):
        logits = rng.normal(-2.5, 1.2, (25, 3)).repeat(4, axis=0)
        for c in {k % 3, int(rng.integers(3))}:
            onset, length = rng.uniform(0, 6), rng.uniform(0.5, 3)
            rows.append((name, onset, onset + length, CLASSES[c]))
            logits[round(onset / 0.1) : round((onset + length) / 0.1), c] += rng.normal(3, 1.5)
        scores[name] = ScoreTable(edges_s, (1 / (1 + np.exp(-logits))).astype(np.float32))
    return EvaluationData(
        classes=CLASSES,
        durations_s=dict.fromkeys(names, DURATION_S),
        truth=event_table(rows),
        scores=scores,
    )


def perfect_data() -> EvaluationData:
    """Two recordings in which the scores are the truth."""
    truth = event_table(
        [
            ("a", 1.0, 3.0, "Cat"),
            ("a", 5.0, 6.0, "Dog"),
            ("b", 2.0, 4.0, "Cat"),
            ("b", 7.0, 9.0, "Dog"),
        ]
    )
    edges_s = np.round(np.arange(101) * 0.1, 1)
    scores = {name: np.zeros((100, 2), np.float32) for name in ("a", "b")}
    for row in truth.itertuples():
        column = ("Cat", "Dog").index(row.event_label)
        scores[row.filename][round(row.onset / 0.1) : round(row.offset / 0.1), column] = 1.0
    return EvaluationData(
        classes=("Cat", "Dog"),
        durations_s={"a": 10.0, "b": 10.0},
        truth=truth,
        scores={name: ScoreTable(edges_s, array) for name, array in scores.items()},
    )


def shuffled(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return the rows of an event table in another order."""
    return table.sample(frac=1, random_state=seed)[EVENT_COLUMNS]


def duration_table(durations_s: Mapping[str, float]) -> pd.DataFrame:
    """Return durations as psds_eval wants them, for calls of the library itself."""
    return pd.DataFrame(list(durations_s.items()), columns=["filename", "duration"])
