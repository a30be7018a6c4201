"""Learning from labels alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from train.data.batches import Batch
from train.engine.networks import Networks
from train.engine.schedules import At
from train.engine.stage import Terms
from train.stages.detection import STUDENT, Detection, DetectionConfig
from train.stages.registry import STAGES


@dataclass(frozen=True)
class SupervisedConfig(DetectionConfig):
    """Options of :class:`Supervised`."""

    kind: Literal["supervised"] = "supervised"


@STAGES.register(SupervisedConfig)
class Supervised(Detection):
    """Cross-entropy of frames where events are known, and of clips where only tags are."""

    def terms(self, batch: Batch[Tensor], networks: Networks, at: At) -> Terms:
        """Return the cross-entropies; see the base class."""
        batch, padding = self.prepare(batch, networks, at)
        return self.labelled_terms(self.run(networks, STUDENT, batch, padding), batch)
