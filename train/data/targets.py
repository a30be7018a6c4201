"""Targets: what a batch is compared with, each under a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor

Array = TypeVar("Array")
Other = TypeVar("Other")

STRONG, WEAK = "strong", "weak"
"""Names of the targets that a set's own events and tags become."""
REFERENCE = "reference"
"""Source of labels that come with a data set."""

LabelForm = Literal["events", "tags"]


@dataclass(frozen=True)
class TargetForm:
    """A kind of labels that clips have beside their own.

    Attributes:
        form: ``events`` become values of frames, ``tags`` of clips.
        classes: the columns; they may be others than the set's.
        source: where the labels come from, such as a table or a checkpoint with its thresholds.
        frame_samples: of a frame of ``events``, a multiple of the score frame; None for that.
    """

    form: LabelForm
    classes: tuple[str, ...]
    source: str
    frame_samples: int | None = None


@dataclass(frozen=True, slots=True)
class Target(Generic[Array]):
    """Values of a batch's rows; B rows, T' frames, C classes.

    Attributes:
        values: ``(B, T', C)`` of frames or ``(B, C)`` of clips, float32 from 0 to 1; zeros where
            they are not known.
        known: ``(B,)`` bool, rows whose values are known.
        frames: ``(B, T')`` bool, frames of these rows whose values are known; None for all.
        source: where they come from.
    """

    values: Array
    known: Array
    frames: Array | None = None
    source: str = REFERENCE

    def map(self, change: Callable[[Array], Other]) -> Target[Other]:
        """Return the target with every array changed."""
        frames = None if self.frames is None else change(self.frames)
        return Target(change(self.values), change(self.known), frames, self.source)


Targets = Mapping[str, Target[Array]]


def stack_frames(targets: Targets[Tensor]) -> Tensor:
    """Return the values and masks of all targets of frames side by side, ``(B, T', D)``.

    T' are the score frames, those of ``strong``; longer frames are repeated over them.
    """
    count = targets[STRONG].values.shape[1]
    columns = [
        _over(values, count) for target in targets.values() for values in _frame_values(target)
    ]
    return columns[0] if len(columns) == 1 else torch.cat(columns, dim=2)


def unstack_frames(targets: Targets[Tensor], stacked: Tensor) -> dict[str, Target[Tensor]]:
    """Return targets with what :func:`stack_frames` returned of them, after it was moved in time.

    A longer frame takes the mean of its score frames, and is known if all of these are.
    """
    found, first = {}, 0
    for name, target in targets.items():
        parts = []
        for values in _frame_values(target):
            columns = stacked[:, :, first : first + values.shape[2]]
            ratio = stacked.shape[1] // values.shape[1]
            whole = columns[:, : values.shape[1] * ratio]
            parts.append(
                whole
                if ratio == 1
                else torch.stack(torch.split(whole, ratio, dim=1), dim=1).mean(dim=2)
            )
            first += values.shape[2]
        known = parts[1][:, :, 0] >= 1.0 if len(parts) == 2 else target.frames
        found[name] = replace(target, values=parts[0], frames=known) if parts else target
    return found


def _over(values: Tensor, count: int) -> Tensor:
    """Repeat longer frames over ``count`` score frames; the last few may belong to none."""
    ratio = count // values.shape[1]
    if ratio == 1:
        return values
    repeated = values.repeat_interleave(ratio, dim=1)
    return torch.nn.functional.pad(repeated, (0, 0, 0, count - repeated.shape[1]))


def _frame_values(target: Target[Tensor]) -> Iterator[Tensor]:
    """Yield the values of a target of frames, and its mask as a column, if it has them."""
    if target.values.ndim == 3:
        yield target.values
        if target.frames is not None:
            yield target.frames[:, :, None].to(target.values.dtype)
