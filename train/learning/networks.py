"""The networks of a run, whatever they learn: student, optimiser, and the teacher that follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from train.learning.recipe import NetworkName, OptimiserConfig, TeacherConfig
from train.learning.schedules import ramp, teacher_decay, warmup_cosine
from train.learning.teacher import follow, make_teacher
from train.models.conv_tasnet import ConvTasNet
from train.models.model import SoundEventModel

Network = TypeVar("Network", bound=SoundEventModel | ConvTasNet)


class NetworksRecipe(Protocol):
    """What a recipe says of its networks."""

    @property
    def optimiser(self) -> OptimiserConfig: ...  # noqa: D102
    @property
    def teacher(self) -> TeacherConfig | None: ...  # noqa: D102
    @property
    def epochs(self) -> int: ...  # noqa: D102


def make_optimiser(model: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """Return the optimiser of a model; only matrices decay."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    make = torch.optim.Adam if config.kind == "adam" else torch.optim.AdamW
    return make(groups, lr=config.learning_rate)


class Networks(Generic[Network]):
    """Student, teacher and optimiser on a device, and how one step moves them.

    Args:
        student: in training mode.
        recipe: of the run.
        fabric: launched.
        methods: of the student, besides its forward, that losses are made of.
        teacher_hears: whether the teacher has forward passes of its own in training. Without
            them its buffers would stand still, and follow the student's.

    Attributes:
        student: the plain network; ``wrapped`` runs it as the device's strategy wants.
        teacher: in training mode as well; None without one.
    """

    def __init__(
        self,
        student: Network,
        recipe: NetworksRecipe,
        fabric: Fabric,
        *,
        methods: Sequence[str] = (),
        teacher_hears: bool = False,
    ) -> None:
        self.fabric = fabric
        self.student = student
        self._optimiser_config, self._epochs = recipe.optimiser, recipe.epochs
        self._teacher_config, self._teacher_hears = recipe.teacher, teacher_hears
        self.teacher: Network | None = None
        if recipe.teacher is not None:
            teacher = make_teacher(student)
            teacher.to(fabric.device)
            self.teacher = teacher
        plain = make_optimiser(student, recipe.optimiser)
        self.wrapped, self.optimiser = fabric.setup(student, plain)
        for method in methods:
            self.wrapped.mark_forward_method(method)

    @property
    def networks(self) -> dict[NetworkName, Network]:
        """The networks that there are, by name."""
        found: dict[NetworkName, Network] = {"student": self.student}
        if self.teacher is not None:
            found["teacher"] = self.teacher
        return found

    def learning_rate(self, k: int, *, steps_per_epoch: int) -> float:
        """Return the rate of step ``k``, which is counted from 1."""
        config = self._optimiser_config
        rise = round(config.rise_epochs * steps_per_epoch)
        if config.schedule == "ramp":
            return config.learning_rate * ramp(k, rise)
        steps = self._epochs * steps_per_epoch
        return config.learning_rate * warmup_cosine(k, warmup=rise, steps=steps)

    def move(self, loss: Tensor, *, k: int, learning_rate: float) -> None:
        """Take step ``k`` down the loss's gradients; the teacher follows."""
        config = self._optimiser_config
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        if config.clip_norm is not None:
            self.fabric.clip_gradients(self.wrapped, self.optimiser, max_norm=config.clip_norm)
        self.optimiser.step()
        if self.teacher is not None:
            assert self._teacher_config is not None
            follow(
                self.teacher,
                self.student,
                decay=teacher_decay(k, self._teacher_config.decay),
                with_buffers=not self._teacher_hears,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        networks = {name: network.state_dict() for name, network in self.networks.items()}
        return {"networks": networks, "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.optimiser.load_state_dict(state["optimiser"])
