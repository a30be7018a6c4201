"""Running a detector to the end, and what it returned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from streamsed.detect.detector import Detector
from streamsed.detect.events import Kind, Reason, Transition
from streamsed.detect.step_result import StepResult
from streamsed.sources.block import Block

Array = NDArray[np.float32]


@dataclass
class Collected:
    """Everything a detector returned for one source."""

    transitions: list[Transition] = field(default_factory=list)
    frames: list[tuple[int, Array]] = field(default_factory=list)
    ended: int = 0

    def same_as(self, other: Collected) -> bool:
        """Whether transitions and scores are the same to the last bit."""
        return (
            self.transitions == other.transitions
            and self.ended == other.ended
            and [first for first, _ in self.frames] == [first for first, _ in other.frames]
            and all(
                np.array_equal(mine, theirs)
                for (_, mine), (_, theirs) in zip(self.frames, other.frames, strict=True)
            )
        )

    @property
    def events(self) -> list[tuple[str, int, int, Reason]]:
        """Label, onset, offset and reason of every event, in the order of their offsets."""
        return [
            (t.label, t.onset_sample, t.offset_sample, t.reason)
            for t in self.transitions
            if t.offset_sample is not None and t.reason is not None
        ]

    def shifted(self, samples: int, source: str) -> Collected:
        """Return the same, ``samples`` later from another source."""
        return Collected(
            [
                replace(
                    t,
                    source=source,
                    onset_sample=t.onset_sample + samples,
                    offset_sample=None if t.offset_sample is None else t.offset_sample + samples,
                    decided_sample=t.decided_sample + samples,
                )
                for t in self.transitions
            ],
            [(first + samples, scores) for first, scores in self.frames],
            self.ended,
        )


def step_all(detector: Detector, received: dict[str, Collected]) -> None:
    """Step until there is nothing to do."""
    while (result := detector.step()) is not None:
        note(result, received)


def note(result: StepResult, received: dict[str, Collected]) -> None:
    """Note what a step returned for each source."""
    for transition in result.transitions:
        received[transition.source].transitions.append(transition)
    for frames in result.frames:
        received[frames.source].frames.append((frames.first_frame_sample, frames.scores))
    for source in result.ended:
        received[source].ended += 1


def detect(
    detector: Detector,
    blocks: Iterable[Block],
    *,
    source: str = "kitchen",
    reason: Reason = Reason.END_OF_STREAM,
    eager: bool = True,
) -> Collected:
    """Run one source through a detector; ``eager`` steps after every block."""
    received = {source: Collected()}
    detector.add(source)
    for block in blocks:
        detector.push(source, block)
        if eager:
            step_all(detector, received)
    detector.end(source, reason)
    step_all(detector, received)
    return received[source]


def cut(audio: Array, places: Sequence[int], *, first_sample: int = 0) -> list[Block]:
    """Cut audio into blocks at sample indices."""
    edges = [0, *sorted(places), len(audio)]
    return [Block(audio[begin:end], first_sample + begin) for begin, end in pairwise(edges)]


def assert_paired(transitions: Iterable[Transition]) -> None:
    """Assert that every onset has exactly one offset, after it, and nothing comes without one."""
    is_open: dict[int, Transition] = {}
    numbers = []
    for transition in transitions:
        if transition.kind is Kind.ONSET:
            assert transition.number not in is_open
            assert transition.offset_sample is None
            assert transition.reason is None
            is_open[transition.number] = transition
            numbers.append(transition.number)
            continue
        onset = is_open[transition.number]
        assert transition.label == onset.label
        assert transition.onset_sample == onset.onset_sample
        if transition.kind is Kind.OFFSET:
            assert transition.reason is not None
            assert transition.offset_sample is not None
            assert onset.onset_sample < transition.offset_sample <= transition.decided_sample
            del is_open[transition.number]
    assert not is_open
    assert numbers == list(range(len(numbers)))
