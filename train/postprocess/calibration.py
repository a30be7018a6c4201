"""Calibration: fit a bundle's postprocessing on replayed recordings, and measure what it brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from streamsed.bundle.manifest import ClassPostprocessing
from streamsed.errors import ConfigError
from train.postprocess.choices import ObjectiveName, WindowMethod
from train.postprocess.decoding import Decoding
from train.postprocess.folds import assign_folds
from train.postprocess.intervals import Intervals
from train.postprocess.metrics import Metrics, measure
from train.postprocess.objective import (
    FALSE_ALARM_PRICE,
    EventF1,
    FalseAlarmLimit,
    Objective,
    PricedF1,
)
from train.postprocess.psd_roc import psd_roc_area
from train.postprocess.replayed import Replayed
from train.postprocess.search import ClassSearch, Fitted, SearchGrid


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """How a bundle is calibrated.

    Attributes:
        objective: EVENT_F1: of each class, and so the macro F1. PSDS1 does not know thresholds:
            windows are chosen for the area below each class's own PSD-ROC, then thresholds for
            its event F1. FALSE_ALARMS: at most ``limit_per_hour`` of each class, and within that
            the best intersection F1. BALANCED: the mean of event F1 and intersection F1, less a
            price of false alarms.
        limit_per_hour: false alarms an hour a class; for FALSE_ALARMS, and nothing else.
        windows: SEARCH tries those of the grid. EVENT_SPECIFIC and AVERAGE take them from
            training labels; see :class:`~train.postprocess.windows.WindowConfig`. KEEP leaves them.
        folds: parts of the recordings for the cross-validated figures; 0 for none. See
            :func:`~train.postprocess.folds.assign_folds`.
        grid: what is tried.
    """

    objective: ObjectiveName = ObjectiveName.EVENT_F1
    limit_per_hour: float | None = None
    windows: WindowMethod = WindowMethod.SEARCH
    folds: int = 2
    grid: SearchGrid = field(default_factory=SearchGrid)

    def __post_init__(self) -> None:
        limited = self.objective is ObjectiveName.FALSE_ALARMS
        if limited and self.limit_per_hour is None:
            raise ConfigError(
                f"objective {self.objective}: --limit is missing, "
                "the false alarms an hour that each class may give"
            )
        if not limited and self.limit_per_hour is not None:
            raise ConfigError(
                f"--limit is for objective {ObjectiveName.FALSE_ALARMS}; it is {self.objective}"
            )
        if self.limit_per_hour is not None and not 0.0 <= self.limit_per_hour < float("inf"):
            raise ConfigError(f"--limit is {self.limit_per_hour}; 0 or more would be right")
        if self.folds < 0 or self.folds == 1:
            raise ConfigError(f"--folds is {self.folds}; 2 or more, or 0 for none, would be right")

    def check_recordings(self, count: int) -> None:
        """Check that recordings are enough for the folds.

        Raises:
            ConfigError: they are not.
        """
        if self.folds > count:
            raise ConfigError(
                f"--folds is {self.folds}, but the recordings are {count}; "
                "0 leaves the cross-validation out"
            )

    @property
    def search_grid(self) -> SearchGrid:
        """What is tried for the objective."""
        if self.objective is not ObjectiveName.FALSE_ALARMS:
            return self.grid
        # A limit cuts ranks apart that lie close together: more have to go on.
        return replace(self.grid, coarse_min_ons_s=self.grid.min_ons_s, kept=3 * self.grid.kept)

    @property
    def from_labels(self) -> bool:
        """Whether windows are made of training labels."""
        return self.windows in {WindowMethod.EVENT_SPECIFIC, WindowMethod.AVERAGE}

    @property
    def in_words(self) -> str:
        """What was fitted for, in words."""
        match self.objective:
            case ObjectiveName.EVENT_F1:
                return "event F1 of each class"
            case ObjectiveName.FALSE_ALARMS:
                return (
                    f"at most {self.limit_per_hour:g} false alarms an hour of each class, "
                    "and within that the best intersection F1"
                )
            case ObjectiveName.BALANCED:
                return (
                    "the mean of event F1 and intersection F1 of each class, less "
                    f"{FALSE_ALARM_PRICE:g} for each false alarm an hour"
                )
        if self.windows is WindowMethod.SEARCH:
            return (
                "PSDS1, which knows no thresholds: windows for the area below each class's "
                "PSD-ROC, then thresholds for its event F1"
            )
        return (
            "PSDS1, which depends on the windows alone; these are given, so that thresholds were "
            "fitted for event F1 and nothing for PSDS1"
        )

    @property
    def ranking(self) -> Objective:
        """What thresholds and durations are chosen by."""
        if self.objective is ObjectiveName.FALSE_ALARMS:
            assert self.limit_per_hour is not None
            return FalseAlarmLimit(self.limit_per_hour)
        return PricedF1() if self.objective is ObjectiveName.BALANCED else EventF1()


@dataclass(frozen=True)
class Calibration:
    """What came of it.

    Attributes:
        previous: postprocessing by class as it was.
        fitted: as it is to be.
        before: figures of ``previous``.
        after: figures of ``fitted``, on the recordings that it was fitted on.
        held_out: figures of recordings by what was fitted on the others; None without folds.
        notes: what could not be done, for people.
    """

    previous: Mapping[str, ClassPostprocessing]
    fitted: Mapping[str, ClassPostprocessing]
    before: Metrics
    after: Metrics
    held_out: Metrics | None
    notes: tuple[str, ...]


def fit(
    replayed: Replayed,
    config: CalibrationConfig,
    *,
    windows_s: Mapping[str, float] | None = None,
) -> tuple[dict[str, ClassPostprocessing], tuple[str, ...]]:
    """Fit every class, and measure nothing.

    Args:
        replayed: scores and truth.
        config: what for, and how; folds mean nothing here.
        windows_s: median windows by class, if they are made of labels.

    Returns:
        Postprocessing by class, and notes for people.
    """
    fitting = _Fit(replayed, config, windows_s)
    fitted = fitting.postprocessing(range(len(replayed.clips.names)))
    return fitted, (*_too_short(config, replayed.clips.hours), *fitting.notes)


def calibrate(
    replayed: Replayed,
    config: CalibrationConfig,
    *,
    windows_s: Mapping[str, float] | None = None,
) -> Calibration:
    """Fit every class, and measure before, after and held out.

    Args:
        replayed: scores and truth.
        config: what for, and how; no more folds than there are recordings.
        windows_s: median windows by class, if they are made of labels.
    """
    names = replayed.clips.names
    assert config.folds <= len(names)
    assert config.from_labels == (windows_s is not None)
    fitted, notes = fit(replayed, config, windows_s=windows_s)
    held_out = None
    if config.folds:
        by_recording: dict[str, Mapping[str, ClassPostprocessing]] = {}
        fitting = _Fit(replayed, config, windows_s)
        fold_of = assign_folds(names, config.folds)
        for fold in range(config.folds):
            others = fitting.postprocessing(np.flatnonzero(fold_of != fold).tolist())
            by_recording |= {names[i]: others for i in np.flatnonzero(fold_of == fold)}
        held_out = measure(replayed, by_recording)
    previous = replayed.manifest.postprocessing
    before = measure(replayed, dict.fromkeys(names, previous))
    if held_out is not None:
        notes = (*notes, *_doubts(config, before, held_out))
    return Calibration(
        previous=previous,
        fitted=fitted,
        before=before,
        after=measure(replayed, dict.fromkeys(names, fitted)),
        held_out=held_out,
        notes=notes,
    )


def _too_short(config: CalibrationConfig, hours: float) -> list[str]:
    """Note if a limit of false alarms an hour is less than one in all."""
    limit = config.limit_per_hour
    if limit is None or limit == 0.0 or limit * hours >= 1.0:
        return []
    line = f"in {hours:.2f} h of audio, {limit:g} false alarms an hour are none at all"
    return [f"{line}; {1 / limit:.2g} h or more would be right"]


def _doubts(config: CalibrationConfig, before: Metrics, held_out: Metrics) -> list[str]:
    """Note if what is fitted on a part of the recordings does worse than what the bundle has."""
    key = {
        ObjectiveName.EVENT_F1: "event_f1",
        ObjectiveName.PSDS1: "psds1",
        ObjectiveName.FALSE_ALARMS: "intersection_f1",
        ObjectiveName.BALANCED: "intersection_f1",
    }[config.objective]
    old, new = getattr(before.overall, key), getattr(held_out.overall, key)
    if not new < old:
        return []
    name = key.replace("_", " ").replace("f1", "F1").replace("psds1", "PSDS1")
    line = (
        f"on recordings that it was not fitted on, the fit has a lower {name} than the bundle had "
        f"({new:.3f}, not {old:.3f})"
    )
    if config.objective is ObjectiveName.FALSE_ALARMS:
        return [f"{line}, which is what fewer false alarms may cost"]
    return [f"{line}: more recordings would be right, or leaving the bundle as it is"]


class _Fit:
    """Fits all classes on some of the recordings."""

    def __init__(
        self,
        replayed: Replayed,
        config: CalibrationConfig,
        windows_s: Mapping[str, float] | None,
    ) -> None:
        self._replayed = replayed
        self._config = config
        self._windows_s = windows_s
        self.notes: list[str] = []

    def postprocessing(self, indices: Sequence[int]) -> dict[str, ClassPostprocessing]:
        """Fit on the recordings of these indices; :attr:`notes` are of the latest fit."""
        manifest = self._replayed.manifest
        clips = self._replayed.clips.subset(indices)
        self.notes = []
        fitted = {}
        for column, label in enumerate(manifest.classes):
            base = manifest.postprocessing[label]
            truth = _of_clips(self._replayed.truth[label], indices)
            if not len(truth):
                self.notes.append(f"{label}: no true event, so it is left as it was")
                fitted[label] = base
                continue
            current = Decoding.of(base, frame_s=clips.frame_s)
            grid = self._config.search_grid
            search = ClassSearch(clips, column, truth, grid=grid, longest=current.max_on)
            windows = self._windows(label, search, truth, current)
            best = search.best(
                self._config.ranking,
                windows,
                also=[current] if current.median in windows else [],
            )
            self._note(label, best)
            kept = best.decoding == current
            fitted[label] = base if kept else best.decoding.in_seconds(clips.frame_s, base=base)
        return fitted

    def _windows(
        self, label: str, search: ClassSearch, truth: Intervals, current: Decoding
    ) -> list[int]:
        """Return the windows in frames that a class may have."""
        frame_s = search.clips.frame_s
        match self._config.windows:
            case WindowMethod.KEEP:
                return [current.median]
            case WindowMethod.EVENT_SPECIFIC | WindowMethod.AVERAGE:
                assert self._windows_s is not None
                given = ClassPostprocessing(median_s=self._windows_s[label])
                return [Decoding.of(given, frame_s=frame_s).median]
        windows = sorted({*self._config.grid.windows(frame_s), current.median})
        if self._config.objective is not ObjectiveName.PSDS1:
            return windows
        # Of equal areas the first: the shortest window, and so the least latency.
        return [max(windows, key=lambda w: psd_roc_area(search.clips, search.track(w), truth))]

    def _note(self, label: str, best: Fitted) -> None:
        if not best.outcome.found:
            self.notes.append(f"{label}: nothing is detected with what was fitted")
        ranking = self._config.ranking
        if isinstance(ranking, FalseAlarmLimit) and not ranking.kept(best.outcome):
            self.notes.append(
                f"{label}: nothing that was tried keeps to {ranking.per_hour:g} false alarms an "
                f"hour; the fewest are {best.outcome.false_alarms_per_hour:.1f}"
            )


def _of_clips(truth: Intervals, indices: Sequence[int]) -> Intervals:
    """Return the events of some clips, which get the indices 0, 1 ..."""
    place = np.full(max([*indices, *truth.clip.tolist()], default=-1) + 1, -1)
    place[np.array(indices, np.int64)] = np.arange(len(indices))
    clip = place[truth.clip]
    inside = clip >= 0
    return Intervals(clip[inside], truth.onset[inside], truth.offset[inside])
