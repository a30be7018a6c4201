"""The search for the best postprocessing of one class.

Coarse to fine: every window with every threshold, then hysteresis and durations around the best.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from streamsed.bundle.manifest import ClassPostprocessing
from train.postprocess.clips import Clips, Track
from train.postprocess.decoding import Decoding, decode_intervals
from train.postprocess.intervals import Intervals
from train.postprocess.objective import Objective, Outcome

HIGHEST_ENTER = 0.99


@dataclass(frozen=True, kw_only=True)
class SearchGrid:
    """What is tried.

    Attributes:
        windows_s: median windows; half of one is latency of every onset, hence at most 1.6 s.
        enters: thresholds.
        exit_shares: ``exit`` as a share of a threshold.
        enter_steps: in the second round ``enter`` is raised by these.
        coarse_min_ons_s: shortest events that are tried with every threshold, beside a frame: where
            false alarms are short, low thresholds would else be given up in the first round.
        min_ons_s: shortest events; a frame is always tried.
        min_offs_s: shortest pauses; a frame is always tried.
        kept: how many of the best go on to the next round.
    """

    windows_s: tuple[float, ...] = tuple(0.064 * n for n in (1, 3, 5, 7, 9, 13, 17, 21, 25))
    enters: tuple[float, ...] = (*(round(0.05 * n, 2) for n in range(1, 20)), 0.97, 0.99)
    exit_shares: tuple[float, ...] = (1.0, 0.8, 0.6, 0.4, 0.2)
    enter_steps: tuple[float, ...] = (0.0, 0.1, 0.2)
    coarse_min_ons_s: tuple[float, ...] = ()
    min_ons_s: tuple[float, ...] = tuple(0.064 * n for n in (1, 2, 4, 6, 10))
    min_offs_s: tuple[float, ...] = tuple(0.064 * n for n in (1, 3, 5, 8, 12, 16, 20))
    kept: int = 4

    def windows(self, frame_s: float) -> list[int]:
        """Return the windows in frames, odd as the runtime makes them."""
        return sorted(
            {
                Decoding.of(ClassPostprocessing(median_s=window_s), frame_s=frame_s).median
                for window_s in self.windows_s
            }
        )


@dataclass(frozen=True)
class Fitted:
    """What was found for one class, and how it does on what it was fitted on."""

    decoding: Decoding
    outcome: Outcome


class ClassSearch:
    """Searches for one class.

    Args:
        clips: scores of all classes.
        column: of the class.
        truth: its events, in seconds from the start of each clip.
        grid: what is tried.
        longest: frames after which an event is ended, which is not fitted; None for no limit.

    Attributes:
        clips: as given.
    """

    def __init__(
        self,
        clips: Clips,
        column: int,
        truth: Intervals,
        *,
        grid: SearchGrid | None = None,
        longest: int | None = None,
    ) -> None:
        self.clips = clips
        self._column = column
        self._truth = truth
        self._grid = grid or SearchGrid()
        self._longest = longest
        self._tracks: dict[int, Track] = {}

    def outcome(self, decoding: Decoding) -> Outcome:
        """Return what a decoding does."""
        found = decode_intervals(self.clips, self.track(decoding.median), decoding)
        return Outcome.of(found, self._truth, hours=self.clips.hours)

    def track(self, window: int) -> Track:
        """Return the class's scores, filtered."""
        if window not in self._tracks:
            self._tracks[window] = self.clips.track(self._column, window)
        return self._tracks[window]

    def best(
        self, objective: Objective, windows: Iterable[int], *, also: Sequence[Decoding] = ()
    ) -> Fitted:
        """Return the best decoding.

        Args:
            objective: what is best.
            windows: that it may have, odd, in frames.
            also: decodings that it may be beside those of the grid; of equals they are preferred.
        """
        grid, frame_s = self._grid, self.clips.frame_s
        coarse = self._ranked(
            objective,
            (
                Decoding(enter, enter, window, min_on, max_on=self._longest)
                for window in windows
                for enter in grid.enters
                for min_on in self._min_ons(grid.coarse_min_ons_s)
            ),
        )
        hysteresis = self._ranked(
            objective,
            (
                replace(base.decoding, enter=enter, exit=round(base.decoding.enter * share, 4))
                for base in coarse
                for enter in sorted({_raised(base.decoding.enter, s) for s in grid.enter_steps})
                for share in grid.exit_shares
            ),
        )
        durations = itertools.product(
            self._min_ons(grid.min_ons_s), _frames(grid.min_offs_s, frame_s)
        )
        fine = (
            replace(base.decoding, min_on=min_on, min_off=min_off)
            for (min_on, min_off) in durations
            for base in hysteresis
        )
        return self._ranked(objective, itertools.chain(also, fine))[0]

    def _min_ons(self, durations_s: Iterable[float]) -> list[int]:
        """Return durations in frames that an event may have to have."""
        frames = _frames(durations_s, self.clips.frame_s)
        return [n for n in frames if self._longest is None or n <= self._longest]

    def _ranked(self, objective: Objective, candidates: Iterable[Decoding]) -> list[Fitted]:
        """Return the best, the best first; of equals the earlier, which is the simpler one."""
        fitted = [Fitted(decoding, self.outcome(decoding)) for decoding in candidates]
        fitted.sort(key=lambda one: objective.value(one.outcome), reverse=True)  # stable
        return fitted[: self._grid.kept]


def _raised(enter: float, step: float) -> float:
    return max(enter, min(HIGHEST_ENTER, round(enter + step, 2)))


def _frames(durations_s: Iterable[float], frame_s: float) -> list[int]:
    return sorted({1, *(max(1, round(duration_s / frame_s)) for duration_s in durations_s)})
