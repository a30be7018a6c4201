"""What can be chosen of a calibration: names that the command line, cards and manifests use."""

from __future__ import annotations

from enum import StrEnum

DEFAULT_ETA = 1 / 3
"""Of a mean duration; in all experiments of the paper on event-specific windows."""


class ObjectiveName(StrEnum):
    """What is fitted for."""

    EVENT_F1 = "event-f1"
    PSDS1 = "psds1"
    FALSE_ALARMS = "false-alarms"
    BALANCED = "balanced"


class WindowMethod(StrEnum):
    """Where median windows come from."""

    SEARCH = "search"
    EVENT_SPECIFIC = "event-specific"
    AVERAGE = "average"
    KEEP = "keep"


class Censored(StrEnum):
    """What becomes of events that are cut by the end of their recording."""

    KEEP = "keep"
    EXCLUDE = "exclude"
