"""Threshold-independent PSDS: over every threshold that divides the scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from streamsed.evaluate.criteria.psds import PSDSCriteria
from streamsed.evaluate.criteria.score_runs import ScoreRuns, score_runs
from streamsed.evaluate.criteria.staircases import Staircase, psds_below
from streamsed.evaluate.data import ScoreTable
from streamsed.evaluate.intervals import Intervals

Floats = NDArray[np.float64]

WORK_LIMIT = 2 * 10**10
"""Comparisons of runs of scores with true events that it may take: a minute or two."""
_DECIMALS = 6  # of seconds, as sed_scores_eval compares them
_AT_ONCE = 2**20  # scores; bounds the memory


@dataclass(frozen=True, slots=True, eq=False)
class _Changes:
    """How sums over the detections change as the threshold falls below some scores.

    Attributes:
        label: ``(N,)`` class.
        score: ``(N,)``.
        sums: ``(N, 3)`` true events that are found; false positives; cross triggers, each over
            the seconds of truth of the other class.
    """

    label: NDArray[np.int64]
    score: NDArray[np.float32]
    sums: Floats


def exact_psds(
    scores: Mapping[str, ScoreTable],
    truth: pd.DataFrame,
    criteria: PSDSCriteria,
    *,
    durations_s: Mapping[str, float],
    classes: Sequence[str],
) -> tuple[float, dict[str, float]]:
    """Return the PSDS over every threshold there is, and the area of each class with truth.

    Ebbers, Serizel, Haeb-Umbach 2022, "Threshold-independent evaluation of sound event detection
    scores". It is at least the PSDS over some thresholds, up to rounding. The values are those of
    ``sed_scores_eval.intersection_based.psds``, which a test holds: its time and memory grow with
    the square of the classes and the cube of a recording's length, and here with the scores.
    """
    occurring = set(truth["event_label"])
    present = [name for name in classes if name in occurring]
    if not present:
        return float("nan"), {}
    # A class alone has no cross triggers.
    alpha_ct = criteria.alpha_ct if len(present) > 1 else 0.0
    recordings = tuple(durations_s)
    true = Intervals.of(truth, recordings=recordings, classes=present)
    lengths_s = true.offset_s - true.onset_s
    truth_s = np.bincount(true.label, lengths_s, minlength=len(present)).astype(np.float64)
    columns = [list(classes).index(name) for name in present]
    tables = [scores[name] for name in recordings]
    changes = _together(list(_changes(tables, true, criteria, truth_s=truth_s, columns=columns)))
    weights = np.array([0.0, 1.0, alpha_ct / max(len(present) - 1, 1)]) * 3600
    weights[1] /= sum(durations_s.values())
    limit = criteria.max_efpr_per_hour
    truth_count = np.bincount(true.label, minlength=len(present)).tolist()
    curves = [
        _curve(changes, label, weights, truth_count=count, limit=limit)
        for label, count in enumerate(truth_count)
    ]
    value = psds_below(curves, alpha_st=criteria.alpha_st, end=limit)
    return value, {name: curve.area(limit) for name, curve in zip(present, curves, strict=True)}


def too_much(
    scores: Mapping[str, ScoreTable],
    truth: pd.DataFrame,
    *,
    recordings: Sequence[str],
    classes: Sequence[str],
) -> str:
    """Return why the exact PSDS would take too much time; empty if it would not."""
    intervals = Intervals.of(truth, recordings=recordings, classes=classes)
    events = np.bincount(intervals.recording, minlength=len(recordings)).tolist()
    work = [
        len(scores[name].scores) * count for name, count in zip(recordings, events, strict=True)
    ]
    if sum(work) <= WORK_LIMIT:
        return ""
    longest = recordings[int(np.argmax(work))]
    return f"it would compare {sum(work):.0e} runs of scores with true events, most in {longest}"


def _changes(
    tables: Sequence[ScoreTable],
    truth: Intervals,
    criteria: PSDSCriteria,
    *,
    truth_s: Floats,
    columns: Sequence[int],
) -> Iterator[_Changes]:
    """Yield the changes in each recording, some classes at once."""
    order = np.argsort(truth.recording, kind="stable")
    bounds = np.searchsorted(truth.recording[order], np.arange(len(tables) + 1))
    for recording, table in enumerate(tables):
        true = truth.take(order[bounds[recording] : bounds[recording + 1]])
        step = max(1, _AT_ONCE // len(table.scores))
        for start in range(0, len(columns), step):
            some = columns[start : start + step]
            runs = score_runs(table.scores[:, some])
            yield from _of_recording(
                runs, table.edges_s, true, criteria, truth_s=truth_s, first_label=start
            )


def _of_recording(
    runs: ScoreRuns,
    edges_s: Floats,
    truth: Intervals,
    criteria: PSDSCriteria,
    *,
    truth_s: Floats,
    first_label: int,
) -> Iterator[_Changes]:
    """Yield the changes of the false detections, then those of each true event."""
    label = first_label + runs.column
    onset_s, offset_s = edges_s[runs.first], edges_s[runs.end]
    length_s = offset_s - onset_s
    on_truth_s = {
        other: _on_truth_s(runs, edges_s, truth.take(np.flatnonzero(truth.label == other)))
        for other in np.unique(truth.label).tolist()
    }
    own_s = np.zeros(len(label))
    for other, overlap_s in on_truth_s.items():
        own_s[label == other] = overlap_s[label == other]
    relevant = np.round(own_s, _DECIMALS) >= np.round(criteria.dtc * length_s, _DECIMALS)
    cross = np.zeros(len(label))
    if criteria.alpha_ct > 0:
        enough_s = np.round(criteria.cttc * length_s, _DECIMALS)
        for other, overlap_s in on_truth_s.items():
            met = ~relevant & (label != other) & (np.round(overlap_s, _DECIMALS) >= enough_s)
            cross += met / truth_s[other]
    false, cross = runs.changes((~relevant).astype(np.float64)), runs.changes(cross)
    changed = np.flatnonzero((false != 0) | (cross != 0))
    sums = np.stack([np.zeros(len(changed)), false[changed], cross[changed]], axis=1)
    yield _Changes(label[changed], runs.score[changed], sums)
    absorbed_at = runs.absorbed_at
    for event in range(len(truth)):
        own = slice(*np.searchsorted(label, truth.label[event] + np.arange(2)))
        covered_s = np.minimum(offset_s[own], truth.offset_s[event]) - np.maximum(
            onset_s[own], truth.onset_s[event]
        )
        covering = np.flatnonzero(relevant[own] & (covered_s > 0))
        needed_s = criteria.gtc * (truth.offset_s[event] - truth.onset_s[event])
        score, hits = _coverage_changes(
            runs.score[own][covering],
            absorbed_at[own][covering],
            covered_s[covering],
            needed_s=needed_s,
        )
        sums = np.stack([hits, np.zeros(len(hits)), np.zeros(len(hits))], axis=1)
        yield _Changes(np.full(len(hits), truth.label[event]), score, sums)


def _on_truth_s(runs: ScoreRuns, edges_s: Floats, truth: Intervals) -> Floats:
    """Return for how long each run ``(N,)`` lies on true events of one class."""
    order = np.argsort(truth.onset_s)
    onset_s, offset_s = truth.onset_s[order], truth.offset_s[order]
    after_s = np.cumsum(offset_s - onset_s)
    before_s = np.append(0.0, after_s[:-1])
    moments_s = np.stack([onset_s, offset_s], axis=1).ravel()
    so_far_s = np.interp(edges_s, moments_s, np.stack([before_s, after_s], axis=1).ravel())
    return np.asarray(so_far_s[runs.end] - so_far_s[runs.first], np.float64)


def _coverage_changes(
    detected_below: NDArray[np.float32],
    absorbed_below: NDArray[np.float32],
    covered_s: Floats,
    *,
    needed_s: float,
) -> tuple[NDArray[np.float32], Floats]:
    """Return at which scores a true event becomes found (1) or is no longer (-1)."""
    score = np.append(detected_below, absorbed_below)
    order = np.argsort(-score, kind="stable")
    score = score[order]
    total_s = np.round(np.cumsum(np.append(covered_s, -covered_s)[order]), _DECIMALS)
    last = np.append(score[1:] != score[:-1], True)[: len(score)] & (score > -np.inf)
    found = (total_s[last] >= np.round(needed_s, _DECIMALS)).astype(np.float64)
    hits = np.diff(found, prepend=0.0)
    return score[last][hits != 0], hits[hits != 0]


def _together(parts: Sequence[_Changes]) -> _Changes:
    """Return all changes by class, and in each from the highest score on."""
    label = np.concatenate([part.label for part in parts])
    score = np.concatenate([part.score for part in parts])
    order = np.lexsort((-score, label))
    sums = np.concatenate([part.sums for part in parts])
    return _Changes(label[order], score[order], sums[order])


def _curve(
    changes: _Changes, label: int, weights: Floats, *, truth_count: int, limit: float
) -> Staircase:
    """Return the true positive ratio of a class over the effective false positives an hour."""
    own = slice(*np.searchsorted(changes.label, [label, label + 1]))
    score = changes.score[own]
    last = np.append(score[1:] != score[:-1], True)[: len(score)]
    sums = np.cumsum(changes.sums[own], axis=0)[last]
    efpr = np.append(0.0, sums @ weights)
    tpr = np.append(0.0, sums[:, 0] / truth_count)
    return Staircase.through(efpr[efpr <= limit], tpr[efpr <= limit])
