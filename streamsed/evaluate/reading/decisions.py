"""When the events of a replay were decided: read from the messages that it would have sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from streamsed.errors import DataError
from streamsed.evaluate.reading.delimited import read_text

DECIDED_COLUMNS = [
    "filename",
    "onset",
    "offset",
    "event_label",
    "onset_decided",
    "offset_decided",
]


class Decision(NamedTuple):
    """One event, and how far the recording was processed when it was published; seconds."""

    recording: str
    onset_s: float
    offset_s: float
    label: str
    onset_decided_s: float
    offset_decided_s: float


def read_decisions(path: Path) -> list[Decision]:
    """Read the onset and offset messages of a replay, a JSON object a line.

    An event has an onset message and an offset message with the same source, label and onset;
    what lies between is no matter here. ``latency_ms`` is how much audio after the onset (of an
    offset message: after the offset) had been processed when the message was sent.

    Raises:
        DataError: file and line of what is no such message, or an offset without an onset.
    """
    onsets: dict[tuple[str, str, float], float] = {}
    decisions = []
    for line, text in enumerate(read_text(path).splitlines(), 1):
        if not text.strip():
            continue
        try:
            message = json.loads(text)
            kind = message["kind"]
            if kind not in {"onset", "offset"}:
                continue
            key = (str(message["source"]), str(message["label"]), _seconds(message, "onset"))
            decided_s = _seconds(message, kind) + float(message["latency_ms"]) / 1000.0
            if kind == "onset":
                onsets[key] = decided_s
                continue
            offset_s = _seconds(message, "offset")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {line}: is no event message of a replay, with kind, source, label, "
                "onset, offset and latency_ms"
            ) from error
        if key not in onsets:
            raise DataError(f"{path}, line {line}: the offset of an event without an onset message")
        recording, label, onset_s = key
        decisions.append(Decision(recording, onset_s, offset_s, label, onsets.pop(key), decided_s))
    return decisions


def _seconds(message: Any, moment: str) -> float:
    return float(message[moment]["seconds"])
