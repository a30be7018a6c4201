"""The loop that runs every recipe."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, Protocol

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from streamsed.errors import StreamsedError
from train.data.batches import Batches
from train.data.loading import load
from train.learning.display import Display
from train.learning.folder import RunFolder
from train.learning.journal import Journal
from train.learning.machine import MachineConfig
from train.learning.networks import Network, Networks
from train.learning.recipe import NetworkName
from train.learning.stopping import StopRequest

Terms = dict[str, Tensor]

_CHANCE = 0x73746570  # of the seed: a step's chance is drawn apart from clips and crops


class TrainingFailed(StreamsedError):
    """A run cannot go on."""


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: steps done.
        best: the highest objective of each network so far.
        stale: validations since the selected network's was exceeded.
    """

    step: int
    best: dict[NetworkName, float]
    stale: int


class EpochBatches(Batches, Protocol):
    """Batches without end, and how many of them are an epoch."""

    @property
    def steps_per_epoch(self) -> int: ...  # noqa: D102


class Selection(Protocol):
    """How a recipe compares checkpoints."""

    @property
    def selection(self) -> NetworkName: ...  # noqa: D102
    @property
    def every_epochs(self) -> int: ...  # noqa: D102
    @property
    def patience(self) -> int | None: ...  # noqa: D102


