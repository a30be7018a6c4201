"""Steps that label: pseudo labels of a detector, for others to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from train.checkpoint import load_model
from train.data.desed import Part
from train.experiments.artefact import Artefact
from train.experiments.step import Need, Place, Step
from train.pseudo_labels import (
    ORIGIN_FILE,
    PARTS,
    STRONG_FILE,
    WEAK_FILE,
    PseudoConfig,
    label_parts,
)


@dataclass(frozen=True, kw_only=True)
class PseudoLabel(Step):
    """Strong pseudo labels of clips, the tags of those whose tags have no event, and their origin.

    Attributes:
        checkpoint: of a detector that tags.
        data: data set whose clips are labelled.
        parts: of it.
        config: how scores become labels.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    checkpoint: str
    data: str = "data"
    parts: tuple[Part, ...] = PARTS
    config: PseudoConfig = field(default_factory=PseudoConfig)
    kind: Literal["pseudo_label"] = "pseudo_label"

    def needs(self) -> Mapping[str, Need]:
        """Return the checkpoint and the data set."""
        return {
            "checkpoint": Need("checkpoint", self.checkpoint),
            "data": Need("data", self.data),
        }

    def yields(self) -> Mapping[str, Artefact]:
        """Return the tables and where they come from."""
        files = {"strong": STRONG_FILE, "weak": WEAK_FILE, "origin": ORIGIN_FILE}
        return {name: Artefact("labels", Path(file)) for name, file in files.items()}

    def run(self, at: Place) -> bool:
        """Label the clips."""
        checkpoint = at.needs["checkpoint"]
        label_parts(
            load_model(checkpoint),
            at.needs["data"],
            at.folder,
            config=self.config,
            origin=checkpoint,
            parts=self.parts,
        )
        return True
