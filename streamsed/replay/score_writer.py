"""Score files in the form of sed_scores_eval, written while the recording is processed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_ROWS_AT_ONCE = 256


def decimal(seconds: float) -> str:
    """Write a time to the microsecond, without trailing zeros; as exact as messages are."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


class ScoreFileWriter:
    """Writes a row a frame: ``onset offset <class>...``, tab-separated, with a head.

    Scores are written with nine digits, from which float32 is read back exactly. Frames that are
    never given score 0.

    Args:
        file: what to write to.
        classes: the C class names.
        frame_samples: length of a frame.
        sample_rate: Hz.
    """

    def __init__(
        self, file: TextIO, classes: Sequence[str], *, frame_samples: int, sample_rate: int
    ) -> None:
        self._file = file
        self._frame_samples = frame_samples
        self._sample_rate = sample_rate
        self._classes = len(classes)
        self._cells = "\t%.9g" * len(classes) + "\n"
        self._frames = 0  # written
        self._waiting: list[Array] = []
        self._waiting_frames = 0
        file.write("\t".join(("onset", "offset", *classes)) + "\n")

    def add(self, first_sample: int, scores: Array) -> None:
        """Add ``(n, C)`` float32, of which the first begins at ``first_sample``, in order."""
        self._fill_up_to(first_sample // self._frame_samples)
        self._wait(scores)
        self._write_full()

    def end(self, end_sample: int) -> None:
        """End the recording: there are frames up to ``end_sample``, and the last is cut there."""
        self._fill_up_to(-(-end_sample // self._frame_samples))
        self._write_full()
        if self._waiting_frames:
            self._write(np.concatenate(self._waiting), end_sample=end_sample)
        self._waiting, self._waiting_frames = [], 0

    def _fill_up_to(self, frame: int) -> None:
        missing = frame - self._frames - self._waiting_frames
        if missing > 0:
            self._wait(np.zeros((missing, self._classes), np.float32))

    def _wait(self, scores: Array) -> None:
        self._waiting.append(scores)
        self._waiting_frames += len(scores)

    def _write_full(self) -> None:
        """Write what is full, but for the last frame: it may be the last of all, which is cut."""
        if self._waiting_frames <= _ROWS_AT_ONCE:
            return
        waiting = np.concatenate(self._waiting)
        while len(waiting) > _ROWS_AT_ONCE:
            self._write(waiting[:_ROWS_AT_ONCE])
            waiting = waiting[_ROWS_AT_ONCE:]
        self._waiting, self._waiting_frames = [waiting.copy()], len(waiting)

    def _write(self, scores: Array, *, end_sample: int | None = None) -> None:
        times = _times(self._frames, self._frame_samples, self._sample_rate)[: len(scores)]
        if end_sample is not None:
            onset, _ = times[-1].split("\t")
            times = (*times[:-1], f"{onset}\t{decimal(end_sample / self._sample_rate)}")
        form = self._cells.join(times) + self._cells
        self._file.write(form % tuple(scores.ravel().tolist()))
        self._frames += len(scores)


@lru_cache(maxsize=64)  # recordings that are processed together need the same
def _times(first_frame: int, frame_samples: int, sample_rate: int) -> tuple[str, ...]:
    """Return onset and offset of as many frames as are written at once."""
    edges = [
        decimal(frame * frame_samples / sample_rate)
        for frame in range(first_frame, first_frame + _ROWS_AT_ONCE + 1)
    ]
    return tuple(map("\t".join, pairwise(edges)))
