"""Decoder: the fused scores of many sources become transitions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from streamsed.detect.events import FilteredFrames, Kind, Reason, Transition
from streamsed.detect.hysteresis import FrameTransition, Hysteresis
from streamsed.detect.median import StreamingMedian
from streamsed.detect.postprocessing import FrameRules

Array = NDArray[np.float32]


@dataclass(slots=True)
class Decoded:
    """Transitions and filtered frames that were decided.

    Attributes:
        transitions: in order for each source.
        filtered: the median-filtered frames that are known by now; none unless they are kept.
    """

    transitions: list[Transition] = field(default_factory=list)
    filtered: list[FilteredFrames] = field(default_factory=list)


class _ClassEvents:
    """The events of one class from a frame of a segment on, and the number of the open one."""

    __slots__ = ("first_frame", "hysteresis", "label", "number")

    def __init__(self, label: str, rules: FrameRules, *, first_frame: int = 0) -> None:
        self.label = label
        self.first_frame = first_frame
        self.hysteresis = Hysteresis(rules)
        self.number = -1


@dataclass(slots=True)
class _Segment:
    """One segment of one source.

    Attributes:
        source: its name.
        classes: in the order of the scores' columns.
        first_sample: of its first frame.
        first_received_sample: one past the last sample that was received when that was scored.
        place_in_step: of that frame, among those that were scored with it.
        numbers: of its events.
        frames: decoded so far.
        open: columns of the classes that have an event under way, long enough or not.
        kept: median-filtered frames that were not returned yet, in blocks as they became known.
        returned_frames: frames whose medians were returned.
    """

    source: str
    classes: list[_ClassEvents]
    first_sample: int
    first_received_sample: int
    place_in_step: int
    numbers: Iterator[int]
    frames: int = 0
    open: set[int] = field(default_factory=set)
    kept: list[Array] = field(default_factory=list)
    returned_frames: int = 0


class Decoder:
    """Decodes segments of many sources, each in a slot of its own.

    Medians are computed for all sources and classes at once. Frames are looked at one by one only
    for classes that have an event under way or reach ``enter``, which few do.

    Args:
        rules: for each class, in the order of the scores' columns.
        frame_samples: length of a frame.
        frames_per_step: frames that are scored together.
        keep_filtered: whether median-filtered frames are returned.
    """

    def __init__(
        self,
        rules: Sequence[tuple[str, FrameRules]],
        *,
        frame_samples: int,
        frames_per_step: int,
        keep_filtered: bool = False,
    ) -> None:
        self._rules = rules
        self._frame_samples = frame_samples
        self._frames_per_step = frames_per_step
        self._keep_filtered = keep_filtered
        self._median = StreamingMedian([rule.median for _, rule in rules])
        self._enter = np.array([rule.enter for _, rule in rules], np.float32)
        self._segments: dict[int, _Segment] = {}

    def __contains__(self, slot: int) -> bool:
        """Whether a segment is under way in ``slot``."""
        return slot in self._segments

    def begin(
        self,
        slot: int,
        source: str,
        *,
        first_sample: int,
        first_received_sample: int,
        place_in_step: int,
        numbers: Iterator[int],
    ) -> None:
        """Begin a segment.

        Args:
            slot: that is free.
            source: name of the source.
            first_sample: first sample of the first frame that will be pushed.
            first_received_sample: one past the last sample that was received when it was scored.
            place_in_step: of that frame, among those that were scored with it.
            numbers: numbers the events; shared by all segments of a source.
        """
        self._segments[slot] = _Segment(
            source=source,
            classes=[_ClassEvents(label, rules) for label, rules in self._rules],
            first_sample=first_sample,
            first_received_sample=first_received_sample,
            place_in_step=place_in_step,
            numbers=numbers,
        )

    def push(self, slots: Sequence[int], scores: Array, received_samples: Sequence[int]) -> Decoded:
        """Decode further frames, of one step or several, of some segments.

        Args:
            slots: of the segments.
            scores: ``(n, F, C)`` float32, fused.
            received_samples: for each segment, one past the last sample that was received.
        """
        joined, count = self._median.extend(slots, scores), scores.shape[1]
        segments = [self._segments[slot] for slot in slots]
        if not self._keep_filtered and self._nothing_happens(segments, joined):
            for segment in segments:
                segment.frames += count
            return Decoded()
        medians = self._median.medians(joined)
        reaching = medians.max(axis=1) >= self._enter
        any_reaching = reaching.any(axis=1).tolist()
        decoded = Decoded()
        for row, segment in enumerate(segments):
            if any_reaching[row] or segment.open:
                columns = segment.open.union(np.flatnonzero(reaching[row]).tolist())
                decoded.transitions += self._find(
                    segment, sorted(columns), medians[row], received_samples[row]
                )
            segment.frames += count
            if self._keep_filtered:
                self._keep(segment, medians[row], decoded)
        return decoded

    def end(self, slot: int, reason: Reason, received_sample: int) -> Decoded:
        """End a segment: flush the medians and end what is open; no event outlives the end."""
        segment, decoded = self._segments.pop(slot), Decoded()
        medians = self._median.flush(slot)
        for column in range(len(segment.classes)):
            decoded.transitions += self._ended(segment, column, medians, reason, received_sample)
        if self._keep_filtered:
            segment.frames += len(medians)
            self._keep(segment, medians, decoded)
        return decoded

    def inherit(
        self, other: Decoder, *, restarted: Collection[str], received_samples: Mapping[int, int]
    ) -> list[Transition]:
        """Go on with the segments of another decoder, by this one's rules.

        Args:
            other: that decodes the same classes, and is not used any more.
            restarted: classes whose open events end here, for reason ``reload``, and that begin
                anew with the next frame. The rules of all others differ in ``update`` at most;
                they go on as if nothing had happened.
            received_samples: for each slot, one past the last sample that was received.
        """
        assert not self._keep_filtered
        kept = [n for n, (label, _) in enumerate(self._rules) if label not in restarted]
        self._median.inherit(other._median, kept)
        transitions = []
        for slot, segment in other._segments.items():
            medians = other._median.flush(slot)
            for column, (label, rules) in enumerate(self._rules):
                if label not in restarted:
                    segment.classes[column].hysteresis.update_every(rules.update)
                    continue
                transitions += other._ended(
                    segment, column, medians, Reason.RELOAD, received_samples[slot]
                )
                segment.classes[column] = _ClassEvents(label, rules, first_frame=segment.frames)
                segment.open.discard(column)
            self._segments[slot] = segment
        return transitions

    def _nothing_happens(self, segments: Iterable[_Segment], joined: Array) -> bool:
        """Whether no event is under way and no score reaches ``enter``, and so no median can."""
        if any(segment.open for segment in segments):
            return False
        return bool((joined.max(axis=(0, 1)) < self._enter).all())

    def _ended(
        self, segment: _Segment, column: int, medians: Array, reason: Reason, received_sample: int
    ) -> list[Transition]:
        """End a class with the medians that were still missing."""
        changes = self._changes(segment, column, medians[: self._median.half[column], column])
        changes += segment.classes[column].hysteresis.end(reason)
        return [self._noted(segment, column, change, received_sample) for change in changes]

    def _find(
        self, segment: _Segment, columns: Iterable[int], medians: Array, received_sample: int
    ) -> list[Transition]:
        """Look for events of some classes, in the order of the steps that decided them."""
        found: list[tuple[int, int, FrameTransition]] = []  # step, column, what
        for column in columns:
            half = self._median.half[column]
            for change in self._changes(segment, column, medians[:, column]):
                frame = segment.place_in_step + change.decided_frame + half
                found.append((frame // self._frames_per_step, column, change))
        found.sort(key=itemgetter(0))  # is stable: classes keep their order
        step_samples = self._frames_per_step * self._frame_samples
        return [
            self._noted(
                segment,
                column,
                change,
                min(segment.first_received_sample + step * step_samples, received_sample),
            )
            for step, column, change in found
        ]

    def _changes(self, segment: _Segment, column: int, medians: Array) -> list[FrameTransition]:
        """Push one class's medians, of which the first may be centred before its first frame."""
        events = segment.classes[column]
        first = segment.frames - self._median.half[column]
        before = max(0, events.first_frame - first)
        scores = medians[before:].tolist()
        if not scores:
            return []
        hysteresis = events.hysteresis
        changes = hysteresis.push(first + before, scores)
        if hysteresis.is_open:
            segment.open.add(column)
        else:
            segment.open.discard(column)
        return changes

    def _keep(self, segment: _Segment, medians: Array, decoded: Decoded) -> None:
        """Keep medians, and return the frames of which those of all classes are known."""
        segment.kept.append(medians)
        count = segment.frames - max(self._median.half) - segment.returned_frames
        if count <= 0:
            return
        known = np.concatenate(segment.kept)
        scores = np.empty((count, known.shape[1]), np.float32)
        for column, half in enumerate(self._median.half):
            scores[:, column] = known[half : half + count, column]
        first_sample = self._sample(segment, segment.returned_frames)
        decoded.filtered.append(FilteredFrames(segment.source, first_sample, scores))
        segment.returned_frames += count
        segment.kept = [known[count:].copy()]

    def _noted(
        self, segment: _Segment, column: int, change: FrameTransition, received_sample: int
    ) -> Transition:
        events = segment.classes[column]
        if change.kind is Kind.ONSET:
            events.number = next(segment.numbers)
        offset_sample = None
        if change.end_frame is not None:
            # The last frame of a segment may reach beyond the audio.
            offset_sample = min(self._sample(segment, change.end_frame), received_sample)
        return Transition(
            source=segment.source,
            kind=change.kind,
            number=events.number,
            label=events.label,
            onset_sample=self._sample(segment, change.first_frame),
            offset_sample=offset_sample,
            score=change.score,
            reason=change.reason,
            decided_sample=received_sample,
        )

    def _sample(self, segment: _Segment, frame: int) -> int:
        return segment.first_sample + frame * self._frame_samples
