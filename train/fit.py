"""The training loop: one stream of scenes, one or several models, resumable at any step."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import structlog
import torch
from torch import Tensor, nn

from streamsed.errors import ConfigError
from train.augment import augment
from train.checkpoint import save_model
from train.data.bank import Bank, Split
from train.data.classes import CLASSES
from train.data.soundscape import SoundscapeGenerator
from train.models.causal_crnn import CausalCRNN, CausalCRNNConfig
from train.recipe import Recipe, TrainingConfig, dump_recipe
from train.scenes import Scenes, batches
from train.validate import frame_average_precision

log = structlog.get_logger()

VALIDATION_SEED = 20_000
"""Validation scenes are the same for every run, whatever its own seed."""


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine down to zero."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class Learner:
    """One model with what training it needs: average weights, optimiser, state between clips."""

    def __init__(self, config: CausalCRNNConfig, training: TrainingConfig, device: str) -> None:
        self.model = CausalCRNN(config).to(device)
        self.average = CausalCRNN(config).to(device).eval()
        for model in (self.model, self.average):
            # Depthwise convolutions train a fifth faster so on a CPU.
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average.load_state_dict(self.model.state_dict())
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": training.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=training.learning_rate,
        )
        self.training = training
        self.state: tuple[Tensor, ...] | None = None
        self.best = -1.0
        self.stale = 0

    def set_statistics(self, audio: Tensor) -> None:
        """Fix the front end's scaling from clips ``(n, N)``."""
        halo = self.model.config.front_end.halo_samples
        total = [
            self.model.front_end.decibels(nn.functional.pad(part, (halo, 0)))
            for part in torch.split(audio, 32)
        ]
        decibels = torch.cat(total).flatten(0, 1)
        for model in (self.model, self.average):
            model.front_end.set_statistics(decibels.mean(0), decibels.std(0))

    def _start(self, batch: int, device: torch.device) -> tuple[Tensor, ...]:
        """Return the state in which each clip of a batch starts."""
        initial = self.model.initial_state(batch, device)
        if self.state is None or len(self.state[0]) != batch:
            return initial
        carried = torch.rand(batch, device=device) < self.training.carry_state
        shuffled = torch.randperm(batch, device=device)
        return tuple(
            torch.where(carried.reshape(-1, *[1] * (zero.ndim - 1)), old[shuffled].float(), zero)
            for old, zero in zip(self.state, initial, strict=True)
        )

    def step(self, audio: Tensor, labels: Tensor, *, recipe: Recipe, step: int) -> Tensor:
        """Take one step on clips ``(B, N)`` with labels ``(B, T, C)``; return the loss."""
        model, ahead = self.model.train(), self.model.config.latency_frames
        state = self._start(len(audio), audio.device)
        samples = torch.cat([state[0], audio], dim=1)
        with torch.no_grad():
            features = model.front_end(samples)
            features = augment(features, recipe.augment, std=model.front_end.std)
        halo = samples[:, -model.config.front_end.halo_samples :]
        use_bf16 = audio.device.type == "cuda"
        with torch.autocast(audio.device.type, torch.bfloat16, enabled=use_bf16):
            logits, after = model.score(features, state, halo)
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits[:, ahead:].float(), labels[:, : labels.shape[1] - ahead]
        )
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(step, self.training)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), self.training.clip_norm)
        self.optimiser.step()
        self.state = tuple(tensor.detach() for tensor in after)
        self._follow(step)
        return loss.detach()

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the average weights; early on they follow faster, so that they are never stale."""
        decay = min(self.training.ema_decay, (1 + step) / (10 + step))
        current = self.model.state_dict()
        for name, average in self.average.state_dict().items():
            if average.dtype.is_floating_point:
                average.lerp_(current[name], 1 - decay)
            else:
                average.copy_(current[name])

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "stale": self.stale,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best, self.stale = state["best"], state["stale"]


class Run:
    """One training run in a folder: ``recipe.json``, ``history.jsonl``, checkpoints."""

    def __init__(
        self, recipe: Recipe, *, bank: Bank, folder: Path, device: str, workers: int
    ) -> None:
        self.recipe = recipe
        self.bank = bank
        self.folder = folder
        self.device = device
        self.workers = workers
        folder.mkdir(parents=True, exist_ok=True)
        plain = dump_recipe(recipe)
        recipe_file = folder / "recipe.json"
        if recipe_file.exists() and json.loads(recipe_file.read_text()) != plain:
            raise ConfigError(f"{folder}: holds a run of another recipe; choose another folder")
        recipe_file.write_text(json.dumps(plain, indent=1))
        torch.manual_seed(recipe.training.seed)
        self.learners = {
            name: Learner(config, recipe.training, device) for name, config in recipe.models.items()
        }
        self.step = 0

    def _scenes(self, split: Split, *, seed: int, first: int, count: int) -> Scenes:
        model = next(iter(self.recipe.models.values()))
        return Scenes(
            SoundscapeGenerator(
                self.bank,
                split=split,
                config=self.recipe.soundscape if split == "train" else self.recipe.validation,
                seed=seed,
                cache=Path(".cache"),
            ),
            first=first,
            count=count,
            classes=CLASSES,
            frame_samples=model.frame_samples,
            sample_rate=model.front_end.sample_rate,
        )

    def _collect(self, scenes: Scenes) -> tuple[Tensor, Tensor]:
        """Mix all of ``scenes`` at once."""
        parts = list(batches(scenes, batch=self.recipe.training.batch, workers=self.workers))
        audio = torch.cat([part[0] for part in parts])
        return audio.to(self.device), torch.cat([part[1] for part in parts])

    def resume(self) -> bool:
        """Load the last checkpoint, if there is one; return whether there was."""
        path = self.folder / "last.pt"
        if not path.exists():
            return False
        saved = torch.load(path, map_location=self.device, weights_only=True)
        for name, learner in self.learners.items():
            learner.load_state_dict(saved["learners"][name])
        self.step = saved["step"]
        log.info("resumed", folder=str(self.folder), step=self.step)
        return True

    def fit(self, *, until: float | None = None) -> bool:
        """Train to the last step, or to the monotonic time ``until``; return whether it is done.

        Raises:
            OSError: the run's folder cannot be written.
        """
        training = self.recipe.training
        if not self.resume():
            audio, _ = self._collect(
                self._scenes(
                    "train", seed=training.seed + 1, first=0, count=training.statistics_scenes
                )
            )
            for learner in self.learners.values():
                learner.set_statistics(audio)
        valid_audio, valid_labels = self._collect(
            self._scenes("valid", seed=VALIDATION_SEED, first=0, count=training.validation_scenes)
        )
        remaining = self._scenes(
            "train",
            seed=training.seed,
            first=self.step * training.batch,
            count=(training.steps - self.step) * training.batch,
        )
        losses = {name: torch.zeros((), device=self.device) for name in self.learners}
        since, started = 0, time.monotonic()
        for audio, labels in batches(remaining, batch=training.batch, workers=self.workers):
            audio = audio.to(self.device, non_blocking=True)  # noqa: PLW2901
            labels = labels.to(self.device, non_blocking=True)  # noqa: PLW2901
            for name, learner in self.learners.items():
                losses[name] += learner.step(audio, labels, recipe=self.recipe, step=self.step)
            self.step += 1
            since += 1
            late = until is not None and time.monotonic() > until
            if self.step % training.validate_every == 0 or self.step == training.steps or late:
                rate = since / (time.monotonic() - started)
                self._validate(valid_audio, valid_labels, losses, since=since, steps_a_s=rate)
                self._save()
                for loss in losses.values():
                    loss.zero_()
                since, started = 0, time.monotonic()
                if all(x.stale >= training.patience for x in self.learners.values()):
                    log.info("stopped_early", why="no model improves", step=self.step)
                    return True
                if late:
                    return self.step == training.steps
        return True

    def _validate(
        self,
        audio: Tensor,
        labels: Tensor,
        losses: dict[str, Tensor],
        *,
        since: int,
        steps_a_s: float,
    ) -> None:
        for name, learner in self.learners.items():
            precision = frame_average_precision(learner.average, audio, labels)
            macro = precision.nanmean().item()
            learner.stale += 1
            if macro > learner.best:
                learner.best, learner.stale = macro, 0
                save_model(self.folder / f"{name}.best.pt", learner.average, step=self.step)
            record = {
                "step": self.step,
                "model": name,
                "loss": round(losses[name].item() / since, 5),
                "macro_ap": round(macro, 4),
                "best": round(learner.best, 4),
                "steps_a_s": round(steps_a_s, 2),
                "ap": {c: round(v, 3) for c, v in zip(CLASSES, precision.tolist(), strict=True)},
            }
            log.info("validated", **record)
            with (self.folder / "history.jsonl").open("a") as history:
                history.write(json.dumps(record) + "\n")

    def _save(self) -> None:
        """Write ``last.pt`` so that a kill at any moment leaves a whole file."""
        part = self.folder / "last.pt.part"
        torch.save(
            {
                "step": self.step,
                "learners": {name: x.state_dict() for name, x in self.learners.items()},
            },
            part,
        )
        part.replace(self.folder / "last.pt")
