"""The loop that runs every recipe."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from streamsed.errors import StreamsedError
from train.data.batches import Batch, OrderedBatches
from train.data.clips import ClipSet
from train.data.inputs import Inputs
from train.data.loading import load
from train.learning.display import Display
from train.learning.folder import RunFolder
from train.learning.journal import Journal
from train.learning.learner import Learner
from train.learning.recipe import LearningRecipe, NetworkName
from train.learning.schedules import ramp
from train.learning.sets import Sets
from train.learning.steps import STEPS, Moment
from train.learning.stopping import StopRequest
from train.learning.validation import (
    Objective,
    average_precision,
    intersection_f1,
    score_clips,
    weak_f1,
)
from train.models.model import SoundEventModel

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


class Trainer:
    """Trains a recipe on sets of clips, in a folder; a run that was stopped goes on.

    All chance of a step comes from the seed and the step, so a run that was killed and resumed
    ends with the same weights as one that was not (on a CPU, to the bit).

    Args:
        recipe: what is learned.
        sets: of clips.
        inputs: of these clips.
        folder: claimed for this run.
        fabric: launched.

    Attributes:
        waited_s: how long clips were waited for, but for the first, before which processes start.
        worked_s: how long steps took, but for what validation took.
    """

    def __init__(
        self,
        recipe: LearningRecipe,
        *,
        sets: Sets,
        inputs: Inputs,
        folder: RunFolder,
        fabric: Fabric,
    ) -> None:
        self.recipe, self.sets, self.inputs = recipe, sets, inputs
        self.folder, self.fabric = folder, fabric
        self.batches = sets.batches(
            recipe, inputs, rank=fabric.global_rank, ranks=fabric.world_size
        )
        self.epoch_steps = self.batches.steps_per_epoch
        self.steps = recipe.epochs * self.epoch_steps
        self.step_function = STEPS[recipe.step]
        self.learner = Learner(recipe, fabric)
        self.progress = Progress(0, dict.fromkeys(self.learner.networks, -1.0), 0)
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
            self._fix_statistics()
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

    def _awaited(self, batches: Iterator[Batch[Tensor]]) -> Iterator[Batch[Tensor]]:
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

    def _fix_statistics(self) -> None:
        if self.recipe.model.front_end.scaler != "statistics" or self.recipe.init_from is not None:
            return
        steps = range(self.recipe.statistics_batches)
        whole = self.sets.batches(self.recipe, self.inputs)  # every process sees the same
        device = self.fabric.device
        self.learner.set_statistics([b.map(lambda t: t.to(device)) for b in load(whole, steps)])

    def _step(self, batch: Batch[Tensor]) -> None:
        recipe, k = self.recipe, self.progress.step + 1
        chance = np.random.SeedSequence([recipe.seed, _CHANCE, k, self.fabric.global_rank])
        torch.manual_seed(int(chance.generate_state(1)[0]))  # dropout and masks
        ramp_steps = round(recipe.consistency.ramp_epochs * self.epoch_steps)
        self.rates = {
            "learning_rate": self.learner.learning_rate(k, steps_per_epoch=self.epoch_steps),
            "consistency": recipe.consistency.weight * ramp(k, ramp_steps),
        }
        moment = Moment(self.rates["consistency"], np.random.default_rng(chance))
        device = self.fabric.device
        batch = batch.map(lambda tensor: tensor.to(device, non_blocking=True))
        terms = self.step_function(batch, self.learner, moment)
        loss = torch.stack(list(terms.values())).sum()
        self.learner.move(loss, k=k, learning_rate=self.rates["learning_rate"])
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
            self.journal.losses(step=self.progress.step, terms=terms, rates=self.rates)
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
            objectives = {name: self._figures(n) for name, n in self.learner.networks.items()}
            self._note(objectives)
        self.progress = self.fabric.broadcast(self.progress)
        took_s = time.monotonic() - began
        self._since += took_s  # it is no part of a step's time
        self.worked_s -= took_s

    def _figures(self, network: SoundEventModel) -> Objective:
        config = self.recipe.validation

        def scored(clips: ClipSet) -> Any:
            batches = OrderedBatches(self.inputs, clips, batch=config.batch)
            loaded = load(batches, range(len(batches)), workers=self.recipe.machine.workers)
            return score_clips(network, loaded, device=self.fabric.device)

        strong, weak = self.sets.strong, self.sets.weak
        frames = scored(strong).strong
        return Objective(
            weak_f1=math.nan if weak is None else weak_f1(scored(weak).weak, weak),
            intersection_f1=intersection_f1(
                frames, strong, frame_s=self.inputs.grid.frame_s, median_s=config.median_s
            ),
            average_precision=average_precision(frames, strong, grid=self.inputs.grid),
        )

    def _note(self, objectives: dict[NetworkName, Objective]) -> None:
        """Keep the best of each network, and write down the figures."""
        assert self.journal is not None
        step, config = self.progress.step, self.recipe.validation
        self.progress.stale += 1
        figures: dict[str, dict[str, float | None]] = {}
        for name, objective in objectives.items():
            value = objective.value(config.objective)
            if value > self.progress.best[name]:
                self.progress.best[name] = value
                network = self.learner.networks[name]
                self.folder.save_network(f"{name}.best.pt", network, step=step)
                if name == config.selection:
                    self.progress.stale = 0
                    self.folder.save_network("best.pt", network, step=step)
            values = {**asdict(objective), "objective": value}
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
