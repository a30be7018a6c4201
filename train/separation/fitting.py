"""From a recipe of separation and a data set to a finished run, by the loop of all recipes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import Tensor

from streamsed.errors import ConfigError
from train.checkpoint import load_separator
from train.data.desed import read_desed
from train.data.fuss import MOST_SOURCES, read_fuss
from train.data.loading import load
from train.data.soundscape_set import SEPARATION
from train.learning.folder import RunFolder, run_id
from train.learning.machine import make_fabric
from train.learning.networks import Networks
from train.learning.stopping import StopRequest
from train.learning.trainer import Figures, Terms, Trainer
from train.models.conv_tasnet import ConvTasNet
from train.separation.batches import (
    Material,
    MixtureBatch,
    MixtureBatches,
    OrderedMixtures,
    Pairs,
    Sources,
)
from train.separation.mixit import mixit_loss
from train.separation.pit import in_order, pit_loss
from train.separation.recipe import SeparationRecipe
from train.separation.snr import si_snr_improvement


@dataclass(frozen=True)
class SeparationSets:
    """Material of a run.

    Attributes:
        training: to learn from.
        validation: to compare checkpoints on.
        names: of its files by set.
    """

    training: Material
    validation: Material
    names: Mapping[str, list[str]]

    def counts(self) -> dict[str, int]:
        """Return the number of files by set."""
        return {name: len(files) for name, files in self.names.items()}

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of the names of all files, not of their audio."""
        return hashlib.sha256(json.dumps(self.names).encode()).hexdigest()[:16]


def read_separation_sets(root: Path, recipe: SeparationRecipe) -> SeparationSets:
    """Read what a recipe learns from.

    Args:
        root: of ``pit``, FUSS's root, or a folder that ``streamsed-train soundscapes`` put
            mixtures into; of ``mixit``, a data set in DESED's shape.
        recipe: what is learned.

    Raises:
        ConfigError: the separator has fewer outputs than mixtures have sources.
        DataError: a part is missing or wrong.
    """
    rate = recipe.model.sample_rate
    samples = round(recipe.data.duration_s * rate)
    if recipe.step == "pit":
        if recipe.model.sources < MOST_SOURCES:
            raise ConfigError(
                f"model.sources {recipe.model.sources}; mixtures have up to {MOST_SOURCES}"
            )
        below = root / SEPARATION
        mixtures = [
            read_fuss(below if below.is_dir() else root, s) for s in ("train", "validation")
        ]
        training, validation = (Sources(m, samples, rate, recipe.model.sources) for m in mixtures)
        names = zip(("train", "validation: validation"), mixtures, strict=True)
        return SeparationSets(training, validation, {n: [m.name for m in ms] for n, ms in names})
    parts = {part: read_desed(root, part).clips for part in ("strong", "unlabelled", "weak")}
    heard = [clip.path for part in ("strong", "unlabelled") for clip in parts[part]]
    return SeparationSets(
        Pairs(heard, samples, rate, recipe.data.gain_db),
        Pairs([clip.path for clip in parts["weak"]], samples, rate),
        {
            "strong": [clip.name for clip in parts["strong"]],
            "unlabelled": [clip.name for clip in parts["unlabelled"]],
            "validation: weak": [clip.name for clip in parts["weak"]],
        },
    )


class SeparationTrainer(Trainer[ConvTasNet]):
    """Trains a separator.

    Args:
        recipe: what is learned.
        sets: from what.
        folder: claimed for this run.
        fabric: launched.
    """

    recipe: SeparationRecipe

    def __init__(
        self, recipe: SeparationRecipe, *, sets: SeparationSets, folder: RunFolder, fabric: Fabric
    ) -> None:
        batches = MixtureBatches(
            sets.training,
            batch=recipe.data.batch,
            seed=recipe.seed,
            steps_per_epoch=recipe.data.steps_per_epoch,
            rank=fabric.global_rank,
            ranks=fabric.world_size,
        )
        learner = Networks(make_separator(recipe), recipe, fabric)
        super().__init__(recipe, batches=batches, learner=learner, folder=folder, fabric=fabric)
        self.sets = sets

    def begin(self) -> None:
        """Do nothing: a separator's scaling is its own."""

    def terms(self, batch: MixtureBatch[Tensor], k: int) -> Terms:
        """Return the loss; see the base class."""
        del k
        estimates = self.learner.wrapped(batch.mixture)
        return {self.recipe.step: loss_of(self.recipe, estimates, batch)[0].mean()}

    @torch.no_grad()
    def figures(self, network: ConvTasNet) -> Figures:
        """Return the mean loss of validation mixtures, and how much better their parts became.

        Of ``mixit`` the parts are the two clips, remixed from the estimates that are theirs.
        """
        was_training = network.training
        network.eval()
        batches = OrderedMixtures(self.sets.validation, batch=self.recipe.validation.batch)
        losses, better = [], []
        for batch in load(batches, range(len(batches)), workers=self.recipe.machine.workers):
            heard = batch.map(lambda tensor: tensor.to(self.fabric.device))
            loss, parts = loss_of(self.recipe, network(heard.mixture), heard)
            losses.append(loss)
            better.append(si_snr_improvement(parts, heard.parts, heard.mixture))
        network.train(was_training)
        mean = float(torch.cat(losses).mean())
        improvement = float(torch.cat(better).nanmean())  # NaN if no mixture has two sources
        return Figures({"loss_db": mean, "si_snr_improvement_db": improvement}, -mean)


def loss_of(
    recipe: SeparationRecipe, estimates: Tensor, batch: MixtureBatch[Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the loss ``(B,)`` of a recipe, and the estimates of the batch's parts."""
    if recipe.step == "pit":
        loss, permutation = pit_loss(estimates, batch.parts, batch.mixture)
        return loss, in_order(estimates, permutation)
    loss, assignment = mixit_loss(estimates, batch.parts)
    return loss, assignment.to(estimates.dtype) @ estimates


def make_separator(recipe: SeparationRecipe) -> ConvTasNet:
    """Return the separator that a recipe begins with, in training mode.

    Raises:
        ConfigError: the checkpoint that it begins with is missing or of another size.
    """
    torch.manual_seed(recipe.seed)
    separator = ConvTasNet(recipe.model)
    if recipe.init_from is not None:
        before = load_separator(recipe.init_from)
        if before.config != recipe.model:
            raise ConfigError(f"init_from: {recipe.init_from} is of another size than the recipe's")
        separator.load_state_dict(before.state_dict())
    return separator.train()


def fit_separation(
    recipe: SeparationRecipe,
    *,
    data: Path,
    folder: Path | None = None,
    until: float | None = None,
) -> tuple[SeparationTrainer, bool]:
    """Train a separator; a run that was stopped goes on.

    Args:
        recipe: what is learned.
        data: see :func:`read_separation_sets`.
        folder: of the run; by default ``runs/<id>``.
        until: monotonic time after which it stops, to be resumed.

    Returns:
        The trainer, and whether the run is done.

    Raises:
        DataError: the data set is wrong.
        ConfigError: the folder is another run's, or the machine has no such device.
    """
    sets = read_separation_sets(data, recipe)
    fabric = make_fabric(recipe.machine)
    place = RunFolder(folder or Path("runs") / run_id(recipe, sets))
    if fabric.is_global_zero:
        place.claim(recipe, sets, data=data)
    fabric.barrier()
    trainer = SeparationTrainer(recipe, sets=sets, folder=place, fabric=fabric)
    stop = StopRequest(until)
    with stop.on_signals():
        done = trainer.fit(stop)
    fabric.barrier()
    return trainer, done
