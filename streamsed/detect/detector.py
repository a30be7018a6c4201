"""Detector: from the blocks of many sources to transitions. A pure function of samples."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from streamsed.bundle.manifest import ClassPostprocessing
from streamsed.detect.chunking import Chunker
from streamsed.detect.decoder import Decoder
from streamsed.detect.engine import Engine
from streamsed.detect.events import FilteredFrames, Reason, ScoredFrames, Transition
from streamsed.detect.fusion import Fusion
from streamsed.detect.level import LevelMeter, LevelReport
from streamsed.detect.postprocessing import FrameRules, Latency
from streamsed.errors import ConfigError
from streamsed.sources.block import Block


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step decided.

    Attributes:
        transitions: in order for each source.
        frames: the fused scores that were decoded, at most one entry a source.
        ended: sources that were drained and are forgotten; the last of their transitions are here.
        bad: sources of which this step gave scores that are no numbers; see
            :meth:`Detector.bad_steps`.
        filtered: the median-filtered scores that became known; empty unless they are kept.
        levels: reports of sources whose interval is complete; empty unless levels are measured.
    """

    transitions: tuple[Transition, ...]
    frames: tuple[ScoredFrames, ...]
    ended: tuple[str, ...]
    bad: tuple[str, ...]
    filtered: tuple[FilteredFrames, ...]
    levels: tuple[LevelReport, ...]


@dataclass(slots=True)
class _Decided:
    """A :class:`StepResult` in the making."""

    transitions: list[Transition] = field(default_factory=list)
    frames: list[ScoredFrames] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    filtered: list[FilteredFrames] = field(default_factory=list)
    levels: list[LevelReport] = field(default_factory=list)

    def result(self) -> StepResult:
        return StepResult(
            transitions=tuple(self.transitions),
            frames=tuple(self.frames),
            ended=tuple(self.ended),
            bad=tuple(self.bad),
            filtered=tuple(self.filtered),
            levels=tuple(self.levels),
        )


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
    decoder: Decoder | None = None  # of the current segment, from its first frame
    numbers: count[int] = field(default_factory=count)
    bad_steps: int = 0
    meter: LevelMeter | None = None


