"""Training of forward-backward networks: tags at every frame, boundaries where they are known."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from train.data.batches import Batch
from train.data.classes import CLASSES
from train.data.targets import STRONG, WEAK
from train.engine.networks import Networks
from train.engine.schedules import At
from train.engine.stage import Terms
from train.losses.boundaries import boundaries, framewise_max
from train.models.fbcrnn import FBCRNN
from train.models.registry import MODELS
from train.stages.detection import STUDENT, Detection, DetectionConfig
from train.stages.registry import STAGES, AverageConfig

if TYPE_CHECKING:
    from train.recipe.schema import Recipe


@dataclass(frozen=True)
class FBCRNNStageConfig(DetectionConfig):
    """Options of :class:`FBCRNNStage`.

    Attributes:
        teacher: null, as in the paper.
        boundaries: weight of the loss where events are known, which is taken instead of that of
            tags there; 0 learns from tags alone, as the network of 2020.
    """

    teacher: AverageConfig | None = None
    boundaries: float = 1.0
    kind: Literal["fbcrnn"] = "fbcrnn"

    def __post_init__(self) -> None:
        if self.boundaries < 0.0:
            raise ValueError(f"boundaries {self.boundaries}; must be 0 or more")

    def check(self, recipe: Recipe) -> None:
        """Refuse models without forward and backward networks."""
        super().check(recipe)
        if not issubclass(MODELS.maker(recipe.model.kind), FBCRNN):
            raise ValueError(f"stage fbcrnn trains an fbcrnn; a {recipe.model.kind} is none")


def _example() -> dict[str, Any]:
    return {"model": asdict(MODELS.example("fbcrnn")(CLASSES))}


@STAGES.register(FBCRNNStageConfig, example=_example)
class FBCRNNStage(Detection):
    """Tags at every frame with the surer network, and boundaries of known events with both."""

    def terms(self, batch: Batch[Tensor], networks: Networks, at: At) -> Terms:
        """Return the two losses; see the base class."""
        config = self.recipe.stage
        assert isinstance(config, FBCRNNStageConfig)
        batch, padding = self.prepare(batch, networks, at)
        extra = self.run(networks, STUDENT, batch, padding).extra
        forward, backward = extra["forward"], extra["backward"]
        weak, strong = batch.targets[WEAK], batch.targets[STRONG]
        tagged = weak.known & ~strong.known if config.boundaries else weak.known
        known = tagged[:, None] & ~padding
        terms = {"tags": framewise_max(forward, backward, weak.values, known)}
        for name in config.frame_targets if config.boundaries else ():
            target = batch.targets[name]
            known = target.known[:, None] & ~padding
            known = known if target.frames is None else known & target.frames
            loss = boundaries(forward, backward, target.values, known)
            terms["boundaries" if name == STRONG else f"boundaries_{name}"] = (
                config.boundaries * loss
            )
        return terms
