"""Stages that train a separator: from mixtures with their sources, or from mixtures alone."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from streamsed.errors import ConfigError
from train.checkpoint import load_separator
from train.data.loading import load
from train.data.mixtures import MixtureBatch, OrderedMixtures
from train.data.sets.mixtures import MixtureSets
from train.engine.networks import AverageOf, Learned, Networks, Role
from train.engine.schedules import At
from train.engine.stage import Sets, Stage, Terms
from train.losses.mixit import mixit_loss
from train.losses.pit import in_order, pit_loss
from train.losses.snr import si_snr_improvement
from train.models.conv_tasnet import ConvTasNet, ConvTasNetConfig
from train.models.registry import MODELS
from train.stages.registry import STAGES, AverageConfig, StageConfig

if TYPE_CHECKING:
    from train.recipe.schema import Recipe

STUDENT, TEACHER = "student", "teacher"
MEANINGLESS = (
    "mixup",
    "augment",
    "postprocessing",
    "statistics_batches",
    "validation.part",
    "validation.objective",
    "validation.median_s",
)
"""Keys of a recipe that are about clips with labels."""


@dataclass(frozen=True)
class SeparationConfig(StageConfig):
    """Options of both stages.

    Attributes:
        teacher: an average of the student's weights that is validated beside it; null for none.
    """

    DATA_KIND: ClassVar[str]
    teacher: AverageConfig | None = None

    def network_names(self) -> tuple[str, ...]:
        """Return the separator's name, and its average's."""
        return (STUDENT,) if self.teacher is None else (STUDENT, TEACHER)

    def check(self, recipe: Recipe) -> None:
        """Refuse other networks and data, and keys that mean nothing to a separator."""
        if not isinstance(recipe.model, ConvTasNetConfig):
            raise ValueError(f"stage {self.kind} trains a conv_tasnet, not a {recipe.model.kind}")
        if recipe.data.kind != self.DATA_KIND:
            raise ValueError(f"stage {self.kind} learns from data.kind {self.DATA_KIND}")
        if recipe.machine.cache is not None:
            raise ValueError("machine.cache keeps mel bands, which a separator is not given")
        plain = type(recipe)(name="")
        for key in MEANINGLESS:
            if attrgetter(key)(recipe) != attrgetter(key)(plain):
                raise ValueError(f"{key} means nothing to stage {self.kind}")


@dataclass(frozen=True)
class PITConfig(SeparationConfig):
    """Permutation-invariant training on mixtures with their sources."""

    DATA_KIND = "mixtures"
    kind: Literal["pit"] = "pit"


@dataclass(frozen=True)
class MixITConfig(SeparationConfig):
    """Mixture-invariant training on sums of two clips."""

    DATA_KIND = "pairs"
    kind: Literal["mixit"] = "mixit"


class Separation(Stage):
    """Trains a separator; what differs is the loss of its estimates."""

    @abstractmethod
    def loss(self, estimates: Tensor, batch: MixtureBatch[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the loss ``(B,)`` of a batch, and the estimates of its parts."""

    def networks(self) -> dict[str, Role]:
        """Return the separator, and its average if there is one.

        Raises:
            ConfigError: the checkpoint that it begins with is missing or of another size.
        """
        recipe, config = self.recipe, self.recipe.stage
        assert isinstance(config, SeparationConfig)
        assert isinstance(recipe.model, ConvTasNetConfig)
        separator = ConvTasNet(recipe.model)
        if recipe.init_from is not None:
            before = load_separator(recipe.init_from)
            if before.config != recipe.model:
                raise ConfigError(
                    f"init_from: {recipe.init_from} is of another size than the recipe's"
                )
            separator.load_state_dict(before.state_dict())
        roles: dict[str, Role] = {STUDENT: Learned(separator)}
        if config.teacher is not None:
            roles[TEACHER] = AverageOf(STUDENT, decay=config.teacher.decay)
        return roles

    def terms(self, batch: MixtureBatch[Tensor], networks: Networks, at: At) -> Terms:
        """Return the loss; see the base class."""
        del at
        estimates = networks.run(STUDENT, "forward", batch.mixture)
        return {self.recipe.stage.kind: self.loss(estimates, batch)[0].mean()}

    @torch.no_grad()
    def figures(self, name: str, networks: Networks, sets: Sets) -> dict[str, float]:
        """Return the mean loss of validation mixtures, and how much better their parts became.

        Of ``mixit`` the parts are the two clips, remixed from the estimates that are theirs.
        """
        assert isinstance(sets, MixtureSets)
        network = networks[name].eval()
        batches = OrderedMixtures(sets.validation, batch=self.recipe.validation.batch)
        losses, better = [], []
        for batch in load(batches, range(len(batches)), workers=self.recipe.machine.workers):
            moved = batch.map(lambda tensor: tensor.to(self.device))
            loss, parts = self.loss(network(moved.mixture), moved)
            losses.append(loss)
            better.append(si_snr_improvement(parts, moved.parts, moved.mixture))
        network.train()
        mean = float(torch.cat(losses).mean())
        improvement = float(torch.cat(better).nanmean())  # NaN if no mixture has two sources
        return {"loss_db": mean, "si_snr_improvement_db": improvement, "objective": -mean}


def _example(data: str) -> dict[str, object]:
    model = asdict(MODELS.example("conv_tasnet")(()))
    return {"model": model, "data": {"kind": data, "batch": 2, "duration_s": 0.5}}


@STAGES.register(PITConfig, example=lambda: _example("mixtures"))
class PIT(Separation):
    """Whose estimate is whose is left open."""

    def loss(self, estimates: Tensor, batch: MixtureBatch[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the loss of the best permutation; see the base class."""
        loss, permutation = pit_loss(estimates, batch.parts, batch.mixture)
        return loss, in_order(estimates, permutation)


@STAGES.register(MixITConfig, example=lambda: _example("pairs"))
class MixIT(Separation):
    """Whose mixture an estimate belongs to is left open."""

    def loss(self, estimates: Tensor, batch: MixtureBatch[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the loss of the best assignment; see the base class."""
        loss, assignment = mixit_loss(estimates, batch.parts)
        return loss, assignment.to(estimates.dtype) @ estimates
