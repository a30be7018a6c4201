"""Hand-over: another detector goes on where one stops, and no sample is lost between them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from streamsed.detect.detector import Detector
from streamsed.detect.events import Reason
from streamsed.detect.step_result import StepResult


def hand_over(old: Detector, new: Detector, *, restarted: Collection[str] = ()) -> list[StepResult]:
    """Let ``new`` go on with the sources of ``old``, between two steps.

    On the same engine only classes whose rules differ are affected; see
    :meth:`~streamsed.detect.detector.Detector.inherit`. On another, every open event ends, for
    reason ``reload``, after the last chunk that was processed, and the new model begins with the
    sample after that, in its initial state. The old model gets silence for its
    look-ahead.

    Args:
        old: must not be used any more.
        new: with no sources yet.
        restarted: classes that end and begin anew whatever their rules.

    Returns:
        What that decides. The sources that have ended are those that were being drained.
    """
    if old.engine is new.engine:
        transitions = tuple(new.inherit(old, restarted=restarted))
        return [StepResult(transitions, frames=(), ended=(), bad=(), filtered=(), levels=())]
    rests = {source: old.cut(source, Reason.RELOAD) for source in old.sources}
    results = []
    while (result := old.step()) is not None:
        ended = tuple(source for source in result.ended if rests[source] is None)
        results.append(replace(result, ended=ended))
    for source, rest in rests.items():
        if rest is not None:
            new.add(source, rest)
    return results
