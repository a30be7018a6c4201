"""Position: the number of the last message that a sink has delivered, over restarts."""

from __future__ import annotations

import time
from pathlib import Path

import structlog

from streamsed.sinks.state_file import FOLDER, read_state, write_state

_SAVE_S = 1.0  # after a crash, what was delivered in that time is delivered again

log = structlog.get_logger()


class Position:
    """A number and its file, ``sinks/NAME.json`` in the journal's folder; for one thread.

    Each sink has a file of its own, so that none waits for another's disk access.

    Attributes:
        seq: of the last message delivered.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        """Name the file; None for a position that is not kept."""
        self.seq = 0
        self._path = None if folder is None else folder / FOLDER / f"{name}.json"
        self._name = name
        self._saved = -1
        self._save_at = 0.0
        self._failing = False

    def begin(self, last_seq: int) -> None:
        """Go on from where it was; at a first start, from now.

        Args:
            last_seq: the last number used so far.
        """
        found = self._read()
        if found is not None and not 0 <= found <= last_seq:
            log.warning("sink_position_unknown", sink=self._name, found=found, last_seq=last_seq)
            found = None
        self.seq = last_seq if found is None else found
        self.save(at_once=True)

    def save(self, *, at_once: bool = False) -> None:
        """Write it, if it changed and not too often; a disk that fails stops no sink."""
        now = time.monotonic()
        if self._path is None or self.seq == self._saved or (now < self._save_at and not at_once):
            return
        self._save_at = now + _SAVE_S
        try:
            write_state(self._path, {"seq": self.seq})
        except OSError as error:
            if not self._failing:
                log.warning("sink_position_not_saved", sink=self._name, reason=str(error))
            self._failing = True
            return
        self._failing = False
        self._saved = self.seq

    @property
    def is_saved(self) -> bool:
        """Whether there is nothing to write."""
        return self._path is None or self.seq == self._saved

    def _read(self) -> int | None:
        if self._path is None:
            return None
        try:
            match read_state(self._path):
                case None:
                    return None
                case {"seq": int(seq)}:
                    return seq
            reason = "it holds no number"
        except (OSError, ValueError) as error:
            reason = repr(error)
        log.warning("sink_position_unreadable", sink=self._name, reason=reason)
        return None
