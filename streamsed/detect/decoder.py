"""Decoder: the fused scores of one segment of one source become transitions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from operator import itemgetter

from streamsed.detect.events import Kind, Reason, Transition
from streamsed.detect.hysteresis import Change, Hysteresis
from streamsed.detect.median import StreamingMedian
from streamsed.detect.postprocessing import FrameRules


class _ClassDecoder:
    """Median and hysteresis of one class, and the number of its open event."""

    __slots__ = ("arrived", "filtered", "hysteresis", "label", "median", "number")

    def __init__(self, label: str, rules: FrameRules, *, first_frame: int = 0) -> None:
        self.arrived: list[float] = []  # not decoded yet
        self.filtered: list[float] = []  # kept, if wanted, until all classes have got so far
        self.label = label
        self.median = StreamingMedian(rules.median)
        self.hysteresis = Hysteresis(rules, first_frame=first_frame)
        self.number = -1


class Decoder:
    """Decodes one segment: from the first decoded frame to the segment's end.

    Args:
        source: name of the source.
        rules: for each class, in the order of the scores' columns.
        first_sample: first sample of the first frame that will be pushed.
        frame_samples: length of a frame.
        numbers: numbers the events; shared by all segments of a source.
        steps_at_once: pushes that are decoded together, which is faster. What is decided is the
            same, to ``decided_sample``, but is returned only then.
        keep_filtered: whether :meth:`take_filtered` will be called.
    """

    def __init__(
        self,
        source: str,
        rules: Sequence[tuple[str, FrameRules]],
        *,
        first_sample: int,
        frame_samples: int,
        numbers: Iterator[int],
        steps_at_once: int = 1,
        keep_filtered: bool = False,
    ) -> None:
        self._source = source
        self._classes = [_ClassDecoder(label, rule) for label, rule in rules]
        self._first_sample = first_sample
        self._frame_samples = frame_samples
        self._numbers = numbers
        self._steps_at_once = steps_at_once
        self._keep_filtered = keep_filtered
        self._frames = 0  # pushed
        self._arrivals: list[tuple[int, int]] = []  # for each push: frames then, samples heard
        self._taken_frames = 0
        self._slowest = max(self._classes, key=lambda decoder: decoder.median.window)

    def push(self, columns: Sequence[Sequence[float]], heard_sample: int) -> list[Transition]:
        """Decode further frames.

        Args:
            columns: for each class the fused scores of the same frames, at least one.
            heard_sample: one past the last sample that was heard.
        """
        self._frames += len(columns[0])
        self._arrivals.append((self._frames, heard_sample))
        if self._steps_at_once == 1:
            return self._decode(columns)
        for decoder, scores in zip(self._classes, columns, strict=True):
            decoder.arrived += scores
        return self._decode_arrived() if len(self._arrivals) == self._steps_at_once else []

    def end(self, reason: Reason, heard_sample: int) -> list[Transition]:
        """End the segment: flush the medians and end what is open; no event outlives the end."""
        transitions = self._decode_arrived() if self._arrivals else []
        for decoder in self._classes:
            transitions += self._end_class(decoder, reason, heard_sample)
        return transitions

    def change_rules(
        self,
        rules: Sequence[tuple[str, FrameRules]],
        *,
        restarted: Collection[str],
        heard_sample: int,
    ) -> list[Transition]:
        """Decode by other rules from the next frame on.

        Args:
            rules: as at the beginning, for the same classes.
            restarted: those whose open event ends here, for reason ``reload``, and that begin
                anew with the next frame. The rules of all others differ in ``update`` at most;
                they go on as if nothing had happened.
            heard_sample: one past the last sample that was heard.
        """
        transitions = self._decode_arrived() if self._arrivals else []
        for index, (label, rule) in enumerate(rules):
            decoder = self._classes[index]
            if label not in restarted:
                decoder.hysteresis.update_every(rule.update)
                continue
            transitions += self._end_class(decoder, Reason.RELOAD, heard_sample)
            anew = self._classes[index] = _ClassDecoder(label, rule, first_frame=self._frames)
            anew.filtered = decoder.filtered
        self._slowest = max(self._classes, key=lambda decoder: decoder.median.window)
        return transitions

    def _end_class(
        self, decoder: _ClassDecoder, reason: Reason, heard_sample: int
    ) -> list[Transition]:
        filtered = decoder.median.flush()
        if self._keep_filtered:
            decoder.filtered += filtered
        changes = decoder.hysteresis.push(filtered) if filtered else []
        changes += decoder.hysteresis.end(reason)
        return [self._noted(decoder, change, heard_sample) for change in changes]

    def take_filtered(self) -> tuple[int, list[tuple[float, ...]]]:
        """Return the median-filtered frames that are new, and the first sample of the first.

        A frame is there once the slowest class has it: half the longest median window after its
        fused scores, and all of them after :meth:`end`. Each has a score for each class.
        """
        first_sample = self._sample(self._taken_frames)
        ready = len(self._slowest.filtered)
        if not ready:
            return first_sample, []
        rows = list(zip(*(decoder.filtered[:ready] for decoder in self._classes), strict=True))
        for decoder in self._classes:
            del decoder.filtered[:ready]
        self._taken_frames += ready
        return first_sample, rows

    def _decode_arrived(self) -> list[Transition]:
        columns = [decoder.arrived for decoder in self._classes]
        for decoder in self._classes:
            decoder.arrived = []
        return self._decode(columns)

    def _decode(self, columns: Sequence[Sequence[float]]) -> list[Transition]:
        """Decode what has arrived, in the order in which it would have been decided at once."""
        arrivals, self._arrivals = self._arrivals, []
        found: list[tuple[int, _ClassDecoder, Change]] = []  # push that decided it, class, what
        for decoder, scores in zip(self._classes, columns, strict=True):
            filtered = decoder.median.push(scores)
            if self._keep_filtered:
                decoder.filtered += filtered
            if filtered and (changes := decoder.hysteresis.push(filtered)):
                half = decoder.median.window // 2
                for change in changes:
                    needed = change.decided_frame + half + 1
                    index = bisect_left(arrivals, needed, key=itemgetter(0))
                    found.append((index, decoder, change))
        if len(arrivals) > 1:
            found.sort(key=itemgetter(0))  # is stable: classes keep their order
        return [
            self._noted(decoder, change, arrivals[index][1]) for index, decoder, change in found
        ]

    def _noted(self, decoder: _ClassDecoder, change: Change, heard_sample: int) -> Transition:
        if change.kind is Kind.ONSET:
            decoder.number = next(self._numbers)
        offset_sample = None
        if change.end_frame is not None:
            # The last frame of a segment may reach beyond what was heard.
            offset_sample = min(self._sample(change.end_frame), heard_sample)
        return Transition(
            source=self._source,
            kind=change.kind,
            number=decoder.number,
            label=decoder.label,
            onset_sample=self._sample(change.first_frame),
            offset_sample=offset_sample,
            score=change.score,
            reason=change.reason,
            decided_sample=heard_sample,
        )

    def _sample(self, frame: int) -> int:
        return self._first_sample + frame * self._frame_samples
