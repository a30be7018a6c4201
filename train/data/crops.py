"""Crops of minutes-long recordings whose input is longer than their target.

A crop is ``before`` frames of context, ``target`` frames that are compared with labels, and
``after`` frames of context. Context beyond a recording's ends is silence, and marked as such.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import DataError
from train.data.clips import Clip, ClipSet
from train.data.inputs import Inputs
from train.data.labels import LabelGrid

Array = TypeVar("Array")
Other = TypeVar("Other")

_DRAWS = 0x736F6674  # of the seed: crops are drawn apart from all else
PRESENT = 0.5
"""Agreement from which a class is taken to be present, as the challenge does."""


@dataclass(frozen=True, slots=True)
class CropBatch(Generic[Array]):
    """Crops of one step; B rows, L frames of input, T of them target, C classes.

    Attributes:
        inputs: ``(B, N)`` audio or ``(B, H, F)`` mel bands of L frames, float32.
        values: ``(B, T, C)`` float32, soft labels.
        known: ``(B, T)`` bool, target frames that lie within the recording.
        inside: ``(B, L)`` float32, 1 for frames within the recording and 0 beyond its ends.
        scene: ``(B,)`` int64, index of the scene; -1 where it is not known.
        names: of the recordings.
        first: ``(B,)`` int64, the recording's frame that is the first target frame.
        step: of the training, or of the pass over a set.
    """

    inputs: Array
    values: Array
    known: Array
    inside: Array
    scene: Array
    names: tuple[str, ...]
    first: Array
    step: int

    def map(self, change: Callable[[Array], Other]) -> CropBatch[Other]:
        """The batch with every array changed, such as by ``torch.from_numpy``."""
        return CropBatch(
            inputs=change(self.inputs),
            values=change(self.values),
            known=change(self.known),
            inside=change(self.inside),
            scene=change(self.scene),
            names=self.names,
            first=change(self.first),
            step=self.step,
        )


@dataclass(frozen=True)
class CropShape:
    """How long crops are, in score frames.

    Attributes:
        before: frames of context before the target.
        target: frames that are compared with labels.
        after: frames of context behind it.
    """

    before: int
    target: int
    after: int

    def __post_init__(self) -> None:
        if min(self.before, self.after) < 0 or self.target < 1:
            raise ValueError(f"{self}: before and after must be 0 or more, target 1 or more")

    @property
    def frames(self) -> int:
        """Frames of the input."""
        return self.before + self.target + self.after


class SoftCrops:
    """Reads crops of recordings, with their labels.

    Args:
        inputs: of every recording; its grid is as long as a crop's input.
        shape: of crops.
        scenes: names of scenes, in the order of their index.
        scene_of: returns the scene of a recording.
    """

    def __init__(
        self,
        inputs: Inputs,
        shape: CropShape,
        *,
        scenes: Sequence[str],
        scene_of: Callable[[Clip], str],
    ) -> None:
        if inputs.grid.frames != shape.frames:
            raise ValueError(f"a grid of {inputs.grid.frames} frames; must have {shape.frames}")
        self.inputs, self.shape = inputs, shape
        self._scenes = {name: index for index, name in enumerate(scenes)}
        self._scene_of = scene_of
        self._labels: dict[str, NDArray[np.float32]] = {}

    @property
    def grid(self) -> LabelGrid:
        """Of the input's frames."""
        return self.inputs.grid

    def frames(self, clip: Clip) -> int:
        """Whole score frames of a recording."""
        return self.inputs.samples(clip) // self.grid.frame_samples

    def labels(self, clip: Clip) -> NDArray[np.float32]:
        """Soft labels ``(T, C)`` of a whole recording."""
        if clip.name not in self._labels:
            seconds = self.frames(clip) * self.grid.frame_s
            whole = LabelGrid(
                self.grid.classes,
                sample_rate=self.grid.sample_rate,
                frame_samples=self.grid.frame_samples,
                duration_s=max(seconds, self.grid.frame_s),
            )
            self._labels[clip.name] = whole.strong(clip.events or ())
        return self._labels[clip.name]

    def read(self, chosen: Sequence[tuple[Clip, int]], *, step: int) -> CropBatch[NDArray[Any]]:
        """Read crops whose targets begin with the frames named.

        Raises:
            DataError: a file cannot be read.
        """
        shape, count = self.shape, len(chosen)
        classes = len(self.grid.classes)
        values = np.zeros((count, shape.target, classes), np.float32)
        known = np.zeros((count, shape.target), bool)
        inside = np.zeros((count, shape.frames), np.float32)
        inputs = []
        for row, (clip, first) in enumerate(chosen):
            total = self.frames(clip)
            begin = first - shape.before
            inputs.append(self._input(clip, begin))
            inside[row, max(-begin, 0) : max(total - begin, 0)] = 1.0
            true = self.labels(clip)[first : first + shape.target]
            values[row, : len(true)] = true
            known[row, : len(true)] = True
        scenes = [self._scenes.get(self._scene_of(clip), -1) for clip, _ in chosen]
        return CropBatch(
            inputs=np.stack(inputs),
            values=values,
            known=known,
            inside=inside,
            scene=np.array(scenes, np.int64),
            names=tuple(clip.name for clip, _ in chosen),
            first=np.array([first for _, first in chosen], np.int64),
            step=step,
        )

    def _input(self, clip: Clip, begin: int) -> NDArray[np.float32]:
        """Return a crop's input from a frame on, which may lie before the recording's first."""
        latest = max(self.frames(clip) - self.shape.frames, 0)
        start = min(max(begin, 0), latest)
        found = self.inputs.read(clip, first_frame=start)
        rows = len(found) // self.shape.frames  # of one score frame
        moved = (begin - start) * rows
        if not moved:
            return found
        shifted = np.zeros_like(found)
        if moved > 0:
            shifted[: len(found) - moved] = found[moved:]
        else:
            shifted[-moved:] = found[:moved]
        return shifted


