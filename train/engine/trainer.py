"""The loop that runs every recipe."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from streamsed.errors import StreamsedError
from train.data.loading import load
from train.engine.display import Display
from train.engine.folder import RunFolder
from train.engine.networks import Networks
from train.engine.schedules import At
from train.engine.stage import Sets, Stage
from train.engine.stopping import StopRequest
from train.engine.training_log import TrainingLog
from train.recipe.schema import Recipe

OBJECTIVE = "objective"
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
        stretches: how many validations each stretch without improvement had that has ended.
    """

    step: int
    best: dict[str, float]
    stale: int
    stretches: list[int] = field(default_factory=list)


class Trainer:
    """Trains a recipe in a folder; a run that was stopped goes on.

    All chance of a step comes from the seed and the step, so a run that was killed and resumed
    ends with the same weights as one that was not (on a CPU, to the bit).

    Args:
        recipe: what is learned.
        stage: how.
        sets: of what.
        folder: claimed for this run.
        fabric: launched.

    Attributes:
        epoch_steps: steps of an epoch; a step takes as many batches as the recipe accumulates.
        waited_s: how long clips were waited for, but for the first, before which processes start.
        worked_s: how long steps took, but for what validation took.
    """

    def __init__(
        self, recipe: Recipe, *, stage: Stage, sets: Sets, folder: RunFolder, fabric: Fabric
    ) -> None:
        self.recipe, self.stage, self.sets = recipe, stage, sets
        self.folder, self.fabric = folder, fabric
        self.batches = sets.batches(rank=fabric.global_rank, ranks=fabric.world_size)
        self.epoch_steps = max(self.batches.steps_per_epoch // recipe.accumulate, 1)
        self.steps = recipe.epochs * self.epoch_steps
        torch.manual_seed(recipe.seed)
        self.networks = Networks(stage.networks(), optimiser=recipe.optimiser, fabric=fabric)
        self.schedules = stage.schedules()
        self.progress = Progress(0, dict.fromkeys(self.networks.kept, -math.inf), 0)
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
            self.stage.begin(self.networks, self.sets)
        else:
            self._load_state_dict(state)
        first, quiet = self.progress.step, not self.fabric.is_global_zero
        if self._is_done():
            return True
        self.log = None if quiet else TrainingLog(self.folder.path, step=first)
        self.display = Display(steps=self.steps, step=first, quiet=quiet)
        self._since = time.monotonic()
        with self.display:
            if state is not None:
                self.display.line(f"resumed at step {first} of {self.steps}")
            count, workers = self.recipe.accumulate, self.recipe.machine.workers
            steps = range(first * count, self.steps * count)
            loaded = self._awaited(load(self.batches, steps, workers=workers))
            while batches := list(islice(loaded, count)):
                self._step(batches)
                if self._after_step(stop):
                    break
        if self.log is not None:
            self.log.close()
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

    def rates(self, k: int) -> dict[str, float]:
        """Return the learning rates and the schedules' weights of step ``k`` by name."""
        rates = self.networks.rates(
            k,
            epoch_steps=self.epoch_steps,
            steps=self.steps,
            stale=[*self.progress.stretches, self.progress.stale],
        )
        for name, schedule in self.schedules.items():
            rates[name] = schedule.weight_at(k, epoch_steps=self.epoch_steps)
        return rates

    def chance(self, k: int, part: int = 0) -> np.random.SeedSequence:
        """Return the seeds of all chance of step ``k``, in a part of the batches that it takes."""
        seeds = [self.recipe.seed, _CHANCE, k, self.fabric.global_rank]
        return np.random.SeedSequence([*seeds, part] if part else seeds)

    def _step(self, batches: list[Any]) -> None:
        k, device = self.progress.step + 1, self.fabric.device
        for part, batch in enumerate(batches):
            chance = self.chance(k, part)
            torch.manual_seed(int(chance.generate_state(1)[0]))  # dropout and masks
            moved = batch.map(lambda tensor: tensor.to(device, non_blocking=True))
            at = At(k, self.epoch_steps, np.random.default_rng(chance), self.schedules)
            terms = self.stage.terms(moved, self.networks, at)
            loss = torch.stack(list(terms.values())).sum()
            share = loss if len(batches) == 1 else loss / len(batches)
            self.networks.backward(share, last=part == len(batches) - 1)
            for name, value in {"loss": loss, **terms}.items():
                self._sums[name] = self._sums.get(name, torch.zeros_like(loss)) + value.detach()
            self._summed += 1
        self.networks.step(k, self.rates(k))
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
        if self.log is not None:
            rates = self.rates(self.progress.step)
            self.log.losses(step=self.progress.step, terms=terms, rates=rates)
            self.display.losses(
                self.progress.step,
                terms,
                steps_a_s=self._summed / took_s,
                waited=(self.waited_s - self._waited_before_s) / took_s,
            )
        self._sums, self._summed = {}, 0
        self._since, self._waited_before_s = time.monotonic(), self.waited_s

    def _validate(self) -> None:
        """Validate in the first process; the others wait for its outcome."""
        began = time.monotonic()
        if self.log is not None:
            self._note(
                {
                    name: self.stage.figures(name, self.networks, self.sets)
                    for name in self.networks.kept
                }
            )
        self.progress = self.fabric.broadcast(self.progress)
        took_s = time.monotonic() - began
        self._since += took_s  # it is no part of a step's time
        self.worked_s -= took_s

    def _note(self, found: dict[str, dict[str, float]]) -> None:
        """Keep the best of each network, and write down the figures."""
        assert self.log is not None
        step = self.progress.step
        stale = self.progress.stale + 1
        self.progress.stale = stale
        figures: dict[str, dict[str, float | None]] = {}
        for name, values in found.items():
            if values[OBJECTIVE] > self.progress.best[name]:
                self.progress.best[name] = values[OBJECTIVE]
                self.folder.save_network(f"{name}.best.pt", self.networks[name], step=step)
                if name == self.recipe.selection:
                    self.progress.stretches += [stale - 1] if stale > 1 else []
                    self.progress.stale = 0
                    self.folder.save_network("best.pt", self.networks[name], step=step)
            figures[name] = {k: None if math.isnan(v) else v for k, v in values.items()}
            shown = ", ".join(f"{k} {v:.3f}" for k, v in values.items())
            self.display.line(f"step {step}: {name}: {shown} (best {self.progress.best[name]:.3f})")
        self.log.validation(step=step, epoch=step // self.epoch_steps, figures=figures)

    def _save(self) -> None:
        self.fabric.barrier()
        if not self.fabric.is_global_zero:
            return
        for name in self.networks.kept:
            path, network = f"{name}.last.pt", self.networks[name]
            self.folder.save_network(path, network, step=self.progress.step)
        self.folder.save_state(
            {
                "progress": asdict(self.progress),
                **self.networks.state_dict(),
                "stage": self.stage.state_dict(),
                "sums": self._sums,
                "summed": self._summed,
            }
        )

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        self.progress = Progress(**state["progress"])
        self.networks.load_state_dict(state)
        self.stage.load_state_dict(state["stage"])
        self._sums, self._summed = state["sums"], state["summed"]
