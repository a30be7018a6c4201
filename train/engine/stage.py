"""What a stage of training is to the loop that runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from train.data.batches import EpochBatches
from train.engine.networks import Networks, Role
from train.engine.schedules import At, Schedule

if TYPE_CHECKING:
    from train.recipe.schema import Recipe

Terms = dict[str, Tensor]
"""Parts of a loss by name; their sum is the loss."""


class Sets(ABC):
    """What a run learns from and is validated on."""

    @abstractmethod
    def batches(self, *, rank: int = 0, ranks: int = 1) -> EpochBatches:
        """Return training batches without end.

        Args:
            rank: of this process among ``ranks`` that share each batch.
            ranks: how many there are.

        Raises:
            DataError: batches cannot be made of these sets, or not be shared.
        """

    @abstractmethod
    def counts(self) -> Mapping[str, int]:
        """Return the number of clips by set."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return what differs between these clips and labels and any others."""


class Stage(ABC):
    """Networks, the terms of their loss, and the figures by which checkpoints are compared.

    Args:
        recipe: of the run; its ``stage`` holds this stage's own options.
        device: that networks are moved to.
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device

    @abstractmethod
    def networks(self) -> Mapping[str, Role]:
        """Return the role of every network; torch's generator is seeded with the recipe's seed.

        The names are those of the stage's configuration, and of frozen networks.

        Raises:
            ConfigError: a checkpoint that one begins with is missing or of another model.
        """

    def schedules(self) -> Mapping[str, Schedule]:
        """Return the weights that change with the step, by the name ``at.weight`` knows them by."""
        return {}

    def begin(self, networks: Networks, sets: Sets) -> None:  # noqa: B027 - may be nothing
        """Do what a new run begins with, such as to fix a scaling."""

    @abstractmethod
    def terms(self, batch: Any, networks: Networks, at: At) -> Terms:
        """Return the parts of the loss of a batch.

        Args:
            batch: of the sets' batches, its tensors on the device.
            networks: run them with :meth:`Networks.run`.
            at: the step.
        """

    @abstractmethod
    def figures(self, name: str, networks: Networks, sets: Sets) -> dict[str, float]:
        """Validate a network; the figure ``objective`` is to be as large as possible.

        Returns:
            Figures by name; NaN where one is not defined.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what a stage carries from step to step."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Go on from :meth:`state_dict`."""