class RunRecipe(Protocol):
    """What the loop asks of a recipe."""

    @property
    def epochs(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def machine(self) -> MachineConfig: ...  # noqa: D102
    @property
    def validation(self) -> Selection: ...  # noqa: D102


@dataclass(frozen=True)
class Figures:
    """What validation says of a network.

    Attributes:
        named: figures; NaN where one is not defined.
        value: the one that is to be as large as possible.
    """

    named: Mapping[str, float]
    value: float


class Trainer(ABC, Generic[Network]):
    """Trains a recipe in a folder; a run that was stopped goes on.

    All chance of a step comes from the seed and the step, so a run that was killed and resumed
    ends with the same weights as one that was not (on a CPU, to the bit).

    Args:
        recipe: what is learned.
        batches: of training.
        learner: the networks.
        folder: claimed for this run.
        fabric: launched.

    Attributes:
        waited_s: how long clips were waited for, but for the first, before which processes start.
        worked_s: how long steps took, but for what validation took.
    """

    def __init__(
        self,
        recipe: RunRecipe,
        *,
        batches: EpochBatches,
        learner: Networks[Network],
        folder: RunFolder,
        fabric: Fabric,
    ) -> None:
        self.recipe, self.batches, self.learner = recipe, batches, learner
        self.folder, self.fabric = folder, fabric
        self.epoch_steps = batches.steps_per_epoch
        self.steps = recipe.epochs * self.epoch_steps
        self.progress = Progress(0, dict.fromkeys(learner.networks, -math.inf), 0)
        self._sums: dict[str, Tensor] = {}
        self._summed = 0
        self.waited_s = self.worked_s = self._waited_before_s = 0.0

    def fit(self, stop: StopRequest | None = None) -> bool:
        """Train until the end, or until asked to stop; return whether the run is done.

        Raises:
            TrainingFailed: the loss is no longer finite.
            DataError: a clip cannot be read.
        """
        state = self.folder.load_state(self.fabric.device)
        if state is None:
            self.begin()
        else:
            self._load_state_dict(state)
        first, quiet = self.progress.step, not self.fabric.is_global_zero
        if self._is_done():
            return True
        self.journal = None if quiet else Journal(self.folder.path, step=first)
        self.display = Display(steps=self.steps, step=first, quiet=quiet)
        self._since = time.monotonic()
        with self.display:
            if state is not None:
                self.display.line(f"resumed at step {first} of {self.steps}")
            steps, workers = range(first, self.steps), self.recipe.machine.workers
            for batch in self._awaited(load(self.batches, steps, workers=workers)):
                self._step(batch)
                if self._after_step(stop):
                    break
        if self.journal is not None:
            self.journal.close()
        return self._is_done()

    def _awaited(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Yield batches, and count the time that they are waited for."""
        began = time.monotonic()
        for number, batch in enumerate(batches):
            got = time.monotonic()
            self.waited_s += got - began if number else 0.0
            yield batch
            began = time.monotonic()
            self.worked_s += began - got

    def _is_done(self) -> bool:
        patience = self.recipe.validation.patience
        gave_up = patience is not None and self.progress.stale >= patience
        return gave_up or self.progress.step == self.steps

    @abstractmethod
    def begin(self) -> None:
        """Do what a new run begins with."""

    @abstractmethod
    def terms(self, batch: Any, k: int) -> Terms:
        """Return the parts of the loss of step ``k``, counted from 1; their sum is the loss."""

    @abstractmethod
    def figures(self, network: Network) -> Figures:
        """Validate a network."""

    def rates(self, k: int) -> dict[str, float]:
        """Return the rates of step ``k`` by name, the learning rate among them."""
        rate = self.learner.learning_rate(k, steps_per_epoch=self.epoch_steps)
        return {"learning_rate": rate}

    def chance(self, k: int) -> np.random.SeedSequence:
        """Return the seeds of all chance of step ``k``."""
        return np.random.SeedSequence([self.recipe.seed, _CHANCE, k, self.fabric.global_rank])

    def _step(self, batch: Any) -> None:
        k, device = self.progress.step + 1, self.fabric.device
        torch.manual_seed(int(self.chance(k).generate_state(1)[0]))  # dropout and masks
        batch = batch.map(lambda tensor: tensor.to(device, non_blocking=True))
        terms = self.terms(batch, k)
        loss = torch.stack(list(terms.values())).sum()
        self.learner.move(loss, k=k, learning_rate=self.rates(k)["learning_rate"])
        for name, value in {"loss": loss, **terms}.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(loss)) + value.detach()
        self._summed += 1
        self.progress.step = k
        self.display.stepped()

    def _after_step(self, stop: StopRequest | None) -> bool:
        """Log, validate and save where it is time to; return whether to leave the loop."""
        step, machine = self.progress.step, self.recipe.machine
        validate_every = self.recipe.validation.every_epochs * self.epoch_steps
        logs = step % machine.log_every == 0
        validates = step % validate_every == 0 or step == self.steps
        # Processes must agree on when to stop, and talk only where they meet anyway.
        meets = logs or validates or self.fabric.world_size == 1
        stops = meets and stop is not None and self._any(stop.asked)
        if logs:
            self._log()
        if validates:
            self._validate()
        stops = stops or self._is_done()
        if validates or stops or step % machine.save_every == 0:
            self._save()
        return stops

    def _any(self, mine: bool) -> bool:
        if self.fabric.world_size == 1:
            return mine
        flag = torch.tensor(float(mine), device=self.fabric.device)
        return bool(self.fabric.all_reduce(flag, reduce_op="sum").item() > 0.0)  # type: ignore[union-attr]

    def _log(self) -> None:
        means = torch.stack(list(self._sums.values())) / self._summed
        if self.fabric.world_size > 1:
            means = self.fabric.all_reduce(means, reduce_op="mean")  # type: ignore[assignment]
        terms = dict(zip(self._sums, means.tolist(), strict=True))
        if not math.isfinite(terms["loss"]):
            raise TrainingFailed(
                f"{self.folder.path}: step {self.progress.step}: the loss is {terms['loss']}; "
                "a lower optimiser.learning_rate or a clip_norm may help"
            )
        took_s = max(time.monotonic() - self._since, 1e-9)
        if self.journal is not None:
            rates = self.rates(self.progress.step)
            self.journal.losses(step=self.progress.step, terms=terms, rates=rates)
            self.display.losses(
                self.progress.step,
                terms,
                steps_a_s=self._summed / took_s,
                waited=(self.waited_s - self._waited_before_s) / took_s,
            )
        self._sums, self._summed = {}, 0
        self._since, self._waited_before_s = time.monotonic(), self.waited_s

    def _validate(self) -> None:
        """Validate in the first process; the others wait to hear how it went."""
        began = time.monotonic()
        if self.journal is not None:
            objectives = {name: self.figures(n) for name, n in self.learner.networks.items()}
            self._note(objectives)
        self.progress = self.fabric.broadcast(self.progress)
        took_s = time.monotonic() - began
        self._since += took_s  # it is no part of a step's time
        self.worked_s -= took_s

    def _note(self, objectives: dict[NetworkName, Figures]) -> None:
        """Keep the best of each network, and write down the figures."""
        assert self.journal is not None
        step, config = self.progress.step, self.recipe.validation
        self.progress.stale += 1
        figures: dict[str, dict[str, float | None]] = {}
        for name, objective in objectives.items():
            value = objective.value
            if value > self.progress.best[name]:
                self.progress.best[name] = value
                network = self.learner.networks[name]
                self.folder.save_network(f"{name}.best.pt", network, step=step)
                if name == config.selection:
                    self.progress.stale = 0
                    self.folder.save_network("best.pt", network, step=step)
            values = {**objective.named, "objective": value}
            figures[name] = {k: None if math.isnan(v) else v for k, v in values.items()}
            shown = ", ".join(f"{k} {v:.3f}" for k, v in values.items())
            self.display.line(f"step {step}: {name}: {shown} (best {self.progress.best[name]:.3f})")
        self.journal.validation(step=step, epoch=step // self.epoch_steps, figures=figures)

    def _save(self) -> None:
        self.fabric.barrier()
        if not self.fabric.is_global_zero:
            return
        for name, network in self.learner.networks.items():
            self.folder.save_network(f"{name}.last.pt", network, step=self.progress.step)
        self.folder.save_state(
            {
                "progress": asdict(self.progress),
                "learner": self.learner.state_dict(),
                "sums": self._sums,
                "summed": self._summed,
            }
        )

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        self.progress = Progress(**state["progress"])
        self.learner.load_state_dict(state["learner"])
        self._sums, self._summed = state["sums"], state["summed"]
