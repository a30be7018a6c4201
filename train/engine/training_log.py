"""What a run leaves behind to be read: ``history.jsonl``, TensorBoard's events, ``curves.png``.

A line of the history is of one of two kinds. ``losses``: means of the loss's parts over the steps
since the last such line, and the learning rate. ``validation``: figures of each network. A run
that is resumed first forgets what lies beyond the step it resumes from, so that its history reads
as if it had never been stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from train.engine.curves import draw_curves

Record = dict[str, Any]

HISTORY = "history.jsonl"


def read_history(folder: Path) -> list[Record]:
    """Return the records of a run, as far as they are whole."""
    path = folder / HISTORY
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            break  # a kill while it was written
    return records


class TrainingLog:
    """Writes the records of a run.

    Args:
        folder: of the run.
        step: that it goes on from; later records are forgotten.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        self.folder = folder
        self.records = [record for record in read_history(folder) if record["step"] <= step]
        self._rewrite()
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def losses(self, *, step: int, terms: Mapping[str, float], rates: Mapping[str, float]) -> None:
        """Note the mean of each part of the loss since the last note, and rates as they are."""
        self._add({"kind": "losses", "step": step, "losses": dict(terms), "rates": dict(rates)})
        for name, value in terms.items():
            self._board.add_scalar(f"loss/{name}", value, step)
        for name, value in rates.items():
            self._board.add_scalar(f"rate/{name}", value, step)

    def validation(
        self, *, step: int, epoch: int, figures: Mapping[str, Mapping[str, float | None]]
    ) -> None:
        """Note figures of each network, and draw the curves anew."""
        plain = {name: dict(values) for name, values in figures.items()}
        self._add({"kind": "validation", "step": step, "epoch": epoch, "figures": plain})
        for network, values in figures.items():
            for name, value in values.items():
                if value is not None:
                    self._board.add_scalar(f"validation/{name}/{network}", value, step)
        self._board.flush()
        draw_curves(self.records, self.folder / "curves.png")

    def close(self) -> None:
        """Write what TensorBoard's writer still holds."""
        self._board.close()

    def _add(self, record: Record) -> None:
        self.records.append(record)
        with (self.folder / HISTORY).open("a", encoding="utf-8") as history:
            history.write(json.dumps(record) + "\n")

    def _rewrite(self) -> None:
        part = self.folder / f"{HISTORY}.part"
        lines = (json.dumps(record) + "\n" for record in self.records)
        part.write_text("".join(lines), encoding="utf-8")
        part.replace(self.folder / HISTORY)
