"""What a clip holds: the audio around its event, whatever the blocks, the gaps and the delays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.clips.recorder import ClipExtent, ClipRecorder
from streamsed.clips.writer import ClipFile, ClipWriter
from streamsed.detect.events import ScoredFrames
from streamsed.sources.block import Block

FRAME = 4
CLASSES = 2
ONSET, OFFSET = 0, 1


@dataclass
class Memory:
    """Takes what the writer would be given."""

    blocks: dict[Path, list[Block]] = field(default_factory=dict)
    whole: list[Path] = field(default_factory=list)

    def put(self, clip: ClipFile, blocks: Sequence[Block], *, last: bool = False) -> None:
        assert clip.path not in self.whole, "a clip that is whole went on"
        self.blocks.setdefault(clip.path, []).extend(blocks)
        if last:
            self.whole.append(clip.path)

    def prepare(self, clip: ClipFile, *, first_sample: int) -> None:
        assert not clip.begun
        assert first_sample >= 0

    def promise(self, clip: ClipFile, *, end_sample: int) -> bool:
        return end_sample >= 0 and not clip.dropped

    def close(self, timeout_s: float) -> None:
        assert timeout_s == 1.0

    def recorded(self) -> list[list[int]]:
        """The samples of each clip, which count from 0 in these tests."""
        assert sorted(self.whole) == sorted(self.blocks)
        return [
            [int(sample) for block in blocks for sample in block.samples]
            for blocks in self.blocks.values()
        ]


def recorder(
    memory: Memory,
    extent: ClipExtent,
    *,
    sources: frozenset[str] | None = None,
    classes: frozenset[str] | None = None,
) -> ClipRecorder:
    return ClipRecorder(
        cast(ClipWriter, memory), extent, folder=Path("/x"), sources=sources, classes=classes
    )


def extent(**changes: int) -> ClipExtent:
    fields = {"pre": 10, "post": 6, "longest": 1000, "lag": 12, "frame_samples": FRAME, "piece": 8}
    return ClipExtent(**(fields | changes))


def block(first: int, end: int) -> Block:
    return Block(np.arange(first, end, dtype=np.float32), first)


def decoded(end: int) -> ScoredFrames:
    """Frames of which the last ends at ``end``."""
    return ScoredFrames("a", end - FRAME, np.zeros((1, CLASSES), np.float32))


def begin(clips: ClipRecorder, number: int, onset: int, *, label: str = "Dog") -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    clips.begin("a", UUID(int=number), label=label, onset_sample=onset, utc=now)


@given(
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=60),
    events=st.lists(
        st.tuples(st.integers(0, 400), st.integers(1, 200), st.integers(0, 12), st.integers(0, 12)),
        max_size=6,
    ),
    look_ahead=st.integers(0, 30),
    rules=st.builds(
        extent,
        pre=st.integers(0, 40),
        post=st.integers(0, 40),
        longest=st.sampled_from([50, 120, 1000]),
        piece=st.integers(1, 50),
    ),
)
def test_a_clip_is_the_audio_around_its_event(
    cuts: list[int],
    events: list[tuple[int, int, int, int]],
    look_ahead: int,
    rules: ClipExtent,
) -> None:
    """Events are decided anywhere within the lag; clips are compared with slices of the audio."""
    total = sum(cuts)
    spans = [(on, min(on + length, total)) for on, length, _, _ in events if on < total]
    decisions = sorted(
        decision
        for number, (on, off) in enumerate(spans)
        for decision in (
            (min(on + events[number][2], total), number, ONSET),
            (min(max(off + events[number][3], on + events[number][2]), total), number, OFFSET),
        )
    )
    memory = Memory()
    clips = recorder(memory, rules)
    paths, position = {}, 0

    def decide(upto: int) -> None:
        while decisions and decisions[0][0] <= upto:
            _, number, what = decisions.pop(0)
            if what == ONSET:
                begin(clips, number, spans[number][0])
            else:
                paths[number] = clips.end("a", UUID(int=number), offset_sample=spans[number][1])

    for cut in cuts:
        clips.add("a", block(position, position + cut))
        position += cut
        frames = max(0, position - look_ahead) // FRAME
        if frames:
            decide(frames * FRAME)
            clips.advance(decoded(frames * FRAME))
    decide(total)
    clips.close(1.0)
    recorded = {
        path: [int(s) for b in blocks for s in b.samples] for path, blocks in memory.blocks.items()
    }
    for number, (on, off) in enumerate(spans):
        first = max(0, on - rules.pre)
        end = min(off + rules.post, first + rules.longest, total)
        path = paths[number]
        assert path is not None
        assert recorded[path] == list(range(first, end))
    assert sorted(memory.whole) == sorted(paths.values())


def test_overlapping_events_each_have_their_clip() -> None:
    memory = Memory()
    clips = recorder(memory, extent())
    clips.add("a", block(0, 60))
    begin(clips, 1, 20)
    begin(clips, 2, 24)
    clips.end("a", UUID(int=1), offset_sample=30)
    clips.end("a", UUID(int=2), offset_sample=50)
    clips.advance(decoded(60))
    assert memory.recorded() == [list(range(10, 36)), list(range(14, 56))]


def test_audio_goes_to_disk_while_the_event_goes_on() -> None:
    memory = Memory()
    clips = recorder(memory, extent())
    for first in range(0, 400, 20):
        clips.add("a", block(first, first + 20))
        if first == 40:
            begin(clips, 1, 40)
        clips.advance(decoded(first + 20))
    (sent,) = memory.blocks.values()
    assert sent[-1].end_sample == 400 - 12 + 6  # the end may yet lie so far back, plus `post`
    assert memory.whole == []


def test_a_clip_has_a_longest_length_and_the_event_goes_on() -> None:
    memory = Memory()
    clips = recorder(memory, extent(longest=50))
    clips.add("a", block(0, 40))
    begin(clips, 1, 20)
    for first in range(40, 200, 20):
        clips.add("a", block(first, first + 20))
        clips.advance(decoded(first + 20))
    assert memory.recorded() == [list(range(10, 60))]
    assert clips.end("a", UUID(int=1), offset_sample=150) is not None
    clips.forget("a")
    assert memory.recorded() == [list(range(10, 60))]


def test_lost_audio_ends_no_clip_early_and_makes_none_long() -> None:
    memory = Memory()
    clips = recorder(memory, extent())
    clips.add("a", block(0, 60))
    begin(clips, 1, 40)
    clips.advance(decoded(60))
    clips.add("a", block(10_000, 10_040))  # its event ends at the gap, as will be decided
    assert clips.end("a", UUID(int=1), offset_sample=60) is not None
    clips.advance(decoded(10_040))
    assert memory.recorded() == [list(range(30, 60))]


def test_no_more_is_kept_than_may_be_needed() -> None:
    memory = Memory()
    clips = recorder(memory, extent())
    kept = []
    for first in range(0, 10_000, 20):
        clips.add("a", block(first, first + 20))
        clips.advance(decoded(first + 20))
        recent = clips._tracks["a"].recent
        kept.append(recent.end_sample - recent.first_sample)
    assert max(kept) <= 12 + 10 + 8 + 20


def test_a_source_that_begins_anew_has_forgotten_what_was_before() -> None:
    memory = Memory()
    clips = recorder(memory, extent())
    clips.add("a", block(0, 40))
    begin(clips, 1, 30)
    clips.end("a", UUID(int=1), offset_sample=38)
    clips.forget("a")
    clips.add("a", block(0, 20))
    begin(clips, 2, 15)
    clips.forget("a")
    assert memory.recorded() == [list(range(20, 40)), list(range(5, 20))]


@pytest.mark.parametrize("chosen", [{"sources": frozenset("b")}, {"classes": frozenset(["Cat"])}])
def test_only_what_is_wanted_is_recorded(chosen: dict[str, frozenset[str]]) -> None:
    memory = Memory()
    clips = recorder(memory, extent(), **chosen)
    clips.add("a", block(0, 40))
    begin(clips, 1, 30, label="Dog")
    assert clips.end("a", UUID(int=1), offset_sample=35) is None
    clips.forget("a")
    assert memory.blocks == {}
