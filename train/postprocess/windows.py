"""Median windows from how long events are: event-specific, or from the average duration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamsed.errors import ConfigError, DataError
from train.postprocess.choices import DEFAULT_ETA, Censored

_EQUAL = 1e-12  # rises of the curve that differ by rounding alone are equal


class Rule(StrEnum):
    """Which durations a window is made of."""

    KNEE = "knee"
    MEAN = "mean"


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """How windows are made of durations: ``W_c = eta * mean(L_1 .. L_N)``.

    Event-specific post-processing, eq. 7 of Liang, Long, Li, Liang and Wang, "Joint framework with
    deep feature distillation and adaptive focal loss for weakly supervised audio tagging and
    acoustic event detection": ``L_i`` are the durations of a class's events in all strongly
    labelled *training* clips, sorted from short to long.

    The paper applies the same filter twice, to the posteriors (times the tags) and again to the
    binary map; the runtime applies it once, to the scores.

    Attributes:
        rule: up to where durations count. The paper: ``N_c`` is the index at the inflection of
            their cumulative distribution. A strict inflection is the mode of the density, which
            takes the shortest quarter of the events only; what the paper's figure marks is where
            a steep rise turns into a long flat tail: a knee. So KNEE is
            ``argmax (y_i - x_i)``, with ``y_i = i / n`` and
            ``x_i = (L_i - L_1) / (L_n - L_1)``; of equals the largest. MEAN is the paper's
            baseline: all durations count.
        eta: the paper: 1/3 in all experiments.
        from_share: the knee is looked for from this ``y_i`` on, because where most events are
            cut by the clip's end the curve is convex, and its highest point over the chord is at
            its very beginning. Not in the paper.
        fewest_events: with fewer the mean of all is taken. Not in the paper.
        least_gap: a knee that rises above the chord by less is none, and the mean of all is
            taken: durations are evenly spread then. Not in the paper.
        censored: events cut by the end of their clip last longer than their label. ``keep``
            as the paper does, or ``exclude``.
        censored_margin_s: an event is cut if its *duration* comes within this of the clip's
            length: it fills the whole clip.
    """

    rule: Rule = Rule.KNEE
    eta: float = DEFAULT_ETA
    from_share: float = 0.5
    fewest_events: int = 20
    least_gap: float = 0.05
    censored: Censored = Censored.KEEP
    censored_margin_s: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.eta <= 10.0:
            raise ConfigError(f"eta is {self.eta}; above 0 and up to 10 would be right")
        if not 0.0 <= self.from_share <= 1.0:
            raise ConfigError(f"from_share is {self.from_share}; 0 to 1 would be right")


@dataclass(frozen=True, eq=False)
class Durations:
    """How long the events of one class are.

    Attributes:
        durations_s: ``(n,)`` seconds, in any order.
        clip_s: ``(n,)`` length of the clip of each; infinite where it is not known.
    """

    durations_s: NDArray[np.float64]
    clip_s: NDArray[np.float64]

    @classmethod
    def of(cls, durations_s: ArrayLike, clip_s: ArrayLike | None = None) -> Durations:
        """Build from sequences; without ``clip_s`` no event counts as cut."""
        durations = np.asarray(durations_s, np.float64)
        clips = np.full(durations.shape, np.inf) if clip_s is None else np.asarray(clip_s)
        return cls(durations, np.broadcast_to(clips.astype(np.float64), durations.shape))


@dataclass(frozen=True)
class Window:
    """The window of one class, and how it came about.

    Attributes:
        window_s: seconds, before it is made odd in frames.
        events: durations that there were.
        counted: how many of the shortest went into the mean.
        knee: whether that is up to a knee, not all.
        censored: events that fill their clips.
    """

    window_s: float
    events: int
    counted: int
    knee: bool
    censored: int


def find_knee(lengths_s: NDArray[np.float64], config: WindowConfig) -> int | None:
    """Return how many of the shortest durations lie up to the knee; None if there is none.

    Args:
        lengths_s: ``(n,)`` ascending.
        config: see :class:`WindowConfig`.
    """
    count = len(lengths_s)
    spread = lengths_s[-1] - lengths_s[0] if count else 0.0
    if count < config.fewest_events or spread <= 0.0:
        return None
    shares = np.arange(1, count + 1) / count
    rise = np.where(
        shares >= config.from_share, shares - (lengths_s - lengths_s[0]) / spread, -np.inf
    )
    if rise.max() < config.least_gap:
        return None
    return int(np.flatnonzero(rise >= rise.max() - _EQUAL)[-1]) + 1


def class_window(label: str, durations: Durations, config: WindowConfig) -> Window:
    """Return the median window of one class.

    Args:
        label: for people.
        durations: of its events.
        config: see :class:`WindowConfig`.

    Raises:
        DataError: there is no event to take a duration from.
    """
    cut = durations.durations_s >= durations.clip_s - config.censored_margin_s
    used = (
        durations.durations_s[~cut]
        if config.censored is Censored.EXCLUDE
        else durations.durations_s
    )
    if not len(used):
        why = "only events that fill their clips" if cut.any() else "no event"
        raise DataError(f"class {label!r} has {why}; without durations it cannot have a window")
    lengths = np.sort(used)
    knee = find_knee(lengths, config) if config.rule is Rule.KNEE else None
    counted = knee or len(lengths)
    return Window(
        window_s=float(config.eta * lengths[:counted].mean()),
        events=len(durations.durations_s),
        counted=counted,
        knee=knee is not None,
        censored=int(cut.sum()),
    )


def class_windows(
    durations: Mapping[str, Durations], classes: Sequence[str], config: WindowConfig
) -> dict[str, Window]:
    """Return the median window of every class.

    Args:
        durations: by class.
        classes: the classes.
        config: see :class:`WindowConfig`.

    Raises:
        DataError: names a class without events.
    """
    nothing = Durations.of([])
    return {label: class_window(label, durations.get(label, nothing), config) for label in classes}
