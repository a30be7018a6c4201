"""The area that windows are chosen by is the field's library's."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from streamsed.evaluate.criteria.psds import PSDS1, psds
from streamsed.evaluate.metrics.thresholds import THRESHOLDS
from streamsed.evaluate.tables import event_table
from train.postprocess.clips import Clips
from train.postprocess.decoding import Decoding, decode_intervals
from train.postprocess.intervals import Intervals
from train.postprocess.psd_roc import psd_roc_area

FRAME_S = 0.064
LABELS = ("c", "d")
"""Two classes that are the same: the library is made for several."""


@pytest.mark.parametrize("seed", range(5))  # the library takes a while for 50 thresholds
def test_area_is_that_of_psds_eval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, scores = [], []
    for clip in range(int(rng.integers(2, 6))):
        frames = int(rng.integers(100, 900))
        values = rng.beta(1.0, 6.0, (frames, 1)).astype(np.float32)
        edges = np.sort(rng.uniform(0, frames * FRAME_S, 2 * int(rng.integers(1, 6))))
        for number, (onset, offset) in enumerate(pairwise(edges)):
            if number % 2 == 0 and offset - onset > 0.05:
                truth.append((clip, onset, offset))
                inside = slice(int(onset / FRAME_S), int(offset / FRAME_S) + 1)
                values[inside] = np.maximum(values[inside], rng.uniform(0.2, 0.95))
        scores.append(values)
    assert truth
    clips = Clips(
        names=tuple(map(str, range(len(scores)))),
        scores=tuple(scores),
        first_frames=np.zeros(len(scores), np.int64),
        durations_s=np.array([len(values) * FRAME_S for values in scores]),
        frame_s=FRAME_S,
    )
    track = clips.track(0, 3)

    def found(threshold: float) -> Intervals:
        above = float(np.nextafter(np.float32(threshold), np.float32(2)))
        return decode_intervals(clips, track, Decoding(above, above))

    expected = psds(
        [
            event_table(
                (str(clip), onset, offset, label)
                for clip, onset, offset in zip(one.clip, one.onset, one.offset, strict=True)
                for label in LABELS
            )
            for one in map(found, THRESHOLDS)
        ],
        event_table((str(clip), on, off, label) for clip, on, off in truth for label in LABELS),
        PSDS1,
        durations_s=dict(zip(clips.names, clips.durations_s.tolist(), strict=True)),
    )
    area = psd_roc_area(clips, track, Intervals.of(truth))
    assert area == pytest.approx(expected.per_class["c"], abs=1e-9)
