"""Batches of clips: inputs, frame labels, clip labels, and which rows know which of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import DataError
from train.data.clips import Clip, ClipSet
from train.data.composition import Composition
from train.data.inputs import Inputs
from train.data.labels import LabelGrid

Array = TypeVar("Array")
Other = TypeVar("Other")

_CROPS = 0x63726F70  # of the seed: crops are drawn apart from orders


@dataclass(frozen=True, slots=True)
class Batch(Generic[Array]):
    """Clips of one step; B rows, T' label frames, C classes.

    Attributes:
        inputs: ``(B, N)`` audio or ``(B, T, F)`` features, float32.
        strong: ``(B, T', C)`` float32, 0 to 1; zeros in rows that know no events.
        weak: ``(B, C)`` float32: the tags, or what sounds in any frame of ``strong`` (of soft
            labels: the highest value); zeros in unlabelled rows.
        has_strong: ``(B,)`` bool, rows whose ``strong`` is known.
        has_weak: ``(B,)`` bool, rows whose ``weak`` is known: those with tags or events. A loss
            on tags alone, as the baseline's, takes the rows of its weak set.
        frames: ``(B,)`` int64, label frames that hold audio; those after them are padding.
        rows: of each set, by its name.
        names: of the clips, B of them.
        step: of the training, or of the pass over a set.
    """

    inputs: Array
    strong: Array
    weak: Array
    has_strong: Array
    has_weak: Array
    frames: Array
    rows: Mapping[str, slice]
    names: tuple[str, ...]
    step: int

    def map(self, change: Callable[[Array], Other]) -> Batch[Other]:
        """The batch with every array changed, such as by ``torch.from_numpy``."""
        arrays: dict[str, Any] = {name: change(getattr(self, name)) for name in ARRAYS}
        return Batch(**arrays, rows=self.rows, names=self.names, step=self.step)


ARRAYS = tuple(field.name for field in fields(Batch))[:6]


class Batches(Protocol):
    """Batches by step, each a function of the step alone, so that any order and process will do."""

    def __getitem__(self, step: int) -> Any:
        """Read the batch of a step: something whose ``map`` changes every array in it."""
        ...


class TrainingBatches:
    """Batches of a stated composition, without end.

    A clip longer than the grid is cropped at a random label frame, a shorter one padded with
    silence at its end.

    Args:
        inputs: of every clip.
        composition: sets and how many clips of each stand in a batch, in order of the rows: the
            baseline's is 12 strong, 12 weak, 24 unlabelled.
        seed: of orders and crops.
        steps_per_epoch: None ends an epoch with the shortest set, as the baseline.
        rank: of this process among ``ranks`` that share each batch.
        ranks: each count must be a multiple of it.

    Raises:
        DataError: the sets do not fit the grid or the composition.
    """

    def __init__(
        self,
        inputs: Inputs,
        composition: Sequence[tuple[ClipSet, int]],
        *,
        seed: int,
        steps_per_epoch: int | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.inputs = inputs
        self.seed = seed
        self.rank, self.ranks = rank, ranks
        self.sets = tuple(clips for clips, _ in composition)
        names = [clips.name for clips in self.sets]
        if len(set(names)) < len(names):
            raise DataError(f"sets {', '.join(names)}; each must have a name of its own")
        for clips, count in composition:
            _check_classes(clips, inputs.grid)
            if count % ranks:
                raise DataError(
                    f"{clips.name}: {count} clips a batch; must be a multiple of {ranks} processes"
                )
        try:
            self.composition = Composition(
                sizes=tuple(map(len, self.sets)),
                counts=tuple(count for _, count in composition),
                seed=seed,
                steps_per_epoch=steps_per_epoch,
            )
        except ValueError as error:
            raise DataError(f"sets {', '.join(names)}: {error}") from error

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch."""
        return self.composition.steps

    def __getitem__(self, step: int) -> Batch[NDArray[Any]]:
        """Read the batch of a step, counted over all epochs."""
        draws = np.random.default_rng([self.seed, _CROPS, step])
        clips: list[Clip] = []
        places: list[float] = []
        rows: dict[str, slice] = {}
        drawn = self.composition.rows(step)
        for clip_set, indices in zip(self.sets, drawn, strict=True):
            own = slice(self.rank, None, self.ranks)
            rows[clip_set.name] = slice(len(clips), len(clips) + len(indices[own]))
            clips += [clip_set.clips[index] for index in indices[own].tolist()]
            places += draws.random(len(indices))[own].tolist()
        return collate(self.inputs, clips, places=places, rows=rows, step=step)


class OrderedBatches:
    """One pass over a set in its order, from the start of each clip; the last batch may be short.

    Args:
        inputs: of every clip.
        clips: the set.
        batch: rows of a batch.

    Raises:
        DataError: the set's classes are not the grid's.
    """

    def __init__(self, inputs: Inputs, clips: ClipSet, *, batch: int) -> None:
        _check_classes(clips, inputs.grid)
        if batch < 1:
            raise ValueError(f"batch {batch}; must be 1 or more")
        self.inputs = inputs
        self.clips = clips
        self.batch = batch

    def __len__(self) -> int:
        return math.ceil(len(self.clips) / self.batch)

    def __iter__(self) -> Iterator[Batch[NDArray[Any]]]:
        return (self[step] for step in range(len(self)))

    def __getitem__(self, step: int) -> Batch[NDArray[Any]]:
        """Read batch ``step``."""
        if not 0 <= step < len(self):
            raise IndexError(step)
        clips = self.clips.clips[step * self.batch : (step + 1) * self.batch]
        rows = {self.clips.name: slice(0, len(clips))}
        return collate(self.inputs, clips, places=[0.0] * len(clips), rows=rows, step=step)


def collate(
    inputs: Inputs,
    clips: Sequence[Clip],
    *,
    places: Sequence[float],
    rows: Mapping[str, slice],
    step: int,
) -> Batch[NDArray[Any]]:
    """Read clips into a batch.

    Args:
        inputs: reads them.
        clips: one a row.
        places: where each is cropped if it is longer than the grid, from 0 (its start) to below 1.
        rows: of each set.
        step: for the batch.

    Raises:
        DataError: a file cannot be read.
    """
    grid = inputs.grid
    shape = (len(clips), grid.frames, len(grid.classes))
    strong, weak = np.zeros(shape, np.float32), np.zeros((shape[0], shape[2]), np.float32)
    frames = np.zeros(len(clips), np.int64)
    read = []
    for row, (clip, place) in enumerate(zip(clips, places, strict=True)):
        samples = inputs.samples(clip)
        crops = max(samples - grid.samples, 0) // grid.frame_samples + 1
        first = int(place * crops)
        read.append(inputs.read(clip, first_frame=first))
        frames[row] = min(-(-samples // grid.frame_samples) - first, grid.frames)
        if clip.events is not None:
            strong[row] = grid.strong(clip.events, first_frame=first)
            weak[row] = strong[row].max(axis=0)
        elif clip.tags is not None:
            weak[row] = grid.weak(clip.tags)
    has_strong = np.array([clip.events is not None for clip in clips])
    return Batch(
        inputs=np.stack(read),
        strong=strong,
        weak=weak,
        has_strong=has_strong,
        has_weak=has_strong | np.array([clip.tags is not None for clip in clips]),
        frames=frames,
        rows=rows,
        names=tuple(clip.name for clip in clips),
        step=step,
    )


def _check_classes(clips: ClipSet, grid: LabelGrid) -> None:
    if clips.classes != grid.classes:
        raise DataError(
            f"{clips.name}: classes {', '.join(clips.classes)}; the labels' columns are "
            f"{', '.join(grid.classes)}"
        )
