"""The networks of a run by name, each with a role, and how one step moves them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from train.engine.schedules import TEACHER_DECAY, ramp, teacher_decay, warmup_cosine
from train.models.frozen import freeze

LEARNING_RATE = "learning_rate"


@dataclass(frozen=True)
class OptimiserConfig:
    """How weights are moved.

    Attributes:
        kind: ``adam`` (the baseline, betas 0.9 and 0.999) or ``adamw``.
        learning_rate: its maximum.
        weight_decay: on matrices only.
        clip_norm: gradients are scaled down to this norm; null for none, as the baseline.
        schedule: ``ramp`` rises as ``exp(-5 (1 - k/K)^2)`` and stays (the baseline); ``cosine``
            rises in a line and falls as half a cosine.
        rise_epochs: length of the rise: K, 50 epochs in the baseline's code.
        divide_after: validations without improvement of the selected network, and without a
            division, after which the rate is divided by ten; null for never.
    """

    kind: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip_norm: float | None = None
    schedule: Literal["ramp", "cosine"] = "ramp"
    rise_epochs: float = 50.0
    divide_after: int | None = None

    def __post_init__(self) -> None:
        if self.divide_after is not None and self.divide_after < 1:
            raise ValueError(f"divide_after {self.divide_after}; must be 1 or more, or null")

    def rate(self, k: int, *, epoch_steps: int, steps: int, stale: Sequence[int] = ()) -> float:
        """Return the learning rate of step ``k``, counted from 1, of a run of ``steps``.

        Args:
            k: the step.
            epoch_steps: of an epoch.
            steps: of the run.
            stale: lengths of the stretches of validations without improvement so far.
        """
        rise = round(self.rise_epochs * epoch_steps)
        if self.schedule == "ramp":
            share = ramp(k, rise)
        else:
            share = warmup_cosine(k, warmup=rise, steps=steps)
        after = self.divide_after
        divisions = 0 if after is None else sum(length // after for length in stale)
        return self.learning_rate * share / 10.0**divisions


@dataclass(frozen=True)
class Learned:
    """Role of a network that is moved down the gradients of the loss.

    Attributes:
        network: in the state that it begins with.
        optimiser: its own; None for the recipe's.
    """

    network: nn.Module
    optimiser: OptimiserConfig | None = None


@dataclass(frozen=True)
class AverageOf:
    """Role of a network whose weights follow another's (Tarvainen and Valpola 2017).

    In the DCASE 2021 baseline only the *parameters* are averaged. What else a network remembers,
    such as the running statistics of batch normalisation, the teacher gathers in its own forward
    passes.

    Attributes:
        name: of a learned network.
        decay: of the average, ``min(1 - 1 / (k + 1), decay)``.
        with_buffers: whether buffers follow as well, as they must where the average has no
            forward passes in training.
    """

    name: str
    decay: float = TEACHER_DECAY
    with_buffers: bool = True


@dataclass(frozen=True)
class Frozen:
    """Role of a network that stays as it is; gradients pass through it.

    Attributes:
        network: trained before.
    """

    network: nn.Module


Role = Learned | AverageOf | Frozen


class Networks(Mapping[str, nn.Module]):
    """Networks on a device, by name; the modules are plain ones, in training mode unless frozen.

    Args:
        roles: of every network.
        optimiser: of the learned ones that have none of their own.
        fabric: launched.

    Raises:
        ValueError: an average is of no learned network.
    """

    def __init__(
        self, roles: Mapping[str, Role], *, optimiser: OptimiserConfig, fabric: Fabric
    ) -> None:
        self.fabric = fabric
        self.roles = dict(roles)
        self.configs: dict[str, OptimiserConfig] = {}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        placed = {
            name: self._placed(role)
            for name, role in roles.items()
            if not isinstance(role, AverageOf)
        }
        self._modules = {
            name: self._average(role) if isinstance(role, AverageOf) else placed[name]
            for name, role in roles.items()
        }
        self._wrapped: dict[str, Any] = {}
        self._marked: set[tuple[str, str]] = set()
        for name, role in roles.items():
            if isinstance(role, Learned):
                module, config = self._modules[name], role.optimiser or optimiser
                wrapped, made = fabric.setup(module, make_optimiser(module, config))
                self.configs[name], self.optimisers[name] = config, made
                self._wrapped[name] = wrapped

    def _average(self, role: AverageOf) -> nn.Module:
        source = self.roles.get(role.name)
        if not isinstance(source, Learned):
            raise ValueError(f"an average of {role.name}, which is no learned network")
        return copy.deepcopy(source.network).requires_grad_(False).to(self.fabric.device)

    def _placed(self, role: Learned | Frozen) -> nn.Module:
        device, module = self.fabric.device, role.network
        if device.type == "cpu":
            # Depthwise convolutions train a fifth faster so on a CPU.
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if isinstance(role, Frozen):
            freeze(module)
            return module.to(device)
        return module.train()

    def __getitem__(self, name: str) -> nn.Module:
        return self._modules[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the networks that change, and so are validated and saved."""
        return tuple(name for name, role in self.roles.items() if not isinstance(role, Frozen))

    def run(self, name: str, method: str, *arguments: Any) -> Any:
        """Call a method of a network with the precision of the run.

        Gradients reach learned networks, pass through frozen ones, and end at averages.
        """
        role = self.roles[name]
        target = self._wrapped.get(name, self._modules[name])
        if isinstance(role, Learned) and method != "forward" and (name, method) not in self._marked:
            target.mark_forward_method(method)
            self._marked.add((name, method))
        call = target if method == "forward" else getattr(target, method)
        tracked = torch.is_grad_enabled() and not isinstance(role, AverageOf)
        with torch.set_grad_enabled(tracked), self.fabric.autocast():
            return call(*arguments)

    def rates(
        self, k: int, *, epoch_steps: int, steps: int, stale: Sequence[int] = ()
    ) -> dict[str, float]:
        """Return the learning rates of step ``k`` by name; see :meth:`OptimiserConfig.rate`.

        It is one, ``learning_rate``, unless a network has an optimiser of its own.
        """
        rates = {
            name: config.rate(k, epoch_steps=epoch_steps, steps=steps, stale=stale)
            for name, config in self.configs.items()
        }
        if len(set(self.configs.values())) == 1:
            return {LEARNING_RATE: next(iter(rates.values()))}
        return {f"{LEARNING_RATE}/{name}": rate for name, rate in rates.items()}

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        """Add the gradients of a loss; processes exchange them at the last of a step."""
        with ExitStack() as stack:
            for wrapped in self._wrapped.values() if not last else ():
                stack.enter_context(self.fabric.no_backward_sync(wrapped))
            self.fabric.backward(loss)

    def step(self, k: int, rates: Mapping[str, float]) -> None:
        """Take step ``k`` down the gradients that were added; averages follow.

        Args:
            k: counted from 1.
            rates: as :meth:`rates` returned them.
        """
        for name, optimiser in self.optimisers.items():
            rate = rates.get(LEARNING_RATE, rates.get(f"{LEARNING_RATE}/{name}"))
            for group in optimiser.param_groups:
                group["lr"] = rate
            norm = self.configs[name].clip_norm
            if norm is not None:
                self.fabric.clip_gradients(self._wrapped[name], optimiser, max_norm=norm)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        for name, role in self.roles.items():
            if isinstance(role, AverageOf):
                follow(
                    self[name],
                    self[role.name],
                    decay=teacher_decay(k, role.decay),
                    with_buffers=role.with_buffers,
                )

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        return {
            "networks": {name: self[name].state_dict() for name in self.kept},
            "optimisers": {name: made.state_dict() for name, made in self.optimisers.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        for name in self.kept:
            self[name].load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


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


@torch.no_grad()
def follow(
    average: nn.Module, learned: nn.Module, *, decay: float, with_buffers: bool = False
) -> None:
    """Move an average: ``average = decay * average + (1 - decay) * learned``.

    Args:
        average: changed in place.
        learned: of the same architecture.
        decay: from 0 (a copy) to 1 (as it was).
        with_buffers: move the buffers as well. Those of whole numbers are copied.
    """
    for mine, other in zip(average.parameters(), learned.parameters(), strict=True):
        mine.lerp_(other, 1.0 - decay)
    if not with_buffers:
        return
    for buffer, theirs in zip(average.buffers(), learned.buffers(), strict=True):
        if buffer.dtype.is_floating_point:
            buffer.lerp_(theirs, 1.0 - decay)
        else:
            buffer.copy_(theirs)
