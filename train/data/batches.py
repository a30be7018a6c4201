"""Batches of clips: inputs, and the targets that they are compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import DataError
from train.data.clips import Clip, ClipSet, Labels
from train.data.composition import Composition
from train.data.inputs import Inputs
from train.data.labels import LabelGrid
from train.data.targets import STRONG, WEAK, Target, TargetForm, Targets

Array = TypeVar("Array")
Other = TypeVar("Other")

_CROPS = 0x63726F70  # of the seed: crops are drawn apart from orders


@dataclass(frozen=True, slots=True)
class Batch(Generic[Array]):
    """Clips of one step; B rows, T' score frames, C classes.

    Attributes:
        inputs: ``(B, N)`` audio or ``(B, T, F)`` features, float32.
        targets: by name. There are always ``strong``, of the sets' events, and ``weak``: the tags,
            or what sounds in any frame of ``strong`` (of soft labels: the highest value), known
            in rows with either. A loss on tags alone, as the baseline's, leaves out the rows whose
            ``strong`` is known. Further ones are those of the sets' further labels.
        frames: ``(B,)`` int64, score frames that hold audio; those after them are padding.
        rows: of each set, by its name.
        names: of the clips, B of them.
        step: of the training, or of the pass over a set.
    """

    inputs: Array
    targets: Targets[Array]
    frames: Array
    rows: Mapping[str, slice]
    names: tuple[str, ...]
    step: int

    def map(self, change: Callable[[Array], Other]) -> Batch[Other]:
        """The batch with every array changed, such as by ``torch.from_numpy``."""
        return Batch(
            inputs=change(self.inputs),
            targets={name: target.map(change) for name, target in self.targets.items()},
            frames=change(self.frames),
            rows=self.rows,
            names=self.names,
            step=self.step,
        )


class Batches(Protocol):
    """Batches by step, each a function of the step alone, so that any order and process will do."""

    def __getitem__(self, step: int) -> Any:
        """Read the batch of a step: something whose ``map`` changes every array in it."""
        ...


class EpochBatches(Batches, Protocol):
    """Batches without end, and how many of them are an epoch."""

    @property
    def steps_per_epoch(self) -> int: ...  # noqa: D102


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
        self.further = _together(self.sets)
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
        return collate(
            self.inputs, clips, places=places, rows=rows, step=step, further=self.further
        )


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
        return collate(
            self.inputs,
            clips,
            places=[0.0] * len(clips),
            rows=rows,
            step=step,
            further=self.clips.further,
        )


def collate(
    inputs: Inputs,
    clips: Sequence[Clip],
    *,
    places: Sequence[float],
    rows: Mapping[str, slice],
    step: int,
    further: Mapping[str, TargetForm] | None = None,
) -> Batch[NDArray[Any]]:
    """Read clips into a batch.

    Args:
        inputs: reads them.
        clips: one a row.
        places: where each is cropped if it is longer than the grid, from 0 (its start) to below 1.
        rows: of each set.
        step: for the batch.
        further: of the clips' further labels, by the name of their target.

    Raises:
        DataError: a file cannot be read.
    """
    grid, forms = inputs.grid, further or {}
    strong = np.zeros((len(clips), grid.frames, len(grid.classes)), np.float32)
    weak = np.zeros((len(clips), len(grid.classes)), np.float32)
    made = {name: _Further(form, grid, rows=len(clips)) for name, form in forms.items()}
    unit = math.lcm(grid.frame_samples, *(one.grid.frame_samples for one in made.values()))
    frames = np.zeros(len(clips), np.int64)
    read = []
    for row, (clip, place) in enumerate(zip(clips, places, strict=True)):
        samples = inputs.samples(clip)
        crops = max(samples - grid.samples, 0) // unit + 1
        first = int(place * crops) * (unit // grid.frame_samples)
        read.append(inputs.read(clip, first_frame=first))
        frames[row] = min(-(-samples // grid.frame_samples) - first, grid.frames)
        if clip.events is not None:
            strong[row] = grid.strong(clip.events, first_frame=first)
            weak[row] = strong[row].max(axis=0)
        elif clip.tags is not None:
            weak[row] = grid.weak(clip.tags)
        for name, one in made.items():
            one.put(row, clip.further.get(name), first_sample=first * grid.frame_samples)
    has_strong = np.array([clip.events is not None for clip in clips])
    return Batch(
        inputs=np.stack(read),
        targets={
            STRONG: Target(strong, has_strong),
            WEAK: Target(weak, has_strong | np.array([clip.tags is not None for clip in clips])),
            **{name: one.target for name, one in made.items()},
        },
        frames=frames,
        rows=rows,
        names=tuple(clip.name for clip in clips),
        step=step,
    )


class _Further:
    """A further target in the making."""

    def __init__(self, form: TargetForm, grid: LabelGrid, *, rows: int) -> None:
        frame_samples = form.frame_samples or grid.frame_samples
        self.grid = replace(grid, classes=form.classes, frame_samples=frame_samples)
        frames = (self.grid.frames,) if form.form == "events" else ()
        values = np.zeros((rows, *frames, len(form.classes)), np.float32)
        self.target = Target(values, np.zeros(rows, bool), source=form.source)

    def put(self, row: int, labels: Labels | None, *, first_sample: int) -> None:
        """Fill a row with the labels of a clip, if it has any, from a sample on."""
        if labels is None:
            return
        self.target.known[row] = True
        if labels.tags is not None:
            self.target.values[row] = self.grid.weak(labels.tags)
        else:
            first = first_sample // self.grid.frame_samples
            self.target.values[row] = self.grid.strong(labels.events or (), first_frame=first)


def _together(sets: Sequence[ClipSet]) -> dict[str, TargetForm]:
    """Return the forms of all sets' further labels.

    Raises:
        DataError: two differ in more than their source.
    """
    forms: dict[str, TargetForm] = {}
    for clips in sets:
        for name, form in clips.further.items():
            other = forms.setdefault(name, form)
            if replace(other, source=form.source) != form:
                raise DataError(f"labels {name} of {form.source} and {other.source} differ in form")
    return forms


def _check_classes(clips: ClipSet, grid: LabelGrid) -> None:
    if clips.classes != grid.classes:
        raise DataError(
            f"{clips.name}: classes {', '.join(clips.classes)}; the labels' columns are "
            f"{', '.join(grid.classes)}"
        )