class Detector:
    """Detects events in many sources at once.

    Push blocks as they come, and step until there is nothing to do. What comes out for a source
    depends on its samples alone: not on how they were cut into blocks, nor on other sources.

    Args:
        engine: runs the model.
        postprocessing: for each class; classes it leaves out are as the bundle's manifest says.
        fusion_weights: weight by member, in place of the manifest's.
        update_every_s: seconds of an event between updates; 0 for none.
        decode_steps: steps of a source whose scores are decoded together. More is faster;
            transitions say the same, and come up to so many steps late.
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
        decode_steps: int = 1,
        keep_filtered: bool = False,
        level_every_s: float = 0.0,
    ) -> None:
        manifest = engine.manifest
        merged = _merged(manifest.classes, manifest.postprocessing, postprocessing or {})
        if not 0.0 <= update_every_s < float("inf"):
            raise ConfigError(f"update_every_s is {update_every_s}; it must be 0 or more")
        self._engine = engine
        self._manifest = manifest
        self._decode_steps = decode_steps
        self._keep_filtered = keep_filtered
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
        """Say that a source has no more audio. It is drained by the steps that follow.

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
        transitions = []
        for stream in self._streams.values():
            if stream.decoder is not None:
                segment = stream.chunker.segment
                assert segment is not None
                transitions += stream.decoder.change_rules(
                    self._rules, restarted=anew, heard_sample=segment.taken_sample
                )
        return transitions

    def step(self) -> StepResult | None:
        """Advance, by one chunk each, as many sources as one batch takes.

        Returns:
            What was decided; None when there was nothing to do.
        """
        if not self._ready and not self._drained:
            return None
        decided = _Decided()
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
        """Return how many steps gave scores that are no numbers.

        Their frames score 0, and the stream goes on from the model's initial state.
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

    def _advance(self, decided: _Decided) -> None:
        engine = self._engine
        slots = engine.batch(self._ready)
        streams = [self._ready.pop(slot) for slot in slots]
        for chunk, stream in zip(engine.chunks, streams, strict=False):
            segment = stream.chunker.segment
            assert segment is not None
            segment.take(chunk)
        engine.step(slots)
        fused = self._fuse(slots, streams, decided)
        for chunk, stream, scores, columns in zip(
            engine.chunks, streams, fused, fused.transpose(0, 2, 1).tolist(), strict=False
        ):
            self._measure(stream, chunk, scores, decided)
            self._decode(stream, scores, columns, decided)
            self._settle(stream)

    def _fuse(
        self, slots: list[int], streams: list[_Stream], decided: _Decided
    ) -> NDArray[np.float32]:
        """Return the fused scores ``(n, F, C)`` of the step just made."""
        engine, size = self._engine, len(slots)
        scores = [engine.scores(member)[:size] for member in self._fusion.members]
        tags = [tag[:size] for tag in map(engine.tags, self._tagged) if tag is not None]
        with np.errstate(over="ignore", invalid="ignore"):
            fused = self._fusion.fuse(slots, scores, tags)
        finite = np.isfinite(fused)
        if not finite.all():
            for row in np.flatnonzero(~finite.all(axis=(1, 2))):
                fused[row] = 0.0
                self._forget(streams[row])
                streams[row].bad_steps += 1
                decided.bad.append(streams[row].source)
        return fused

    def _measure(
        self,
        stream: _Stream,
        chunk: NDArray[np.float32],
        scores: NDArray[np.float32],
        decided: _Decided,
    ) -> None:
        """Add the chunk of the step just made to the source's level."""
        segment = stream.chunker.segment
        assert segment is not None
        if stream.meter is not None:
            report = stream.meter.add(chunk, scores, end_sample=segment.taken_sample)
            if report is not None:
                decided.levels.append(report)

    def _decode(
        self,
        stream: _Stream,
        scores: NDArray[np.float32],
        columns: list[list[float]],
        decided: _Decided,
    ) -> None:
        """Decode those frames of a step that lie in the segment and after its warm-up."""
        manifest, segment = self._manifest, stream.chunker.segment
        assert segment is not None
        first = (segment.steps - 1) * len(scores) - manifest.latency_frames
        begin, end = max(0, manifest.warmup_frames - first), len(scores)
        if segment.closed:
            end = min(end, stream.chunker.frames(segment) - first)
        if begin >= end:
            return
        if begin or end < len(scores):
            columns = [column[begin:end] for column in columns]
            scores = scores[begin:end]
        frame_samples = manifest.frame_samples
        first_sample = segment.first_sample + (first + begin) * frame_samples
        if stream.decoder is None:
            stream.decoder = Decoder(
                stream.source,
                self._rules,
                first_sample=first_sample,
                frame_samples=frame_samples,
                numbers=stream.numbers,
                steps_at_once=self._decode_steps,
                keep_filtered=self._keep_filtered,
            )
        decided.frames.append(ScoredFrames(stream.source, first_sample, scores))
        decided.transitions += stream.decoder.push(columns, segment.taken_sample)
        if self._keep_filtered:
            self._hand_over(stream.source, stream.decoder, decided)

    def _hand_over(self, source: str, decoder: Decoder, decided: _Decided) -> None:
        """Take what the decoder has filtered."""
        first_sample, rows = decoder.take_filtered()
        if rows:
            decided.filtered.append(FilteredFrames(source, first_sample, rows))

    def _finish(self, stream: _Stream, decided: _Decided) -> None:
        """End a drained segment; go on with the next, or forget the source."""
        del self._drained[stream.slot]
        segment = stream.chunker.segment
        if segment is not None:
            following = stream.chunker.next_segment()
            reason = Reason.GAP if following is not None else stream.reason
            assert reason is not None
            if stream.decoder is not None:
                decided.transitions += stream.decoder.end(reason, segment.end_sample)
                if self._keep_filtered:
                    self._hand_over(stream.source, stream.decoder, decided)
                stream.decoder = None
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
