"""The intersection criteria of psds_eval, counted recording by recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from streamsed.evaluate.criteria.error_counts import ErrorCounts
from streamsed.evaluate.intervals import Indices, Intervals, Pairs, overlapping

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class IntersectionCriteria:
    """When a detection is right, a true event found, and a false detection a cross trigger.

    Bilen et al. 2020, "A framework for the robust evaluation of sound event detection".

    Attributes:
        dtc: detection tolerance: the share of a detection that must lie on truth of its class.
        gtc: ground truth tolerance: the share of a true event that such detections must cover.
        cttc: the share of a false detection on truth of another class that is a cross trigger.
    """

    dtc: float
    gtc: float
    cttc: float


F1_CRITERIA = IntersectionCriteria(dtc=0.5, gtc=0.5, cttc=0.3)
"""Those of DCASE 2021's intersection-based F1."""
PARAMETERS: dict[str, float | int | str] = {
    "dtc_threshold": F1_CRITERIA.dtc,
    "gtc_threshold": F1_CRITERIA.gtc,
    "cttc_threshold": F1_CRITERIA.cttc,
    "average": "macro over the classes with truth",
}


@dataclass(frozen=True, slots=True, eq=False)
class Intersections:
    """Which detections of classes with truth lie on which true events.

    Attributes:
        found: the detections.
        pairs: detections, and true events of any class that they overlap.
        inside: ``(N,)`` which of the detections lie in their recording, if in part.
    """

    found: Intervals
    pairs: Pairs
    inside: NDArray[np.bool_]


class IntersectionCounts:
    """Counts at operating points by the criteria of psds_eval, which a test compares.

    psds_eval itself looks at all pairs of classes at each operating point, in tables of names.
    Here time and memory grow with the detections and the true events that they overlap.

    The classes that have truth are evaluated; detections of others are left out.

    Attributes:
        classes: the C classes with truth, by name.
        hits: by operating point ``(R, C)`` sparse: true events that were found.
        false: by operating point ``(R, C)`` sparse: false positives.
        cross: by operating point ``(C, Q)`` sparse: false positives of a class that are cross
            triggers with the truth of another class in a recording.
        truth_recording: ``(Q,)`` recordings of the Q pairs of a recording and a class with truth
            in it.
        truth_label: ``(Q,)`` their classes.
        truth_count: ``(R, C)`` true events.
        truth_s: ``(R, C)`` seconds of them.
        duration_s: ``(R,)``.
    """

    def __init__(
        self,
        truth: Intervals,
        criteria: IntersectionCriteria,
        *,
        duration_s: Floats,
        classes: Sequence[str],
        cross_triggers: bool = True,
    ) -> None:
        """Take the truth.

        Args:
            truth: true events, at least one; those of one class of one recording do not overlap.
            criteria: what is right.
            duration_s: ``(R,)`` of every recording.
            classes: what the labels of ``truth`` number.
            cross_triggers: whether to count them.

        Raises:
            ValueError: events overlap.
        """
        present = sorted(np.unique(truth.label).tolist(), key=lambda label: classes[label])
        self.classes = tuple(classes[label] for label in present)
        self.duration_s = duration_s
        self._criteria = criteria
        self._cross_triggers = cross_triggers
        self._numbers = np.full(len(classes), -1)
        self._numbers[present] = np.arange(len(present))
        self._truth = replace(truth, label=self._numbers[truth.label])
        _refuse_overlaps(self._truth)
        shape = (len(duration_s), len(present))
        self.truth_count = self._truth.count(recordings=shape[0], classes=shape[1])
        self.truth_s = np.zeros(shape)
        np.add.at(
            self.truth_s,
            (truth.recording, self._truth.label),
            truth.offset_s - truth.onset_s,
        )
        self.truth_recording, self.truth_label = np.nonzero(self.truth_count)
        self._truth_pair = np.full(shape, -1)
        self._truth_pair[self.truth_recording, self.truth_label] = np.arange(
            len(self.truth_recording)
        )
        self.hits: list[csr_array] = []
        self.false: list[csr_array] = []
        self.cross: list[csr_array] = []

    def intersections(self, detections: Intervals) -> Intersections:
        """Return which detections lie on which truth, for :meth:`count`.

        It is the same for all criteria with the same truth.

        Args:
            detections: labels as those of the truth; of one class of one recording none overlap.

        Raises:
            ValueError: detections overlap.
        """
        found = detections.take(np.flatnonzero(self._numbers[detections.label] >= 0))
        found = found.take(np.lexsort((found.onset_s, found.recording)))
        found = replace(found, label=self._numbers[found.label])
        _refuse_overlaps(found)
        inside = (found.onset_s < self.duration_s[found.recording]) & (found.offset_s > 0.0)
        return Intersections(found, overlapping(found, self._truth), inside)

    def count(self, intersections: Intersections) -> None:
        """Add an operating point (Bilen et al. 2020, section 3)."""
        found, pairs = intersections.found, intersections.pairs
        own = found.label[pairs.first] == self._truth.label[pairs.second]
        share = pairs.overlap_s / (found.offset_s - found.onset_s)[pairs.first]
        relevant = np.zeros(len(found), bool)
        on_own, precision = _sums(pairs.first[own], share[own])
        relevant[on_own[precision >= self._criteria.dtc]] = True
        covering = own & relevant[pairs.first]
        true, coverage = _sums(
            pairs.second[covering],
            pairs.overlap_s[covering]
            / (self._truth.offset_s - self._truth.onset_s)[pairs.second[covering]],
        )
        hit = self._truth.take(true[coverage >= self._criteria.gtc])
        false = found.take(np.flatnonzero(intersections.inside & ~relevant))
        self.hits.append(_counted(hit.recording, hit.label, self.truth_count.shape))
        self.false.append(_counted(false.recording, false.label, self.truth_count.shape))
        if self._cross_triggers:
            self.cross.append(self._cross(found, pairs.where(~own & ~relevant[pairs.first])))

    def _cross(self, found: Intervals, pairs: Pairs) -> csr_array:
        """Count cross triggers of false detections with what else they overlap."""
        width = len(self.classes)
        share = pairs.overlap_s / (found.offset_s - found.onset_s)[pairs.first]
        with_other, overlap = _sums(pairs.first * width + self._truth.label[pairs.second], share)
        detection, other = np.divmod(with_other[overlap >= self._criteria.cttc], width)
        pair = self._truth_pair[found.recording[detection], other]
        return _counted(found.label[detection], pair, (width, len(self.truth_recording)))

    def error_counts(self, classes: Sequence[str]) -> list[ErrorCounts]:
        """Return what was found, missed and invented at each operating point, of all classes."""
        columns = [list(classes).index(name) for name in self.classes]
        counts = []
        for hit, false in zip(self.hits, self.false, strict=True):
            hits, wrong, missed = np.zeros((3, len(self.duration_s), len(classes)), np.int64)
            hits[:, columns] = hit.toarray()
            wrong[:, columns] = false.toarray()
            missed[:, columns] = self.truth_count - hits[:, columns]
            counts.append(ErrorCounts(hits, wrong, missed))
        return counts


