"""The result of one step of the detector."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamsed.detect.decoder import Decoded
from streamsed.detect.events import FilteredFrames, ScoredFrames, Transition
from streamsed.detect.level import LevelReport


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of one step.

    Attributes:
        transitions: in order for each source.
        frames: the fused scores that were decoded, at most one entry a source.
        ended: sources that were drained and are forgotten; the last of their transitions are here.
        bad: sources of which this step gave scores that are no numbers or
            outside 0 to 1; see
            :meth:`Detector.bad_steps`.
        filtered: median-filtered scores that are known by now, those of several steps together;
            empty unless they are kept.
        levels: reports of sources whose interval is complete; empty unless levels are measured.
    """

    transitions: tuple[Transition, ...]
    frames: tuple[ScoredFrames, ...]
    ended: tuple[str, ...]
    bad: tuple[str, ...]
    filtered: tuple[FilteredFrames, ...]
    levels: tuple[LevelReport, ...]


@dataclass(slots=True)
class Decided:
    """A :class:`StepResult` in the making."""

    transitions: list[Transition] = field(default_factory=list)
    frames: list[ScoredFrames] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    filtered: list[FilteredFrames] = field(default_factory=list)
    levels: list[LevelReport] = field(default_factory=list)

    def note(self, decoded: Decoded) -> None:
        """Add what a decoder decided."""
        self.transitions += decoded.transitions
        self.filtered += decoded.filtered

    def result(self) -> StepResult:
        """Make it final."""
        return StepResult(
            transitions=tuple(self.transitions),
            frames=tuple(self.frames),
            ended=tuple(self.ended),
            bad=tuple(self.bad),
            filtered=tuple(self.filtered),
            levels=tuple(self.levels),
        )
