"""A step that makes one set of clips serve every purpose, to show that a network can learn it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from train.data.desed import PLACES, read_desed
from train.data.events import write_tsv
from train.data.tables import write_rows
from train.experiments.artefact import Artefact
from train.experiments.step import Need, Place, Step


@dataclass(frozen=True, kw_only=True)
class SameClips(Step):
    """The clips with events of a data set, also as its weak clips and as those to validate on.

    Attributes:
        data: data set in DESED's shape; its ``strong`` clips are taken.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    data: str = "data"
    kind: Literal["same_clips"] = "same_clips"

    def needs(self) -> Mapping[str, Need]:
        """Return the data set."""
        return {"data": Need("data", self.data)}

    def yields(self) -> Mapping[str, Artefact]:
        """Return the data set of the same clips."""
        return {"data": Artefact("data", Path("same"))}

    def run(self, at: Place) -> bool:
        """Copy the clips to where each part has its own, and write the parts' tables."""
        root = at.folder / "same"
        clips = read_desed(at.needs["data"], "strong").clips
        for part in ("strong", "weak", "strong_validation"):
            place = PLACES[part]
            folder = root / place.audio[0]
            folder.mkdir(parents=True, exist_ok=True)
            for clip in clips:
                shutil.copyfile(clip.path, folder / clip.name)
            assert place.table is not None
            table = root / place.table
            table.parent.mkdir(parents=True, exist_ok=True)
            if part == "weak":
                rows = ((clip.name, ",".join(clip.labels)) for clip in clips)
                write_rows(table, ("filename", "event_labels"), rows)
            else:
                write_tsv(table, {clip.name: clip.events or () for clip in clips})
        return True
