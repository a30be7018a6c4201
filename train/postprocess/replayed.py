"""Validation recordings, replayed through the runtime: their fused scores beside the truth."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from streamsed.bundle import load
from streamsed.bundle.manifest import ClassPostprocessing, Manifest
from streamsed.config import Config
from streamsed.errors import DataError, SourceError
from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.reading.evaluation_data import read_replay
from streamsed.evaluate.reading.ground_truth import read_ground_truth
from streamsed.replay.folder import ReplayFolder
from streamsed.replay.grouping import grouped
from streamsed.replay.job import Job
from streamsed.replay.journal import read_journal
from streamsed.replay.outcome import Outcome
from streamsed.replay.processes import replay_in_processes, usable_cores
from streamsed.replay.recordings import Recording
from streamsed.replay.replay import Earlier, Progress, Replay
from train.postprocess.clips import Clips
from train.postprocess.intervals import Intervals


@dataclass(frozen=True, eq=False)
class Replayed:
    """What calibration works on.

    Attributes:
        manifest: the bundle's.
        data: truth, and scores before the median filter; it has no detections.
        clips: the same scores, for the search.
        truth: true events by class, with indices of ``clips``.
    """

    manifest: Manifest
    data: EvaluationData
    clips: Clips
    truth: Mapping[str, Intervals]

    @classmethod
    def of(cls, manifest: Manifest, data: EvaluationData) -> Self:
        """Arrange what was read."""
        assert data.scores is not None
        names = tuple(data.durations_s)
        warm = np.array([_warm_up(manifest, len(data.scores[name].scores)) for name in names])
        clips = Clips(
            names=names,
            scores=tuple(
                np.ascontiguousarray(data.scores[name].scores[first:])
                for name, first in zip(names, warm.tolist(), strict=True)
            ),
            first_frames=warm.astype(np.int64),
            durations_s=np.array([data.durations_s[name] for name in names]),
            frame_s=manifest.frame_s,
        )
        place = {name: index for index, name in enumerate(names)}
        table = data.truth.assign(clip=data.truth["filename"].map(place))
        truth = {
            label: Intervals.of(
                table.loc[table["event_label"] == label, ["clip", "onset", "offset"]].itertuples(
                    index=False, name=None
                )
            )
            for label in manifest.classes
        }
        return cls(manifest, data, clips, truth)


def _warm_up(manifest: Manifest, frames: int) -> int:
    """Return how many first frames of a recording are not decoded; a replay has 0 for them."""
    return min(manifest.warmup_frames, frames)


def check_labels(ground_truth: Path, classes: Sequence[str]) -> None:
    """Check, before long work, that a ground truth bears on a bundle.

    Raises:
        DataError: it cannot be read, or holds no event of any of the classes.
    """
    labels = {row.label for row in read_ground_truth(ground_truth, note=lambda _: None).rows}
    if not labels:
        raise DataError(f"{ground_truth}: holds no event; there is nothing to calibrate on")
    if not labels & set(classes):
        raise DataError(
            f"{ground_truth}: its labels ({', '.join(sorted(labels)[:3])}...) are none of the "
            f"bundle's classes ({', '.join(classes)})"
        )


def replay_scores(
    bundle: Path,
    recordings: Sequence[Recording],
    ground_truth: Path,
    *,
    show: Callable[[Progress], object],
) -> Replayed:
    """Replay recordings on all cores, and keep what the median filter would be given.

    Args:
        bundle: folder of the bundle.
        recordings: all of which must be readable.
        ground_truth: table of true events.
        show: called with the progress.

    Raises:
        BundleError: the bundle is missing or corrupt.
        SourceError: a recording cannot be read, or not to its end.
        DataError: the ground truth cannot be used.
    """
    manifest = load(bundle).manifest
    with tempfile.TemporaryDirectory(prefix="streamsed-calibrate-") as folder:
        whole = Job.of(Config(bundle=bundle), Path(folder) / "replay")
        # Without filter and events: what comes out are the fused and tag-gated scores.
        bare = {
            label: ClassPostprocessing(enter=1.0, exit=1.0, tag_threshold=rules.tag_threshold)
            for label, rules in whole.postprocessing.items()
        }
        job = replace(whole, postprocessing=bare)
        Replay(job, recordings, earlier=Earlier.REFUSE).run(
            lambda waiting: replay_in_processes(
                job,
                grouped(waiting, processes=usable_cores()),
                processes=usable_cores(),
                stopped=lambda: False,
            ),
            show,
        )
        _check_whole(read_journal(ReplayFolder(job.folder)).values())
        data = read_replay(job.folder, ground_truth=ground_truth, classes=manifest.classes)
    data = replace(data, events=None, decided=None)
    if not len(data.truth):
        raise DataError(f"{ground_truth}: holds no event of the recordings that were given")
    return Replayed.of(manifest, data)


def _check_whole(outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.failure is not None:
            raise SourceError(
                f"{outcome.path}: {outcome.failure}; calibrating on the rest would pass for more "
                "than it is: leave it out, or mend it"
            )
        if outcome.bad_steps:
            raise SourceError(f"{outcome.path}: the model gave scores that are no numbers")
