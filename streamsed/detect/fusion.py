"""Fusion: the members' scores become one score a frame and class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamsed.bundle.manifest import ClassPostprocessing, Manifest
from streamsed.errors import ConfigError

Array = NDArray[np.float32]


class DelayLine:
    """Delays a batch of frame sequences, each stream with a memory of its own.

    Args:
        delay_frames: by how much.
        classes: C.
    """

    def __init__(self, delay_frames: int, classes: int) -> None:
        self._delay = delay_frames
        self._memory = np.zeros((0, delay_frames, classes), np.float32)

    def push(self, slots: Sequence[int], frames: Array) -> Array:
        """Put ``(n, F, C)`` in for ``slots``, take the ``(n, F, C)`` of ``delay`` frames ago."""
        if not self._delay:
            return frames
        self._grow(max(slots) + 1)
        joined: Array = np.concatenate([self._memory[slots], frames], axis=1)
        self._memory[slots] = joined[:, -self._delay :]
        return joined[:, : frames.shape[1]]

    def reset(self, slot: int) -> None:
        """Forget a stream."""
        if slot < len(self._memory):
            self._memory[slot] = 0.0

    def _grow(self, slots: int) -> None:
        missing = slots - len(self._memory)
        if missing > 0:
            more = np.zeros((missing, *self._memory.shape[1:]), np.float32)
            self._memory = np.concatenate([self._memory, more])


class Fusion:
    """Weighted mean of the members' scores, gated by their tags.

    Members look ahead by different amounts; all are delayed to the slowest, so that the mean is
    over the same frame. The gate multiplies a class's score by 1 where the weighted mean of the
    tags exceeds its threshold and by 0 elsewhere; members without tags take no part in that.

    Args:
        manifest: the bundle's.
        postprocessing: for each class; its ``tag_threshold`` counts here.
        weights: weight by member, in place of the manifest's; members it leaves out keep theirs.

    Attributes:
        members: the members' names, in order.
        gated: whether any class has a gate; without one, tags are not looked at.

    Raises:
        ConfigError: an unknown member, a weight that is not positive, or a gate without tags.
    """

    def __init__(
        self,
        manifest: Manifest,
        postprocessing: Mapping[str, ClassPostprocessing],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        members, classes = manifest.members, len(manifest.classes)
        self.members = tuple(member.name for member in members)
        weight = {member.name: member.weight for member in members} | dict(weights or {})
        _check_weights(weight, self.members)
        thresholds = [postprocessing[label].tag_threshold for label in manifest.classes]
        self.gated = any(threshold is not None for threshold in thresholds)
        tagged = [member for member in members if member.tags]
        if self.gated and not tagged:
            label = next(
                c for c, t in zip(manifest.classes, thresholds, strict=True) if t is not None
            )
            raise ConfigError(
                f"postprocessing of {label!r}: tag_threshold is set, "
                f"but no member of bundle {manifest.name!r} yields tags"
            )
        # No score exceeds -1 from below: a class without a threshold is always let through.
        self._thresholds = np.array([-1.0 if t is None else t for t in thresholds], np.float32)
        self._weights = _normalised([weight[member.name] for member in members])
        self._tag_weights = _normalised([weight[member.name] for member in tagged])
        slowest = manifest.latency_frames
        self._scores = [DelayLine(slowest - member.latency_frames, classes) for member in members]
        self._tags = [DelayLine(slowest - member.latency_frames, classes) for member in tagged]

    def fuse(
        self, slots: Sequence[int], scores: Sequence[Array], tags: Sequence[Array] = ()
    ) -> Array:
        """Fuse one step of a batch.

        Args:
            slots: the streams.
            scores: for each member ``(n, F, C)``.
            tags: for each member that has them ``(n, C)``; needed only if ``gated``.

        Returns:
            ``(n, F, C)`` float32, a new array.
        """
        frames = [
            line.push(slots, member) for line, member in zip(self._scores, scores, strict=True)
        ]
        fused = _mean(frames, self._weights)
        if self.gated:
            shape = fused.shape
            held = (np.broadcast_to(tag[:, None], shape) for tag in tags)
            aligned = [line.push(slots, tag) for line, tag in zip(self._tags, held, strict=True)]
            fused *= _mean(aligned, self._tag_weights) > self._thresholds
        return fused

    def inherit(self, other: Fusion) -> None:
        """Go on with the memory of another fusion of the same bundle."""
        self._scores, self._tags = other._scores, other._tags

    def reset(self, slot: int) -> None:
        """Forget a stream."""
        for line in (*self._scores, *self._tags):
            line.reset(slot)


def clip_to_scores(given: Array) -> tuple[list[int], list[int]]:
    """Bring a member's scores or tags into 0 to 1, in place; NaN and infinity stay as they are.

    Args:
        given: ``(n, ...)`` float32.

    Returns:
        The rows in which that changed anything, and those that hold what is no number.
    """
    if given.min() >= 0.0 and given.max() <= 1.0:  # neither is true of NaN
        return [], []
    finite = np.isfinite(given)
    outside = finite & ((given < 0.0) | (given > 1.0))
    np.clip(given, 0.0, 1.0, out=given, where=finite)
    of_row = (len(given), -1)
    return (
        np.flatnonzero(outside.reshape(of_row).any(axis=1)).tolist(),
        np.flatnonzero(~finite.reshape(of_row).all(axis=1)).tolist(),
    )


def _mean(arrays: Sequence[Array], weights: Sequence[np.float32]) -> Array:
    """Return the weighted mean as a new array; one array of weight 1 comes out as it is."""
    total = arrays[0] * weights[0]
    if len(arrays) > 1:
        for array, weight in zip(arrays[1:], weights[1:], strict=True):
            total += array * weight
        np.minimum(total, 1.0, out=total)  # the rounded weights may sum to a little more than 1
    return total


def _normalised(weights: Sequence[float]) -> list[np.float32]:
    total = sum(weights)
    return [np.float32(weight / total) for weight in weights]


def _check_weights(weights: Mapping[str, float], members: Sequence[str]) -> None:
    for name, weight in weights.items():
        if name not in members:
            known = ", ".join(members)
            raise ConfigError(f"fusion weight of unknown member {name!r}; the bundle has {known}")
        if not 0.0 < weight < float("inf"):
            raise ConfigError(f"fusion weight of {name!r} is {weight}; it must be above 0")