def balanced_weights(labels: Sequence[NDArray[np.float32]], *, alpha: float) -> NDArray[np.float64]:
    """Return how likely each target frame is to be drawn; they sum to 1.

    A frame belongs to every class whose label is 0.5 or more, and one without any to a group of
    such frames. Of G groups that are not empty, the one with ``n_g`` of N memberships is drawn with
    ``alpha / G + (1 - alpha) n_g / N`` and a frame evenly within it, so the chances of a frame's
    groups add up (khornlund's balanced sampler, which the paper uses, for several labels).

    Args:
        labels: ``(T, C)`` of each recording.
        alpha: 0 to 1: groups as they come, or each alike.

    Returns:
        ``(frames of all recordings,)`` in their order.
    """
    every = np.concatenate(labels)
    present = every >= PRESENT
    members = np.column_stack([present, ~present.any(axis=1)]).astype(np.float64)
    counts = members.sum(axis=0)
    groups = max(int((counts > 0).sum()), 1)
    shares = np.where(counts > 0, alpha / groups + (1.0 - alpha) * counts / counts.sum(), 0.0)
    weights: NDArray[np.float64] = members @ (shares / np.maximum(counts, 1.0))
    return weights


class CropBatches:
    """Training crops without end; batch ``k`` depends on the seed and ``k`` alone.

    Args:
        crops: reads them.
        clips: recordings to draw from.
        batch: crops of a batch.
        alpha: of :func:`balanced_weights`.
        seed: of all draws.
        steps_per_epoch: None for as many as pass over the recordings once.
        rank: of this process among ``ranks`` that share each batch.
        ranks: ``batch`` must be a multiple of it.

    Raises:
        DataError: there is nothing to draw from, or a batch cannot be shared.
    """

    def __init__(
        self,
        crops: SoftCrops,
        clips: ClipSet,
        *,
        batch: int,
        alpha: float,
        seed: int,
        steps_per_epoch: int | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch % ranks:
            raise DataError(f"{batch} crops a batch; must be a multiple of {ranks} processes")
        labels = [crops.labels(clip) for clip in clips.clips]
        ends = np.cumsum([len(each) for each in labels])
        if not len(ends) or not ends[-1]:
            raise DataError(f"{clips.name}: has no recording of a whole frame")
        self.crops, self.clips, self.batch = crops, clips, batch
        self.seed, self.rank, self.ranks = seed, rank, ranks
        self._ends = ends
        self._cumulative = np.cumsum(balanced_weights(labels, alpha=alpha))
        whole = math.ceil(int(ends[-1]) / (batch * crops.shape.target))
        self.steps_per_epoch = whole if steps_per_epoch is None else steps_per_epoch

    def __getitem__(self, step: int) -> CropBatch[NDArray[Any]]:
        """Read the batch of a step; a drawn frame stands anywhere in the target."""
        rng = np.random.default_rng([self.seed, _DRAWS, step])
        drawn = np.searchsorted(self._cumulative, rng.random(self.batch) * self._cumulative[-1])
        places = rng.integers(0, self.crops.shape.target, self.batch)
        chosen = []
        for frame, place in zip(drawn.tolist(), places.tolist(), strict=True):
            which = int(np.searchsorted(self._ends, frame, side="right"))
            clip, begin = self.clips.clips[which], int(self._ends[which - 1]) if which else 0
            total = int(self._ends[which]) - begin
            latest = max(total - self.crops.shape.target, 0)
            chosen.append((clip, min(max(frame - begin - place, 0), latest)))
        return self.crops.read(chosen[self.rank :: self.ranks], step=step)


class OrderedCrops:
    """One pass over recordings whose targets lie side by side, from each recording's first frame.

    Args:
        crops: reads them.
        clips: recordings.
        batch: crops of a batch.
    """

    def __init__(self, crops: SoftCrops, clips: ClipSet, *, batch: int) -> None:
        self.crops, self.batch = crops, batch
        self._chosen = [
            (clip, first)
            for clip in clips.clips
            for first in range(0, crops.frames(clip), crops.shape.target)
        ]

    def __len__(self) -> int:
        return math.ceil(len(self._chosen) / self.batch)

    def __iter__(self) -> Iterator[CropBatch[NDArray[Any]]]:
        return (self[step] for step in range(len(self)))

    def __getitem__(self, step: int) -> CropBatch[NDArray[Any]]:
        """Read batch ``step``."""
        if not 0 <= step < len(self):
            raise IndexError(step)
        chosen = self._chosen[step * self.batch : (step + 1) * self.batch]
        return self.crops.read(chosen, step=step)


def whole_recordings(
    parts: Mapping[str, list[tuple[int, NDArray[np.float32]]]],
) -> dict[str, NDArray[np.float32]]:
    """Join the targets ``(T, C)`` of crops, by their first frame, to recordings by name."""
    return {
        name: np.concatenate([values for _, values in sorted(found, key=lambda each: each[0])])
        for name, found in parts.items()
    }
