"""Detector: from the blocks of many sources to transitions. A pure function of samples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from streamsed.bundle.manifest import ClassPostprocessing
from streamsed.detect.chunking import Chunker, Segment
from streamsed.detect.decoder import Decoder
from streamsed.detect.engine import Engine
from streamsed.detect.events import Reason, ScoredFrames, Transition
from streamsed.detect.fusion import Fusion, clip_to_scores
from streamsed.detect.level import LevelMeter
from streamsed.detect.postprocessing import FrameRules, Latency
from streamsed.detect.step_result import Decided, StepResult
from streamsed.errors import ConfigError
from streamsed.sources.block import Block


@dataclass(frozen=True, slots=True)
class Rest:
    """What another detector needs to go on with a source that was cut.

    Attributes:
        blocks: pushed, but not processed.
        numbers: of the events to come.
        bad_samples: counted so far.
        bad_steps: counted so far.
    """

    blocks: tuple[Block, ...]
    numbers: count[int]
    bad_samples: int
    bad_steps: int


@dataclass(slots=True, eq=False)
class _Stream:
    source: str
    slot: int
    chunker: Chunker
    reason: Reason | None = None  # why it ended; None while it may go on
    numbers: count[int] = field(default_factory=count)
    bad_steps: int = 0
    meter: LevelMeter | None = None

    @property
    def segment(self) -> Segment:
        """The current one; there is one while the stream is ready."""
        segment = self.chunker.segment
        assert segment is not None
        return segment


class Detector:
    """Detects events in many sources at once.

    Push blocks as they come, and step until there is nothing to do. What comes out for a source
    depends on its samples alone: not on how they were cut into blocks, nor on other sources.

    Args:
        engine: runs the model.
        postprocessing: for each class; classes it leaves out have the bundle's settings.
        fusion_weights: weight by member, in place of the manifest's.
        update_every_s: seconds of an event between updates; 0 for none.
        steps_at_once: steps that one call of :meth:`step` makes as long as all sources of the
            batch have the audio for it. More is faster, for the caches of the processor stay
            warm; decisions are the same, and come so much later.
        keep_filtered: whether steps return the median-filtered scores too.
        level_every_s: seconds of audio between two reports of a source's level; 0 for none.

    Raises:
        ConfigError: an unknown class or member, or a value that makes no sense.
    """

    def __init__(
        self,
        engine: Engine,
        postprocessing: Mapping[str, ClassPostprocessing] | None = None,
        *,
        fusion_weights: Mapping[str, float] | None = None,
        update_every_s: float = 0.0,
        steps_at_once: int = 1,
        keep_filtered: bool = False,
        level_every_s: float = 0.0,
    ) -> None:
        manifest = engine.manifest
        merged = _merged(manifest.classes, manifest.postprocessing, postprocessing or {})
        if not 0.0 <= update_every_s < float("inf"):
            raise ConfigError(f"update_every_s is {update_every_s}; it must be 0 or more")
        self._engine = engine
        self._manifest = manifest
        self._latency_frames = manifest.latency_frames
        self._frames_per_step = manifest.frames_per_chunk
        self._steps_at_once = steps_at_once
        self._level_samples = round(level_every_s * manifest.sample_rate)
        self._magnitudes = np.empty(manifest.chunk_samples, np.float32)
        self._postprocessing = merged
        self._fusion_weights = dict(fusion_weights or {})
        self._fusion = Fusion(manifest, merged, fusion_weights)
        self._tagged = [m.name for m in manifest.members if m.tags] if self._fusion.gated else []
        self._rules = [
            (
                label,
                FrameRules.of(
                    merged[label], frame_s=manifest.frame_s, update_every_s=update_every_s
                ),
            )
            for label in manifest.classes
        ]
        self._decoder = Decoder(
            self._rules,
            frame_samples=manifest.frame_samples,
            frames_per_step=self._frames_per_step,
            keep_filtered=keep_filtered,
        )
        self._streams: dict[str, _Stream] = {}
        # By slot, in the order in which they became so: the longest waiting goes first.
        self._ready: dict[int, _Stream] = {}
        self._drained: dict[int, _Stream] = {}

    @property
    def engine(self) -> Engine:
        """What runs the model."""
        return self._engine

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that were added and have not ended."""
        return tuple(self._streams)

    def add(self, source: str, rest: Rest | None = None) -> None:
        """Begin a source, in the model's initial state.

        Args:
            source: its name.
            rest: where another detector was cut, if that is to be gone on with.

        Raises:
            ValueError: it was added before and has not ended.
        """
        if source in self._streams:
            raise ValueError(f"source {source!r} is there already")
        chunker = Chunker(
            chunk_samples=self._manifest.chunk_samples,
            frame_samples=self._manifest.frame_samples,
            latency_frames=self._manifest.latency_frames,
        )
        slot = self._engine.open()
        self._fusion.reset(slot)
        stream = self._streams[source] = _Stream(source, slot, chunker)
        if self._level_samples:
            stream.meter = LevelMeter(
                source,
                classes=len(self._manifest.classes),
                interval_samples=self._level_samples,
                magnitudes=self._magnitudes,
            )
        if rest is not None:
            stream.numbers, stream.bad_steps = rest.numbers, rest.bad_steps
            chunker.bad_samples = rest.bad_samples
            for block in rest.blocks:
                self.push(source, block)

    def push(self, source: str, block: Block) -> None:
        """Give a source's next block, at the bundle's sample rate.

        The samples are kept as a view and must not be written to afterwards.

        Raises:
            KeyError: there is no such source.
            ValueError: the source has ended, or the samples are not ``(n,)`` float32.
        """
        stream = self._streams[source]
        if stream.reason is not None:
            raise ValueError(f"source {source!r} has ended ({stream.reason}); add it anew")
        stream.chunker.push(block)
        self._settle(stream)

    def end(self, source: str, reason: Reason) -> None:
        """End a source: it has no more audio. It is drained by the steps that follow.

        Events still open at its last sample end there, for ``reason``. Ending a source that is
        being drained changes nothing.

        Raises:
            KeyError: there is no such source.
        """
        stream = self._streams[source]
        if stream.reason is None:
            stream.reason = reason
            stream.chunker.end()
            self._settle(stream)

    def cut(self, source: str, reason: Reason) -> Rest | None:
        """End a source after the last chunk that was processed.

        Like :meth:`end`, but the audio that waits is returned, for another detector's :meth:`add`.
        None if the source has been ended already: then it is drained as it would have been.

        Raises:
            KeyError: there is no such source.
        """
        stream = self._streams[source]
        if stream.reason is not None:
            return None
        bad_samples = stream.chunker.bad_samples
        blocks = tuple(stream.chunker.cut())
        self._ready.pop(stream.slot, None)
        self.end(source, reason)
        return Rest(blocks, stream.numbers, bad_samples, stream.bad_steps)

    def inherit(self, other: Detector, *, restarted: Collection[str]) -> list[Transition]:
        """Go on with the sources of another detector on the same engine, by this one's rules.

        A class whose rules differ ends its open events here, for reason ``reload``, and begins
        anew with the next frame. All others go on as if nothing had happened. The other detector
        must not be used any more.

        Args:
            other: with the same engine.
            restarted: further classes to end and begin anew.
        """
        assert other._engine is self._engine
        assert not self._streams
        self._streams, self._ready, self._drained = other._streams, other._ready, other._drained
        self._fusion.inherit(other._fusion)
        anew = {
            label
            for label, entry in self._postprocessing.items()
            if label in restarted
            or entry != other._postprocessing[label]
            or self._fusion_weights != other._fusion_weights
        }
        received_samples = {
            stream.slot: stream.segment.taken_sample
            for stream in self._streams.values()
            if stream.slot in other._decoder
        }
        return self._decoder.inherit(
            other._decoder, restarted=anew, received_samples=received_samples
        )

    def step(self) -> StepResult | None:
        """Advance, by one chunk each or ``steps_at_once``, as many sources as one batch takes.

        Returns:
            What was decided; None when there was nothing to do.
        """
        if not self._ready and not self._drained:
            return None
        decided = Decided()
        if self._ready:
            self._advance(decided)
        for stream in tuple(self._drained.values()):
            self._finish(stream, decided)
        return decided.result()

    def pending_samples(self, source: str) -> int:
        """Return how many samples of a source wait to be processed."""
        return self._streams[source].chunker.pending_samples

    def bad_samples(self, source: str) -> int:
        """Return how many samples of a source were NaN, infinite or absurd; they count as 0."""
        return self._streams[source].chunker.bad_samples

    def bad_steps(self, source: str) -> int:
        """Return how many steps gave scores that are no numbers, or outside 0 to 1.

        Frames of the first score 0, and the stream goes on from the model's initial state; the
        others are clipped, each member's before the mean is taken.
        """
        return self._streams[source].bad_steps

    def latency(self, label: str) -> Latency:
        """Return the algorithmic latency of a class's onsets.

        Raises:
            KeyError: there is no such class.
        """
        rules, frame_s = dict(self._rules)[label], self._manifest.frame_s
        return Latency(
            look_ahead_s=self._manifest.latency_frames * frame_s,
            median_s=rules.median // 2 * frame_s,
            min_on_s=rules.min_on * frame_s,
            chunk_s=self._manifest.frames_per_chunk * frame_s,
        )

    def _settle(self, stream: _Stream) -> None:
        """File a stream by what can be done with it now."""
        chunker = stream.chunker
        if chunker.ready:
            self._ready[stream.slot] = stream
        elif chunker.drained or (stream.reason is not None and chunker.segment is None):
            self._drained[stream.slot] = stream

    def _advance(self, decided: Decided) -> None:
        engine = self._engine
        slots = engine.batch(self._ready)
        streams = [self._ready.pop(slot) for slot in slots]
        segments = [stream.segment for stream in streams]
        steps: list[NDArray[np.float32]] = []
        while not steps or (len(steps) < self._steps_at_once and _all_ready(streams)):
            for chunk, segment in zip(engine.chunks, segments, strict=False):
                segment.take(chunk)
            engine.step(slots)
            steps.append(self._fuse(slots, streams, decided))
            if self._level_samples:
                self._measure(streams, steps[-1], decided)
        self._decode(slots, streams, steps, decided)
        for stream in streams:
            self._settle(stream)

    def _fuse(
        self, slots: list[int], streams: list[_Stream], decided: Decided
    ) -> NDArray[np.float32]:
        """Return the fused scores ``(n, F, C)`` of the step just made."""
        engine, size = self._engine, len(slots)
        scores = [engine.scores(member)[:size] for member in self._fusion.members]
        tags = [tag[:size] for tag in map(engine.tags, self._tagged) if tag is not None]
        clipped, broken = set[int](), set[int]()
        for given in (*scores, *tags):
            outside, no_numbers = clip_to_scores(given)
            clipped.update(outside)
            broken.update(no_numbers)
        with np.errstate(over="ignore", invalid="ignore"):
            fused = self._fusion.fuse(slots, scores, tags)
        if not np.isfinite(fused).all():  # of an earlier step, from a delay line
            broken.update(np.flatnonzero(~np.isfinite(fused).all(axis=(1, 2))).tolist())
        for row in broken:
            fused[row] = 0.0
            self._forget(streams[row])
        for row in sorted(clipped | broken):
            streams[row].bad_steps += 1
            decided.bad.append(streams[row].source)
        return fused

    def _measure(
        self, streams: list[_Stream], fused: NDArray[np.float32], decided: Decided
    ) -> None:
        """Add the chunks of the step just made to the sources' levels."""
        for chunk, stream, scores in zip(self._engine.chunks, streams, fused, strict=False):
            if stream.meter is not None:
                report = stream.meter.add(chunk, scores, end_sample=stream.segment.taken_sample)
                if report is not None:
                    decided.levels.append(report)

    def _decode(
        self,
        slots: list[int],
        streams: list[_Stream],
        steps: list[NDArray[np.float32]],
        decided: Decided,
    ) -> None:
        """Decode those frames of the steps that lie in their segments and after the warm-up."""
        manifest = self._manifest
        fused = np.concatenate(steps, axis=1) if len(steps) > 1 else steps[0]
        rows_of: dict[tuple[int, int], list[int]] = {}  # most often all have the same frames
        for row, stream in enumerate(streams):
            begin, end = self._decodable(stream, len(steps))
            if begin < end:
                rows_of.setdefault((begin, end), []).append(row)
        for (begin, end), rows in rows_of.items():
            scores = fused[:, begin:end] if len(rows) == len(slots) else fused[rows, begin:end]
            received_samples = []
            for row, frames in zip(rows, scores, strict=True):
                stream, segment = streams[row], streams[row].segment
                frame = self._first_frame(segment, len(steps)) + begin
                first_sample = segment.first_sample + frame * manifest.frame_samples
                if stream.slot not in self._decoder:
                    self._begin(stream, segment, frame, first_sample)
                decided.frames.append(ScoredFrames(stream.source, first_sample, frames))
                received_samples.append(segment.taken_sample)
            decided.note(self._decoder.push([slots[row] for row in rows], scores, received_samples))

    def _decodable(self, stream: _Stream, steps: int) -> tuple[int, int]:
        """Return the begin and end of those frames of the latest steps that are decoded."""
        segment, end = stream.segment, steps * self._frames_per_step
        first = self._first_frame(segment, steps)
        if segment.closed:
            end = min(end, stream.chunker.frames(segment) - first)
        return max(0, self._manifest.warmup_frames - first), end

    def _first_frame(self, segment: Segment, steps: int) -> int:
        """Return which frame of a segment is the first of the latest steps; at first negative."""
        return (segment.steps - steps) * self._frames_per_step - self._latency_frames

    def _begin(self, stream: _Stream, segment: Segment, frame: int, first_sample: int) -> None:
        """Begin to decode a segment with one of its frames."""
        step, place = divmod(frame + self._latency_frames, self._frames_per_step)
        self._decoder.begin(
            stream.slot,
            stream.source,
            first_sample=first_sample,
            first_received_sample=segment.first_sample + (step + 1) * self._manifest.chunk_samples,
            place_in_step=place,
            numbers=stream.numbers,
        )

    def _finish(self, stream: _Stream, decided: Decided) -> None:
        """End a drained segment; go on with the next, or forget the source."""
        del self._drained[stream.slot]
        segment = stream.chunker.segment
        if segment is not None:
            following = stream.chunker.next_segment()
            reason = Reason.GAP if following is not None else stream.reason
            assert reason is not None
            if stream.slot in self._decoder:
                decided.note(self._decoder.end(stream.slot, reason, segment.end_sample))
            self._forget(stream)
            if following is not None:
                self._settle(stream)
                return
        del self._streams[stream.source]
        self._engine.close(stream.slot)
        decided.ended.append(stream.source)

    def _forget(self, stream: _Stream) -> None:
        """Return a stream to the model's initial state."""
        self._engine.reset(stream.slot)
        self._fusion.reset(stream.slot)


def _all_ready(streams: Iterable[_Stream]) -> bool:
    return all(stream.chunker.ready for stream in streams)


def _merged(
    classes: tuple[str, ...],
    defaults: Mapping[str, ClassPostprocessing],
    overrides: Mapping[str, ClassPostprocessing],
) -> dict[str, ClassPostprocessing]:
    if unknown := sorted(set(overrides) - set(classes)):
        raise ConfigError(
            f"postprocessing of unknown class {unknown[0]!r}; the bundle has {', '.join(classes)}"
        )
    return {**defaults, **overrides}
