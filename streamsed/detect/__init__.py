"""Detection: a pure function from samples to events. Knows nothing of sockets or clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamsed.exports import lazy

if TYPE_CHECKING:
    from streamsed.detect.detector import Detector
    from streamsed.detect.engine import Engine
    from streamsed.detect.events import Kind, Reason, Score, ScoredFrames, Transition
    from streamsed.detect.step_result import StepResult

__all__ = [
    "Detector",
    "Engine",
    "Kind",
    "Reason",
    "Score",
    "ScoredFrames",
    "StepResult",
    "Transition",
]

__getattr__ = lazy(
    __name__,
    {
        "Detector": "streamsed.detect.detector",
        "Engine": "streamsed.detect.engine",
        "Kind": "streamsed.detect.events",
        "Reason": "streamsed.detect.events",
        "Score": "streamsed.detect.events",
        "ScoredFrames": "streamsed.detect.events",
        "StepResult": "streamsed.detect.step_result",
        "Transition": "streamsed.detect.events",
    },
)
