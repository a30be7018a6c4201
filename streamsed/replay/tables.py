"""The tables of a replay, compiled in the order of the recordings when all are done."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from streamsed.replay.folder import ReplayFolder
from streamsed.replay.outcome import Outcome
from streamsed.replay.score_writer import decimal


def compile_tables(folder: ReplayFolder, outcomes: Iterable[Outcome]) -> None:
    """Write ``events.tsv``, ``durations.tsv``, ``messages.jsonl`` and, if need be, ``failed.tsv``.

    All appear when all are whole.
    """
    with ExitStack() as stack:

        def table(path: Path, head: str) -> TextIO:
            file = stack.enter_context(folder.written(path))
            file.write(head)
            return file

        messages = table(folder.all_messages, "")
        events = table(folder.events, "filename\tonset\toffset\tevent_label\n")
        durations = table(folder.durations, "filename\tduration\n")
        failed = None
        for outcome in outcomes:
            if outcome.failure is not None:
                failed = failed or table(folder.failed, "filename\treason\n")
                failed.write(f"{outcome.name}\t{' '.join(outcome.failure.split())}\n")
            if outcome.duration_s is None:
                continue
            durations.write(f"{outcome.name}\t{decimal(outcome.duration_s)}\n")
            found = []
            with folder.messages(outcome).open(encoding="utf-8") as lines:
                for line in lines:
                    messages.write(line)
                    if (event := _event(line)) is not None:
                        found.append(event)
            for onset, offset, label in sorted(found):
                events.write(f"{outcome.name}\t{decimal(onset)}\t{decimal(offset)}\t{label}\n")


def _event(line: str) -> tuple[float, float, str] | None:
    """Return onset, offset and label if the message is an offset."""
    message = json.loads(line)
    if message["offset"] is None:
        return None
    return message["onset"]["seconds"], message["offset"]["seconds"], message["label"]