def _sums(groups: Indices, values: Floats) -> tuple[Indices, Floats]:
    """Return the groups that there are, and the sum of each: with pandas, as psds_eval adds."""
    sums = pd.Series(values).groupby(groups).sum()
    return sums.index.to_numpy(np.int64), sums.to_numpy(np.float64)


def _counted(row: Indices, column: Indices, shape: tuple[int, ...]) -> csr_array:
    """Return how often each pair occurs."""
    counts = coo_array((np.ones(len(row)), (row, column)), shape=shape).tocsr()
    return csr_array(counts)


def _refuse_overlaps(events: Intervals) -> None:
    """Raise ValueError where events of one class of one recording overlap."""
    order = np.lexsort((events.onset_s, events.label, events.recording))
    ordered = events.take(order)
    same = (np.diff(ordered.recording) == 0) & (np.diff(ordered.label) == 0)
    if (same & (ordered.onset_s[1:] < ordered.offset_s[:-1])).any():
        raise ValueError("events of one class overlap")


def intersection_counts(
    points: Iterable[pd.DataFrame],
    truth: pd.DataFrame,
    *,
    durations_s: Mapping[str, float],
    classes: Sequence[str],
) -> list[ErrorCounts]:
    """Count by psds_eval's intersection criteria (dtc 0.5, gtc 0.5, cttc 0.3; DCASE 2021).

    A detection is wrong if less than half of it lies on truth of its class; a true event is
    found if the other detections cover half of it. Of classes without truth nothing is counted.

    Args:
        points: event tables, one an operating point.
        truth: event table.
        durations_s: every recording and its length.
        classes: the C classes.
    """
    recordings = tuple(durations_s)
    if truth.empty:
        nothing = np.zeros((len(recordings), len(classes)), np.int64)
        return [ErrorCounts(nothing, nothing, nothing) for _ in points]
    evaluation = IntersectionCounts(
        Intervals.of(truth, recordings=recordings, classes=classes),
        F1_CRITERIA,
        duration_s=np.array(list(durations_s.values()), np.float64),
        classes=classes,
        cross_triggers=False,
    )
    for events in points:
        detections = Intervals.of(events, recordings=recordings, classes=classes)
        evaluation.count(evaluation.intersections(detections))
    return evaluation.error_counts(classes)
