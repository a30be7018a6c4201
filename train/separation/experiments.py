"""The experiments of a grid, one after another: what is done is not done anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streamsed.errors import ConfigError
from train.checkpoint import load_model, load_separator, save_model
from train.comparison.results import validation_set
from train.comparison.scoring import Reached, figures, whole_clip_scores
from train.data.clips import ClipSet
from train.engine.fitting import fit_recipe
from train.engine.journal import read_history
from train.engine.machine import MachineConfig, make_fabric
from train.models.jss import JSS, JSSConfig
from train.separation.grid import BASELINE, SELECTIONS, Grid, Pretraining, TrainedStage
from train.stages.validation import Scores

ClipsScores = Mapping[str, Scores]


class Unfinished(Exception):
    """A training was stopped before its end; the same command goes on."""


@dataclass(frozen=True)
class Measured:
    """A system and what it reaches.

    Attributes:
        system: as the paper's tables call it.
        selection: whose checkpoint it is.
        reached: on the validation part.
    """

    system: str
    selection: str
    reached: Reached


@dataclass(frozen=True)
class Separated:
    """What a separator reaches on its validation mixtures, at its best.

    Attributes:
        learned_from: what the paper's tables call it by.
        step: ``pit`` or ``mixit``.
        steps: after which it was at its best.
        loss_db: mean of the loss.
        si_snr_improvement_db: mean over the parts of mixtures; of ``mixit`` these are the two
            clips of a sum. None where no mixture has two.
    """

    learned_from: Pretraining
    step: str
    steps: int
    loss_db: float
    si_snr_improvement_db: float | None


@dataclass(frozen=True)
class Experiments:
    """Trains and measures a grid.

    Attributes:
        grid: what.
        data: data set in DESED's shape.
        mixtures: in FUSS's shape, or where ``streamsed-train soundscapes`` put some.
        runs: folder of all runs and scores.
        machine: what it is computed with, instead of the recipes'.
        until: monotonic time after which trainings stop, to be resumed.
    """

    grid: Grid
    data: Path
    mixtures: Path
    runs: Path
    machine: MachineConfig
    until: float | None = None

    def measure(self) -> Iterator[Measured]:
        """Train and measure every system, then every fusion.

        Yields:
            Each as it is done.

        Raises:
            Unfinished: a training was stopped.
            StreamsedError: a data set is wrong, or a run cannot go on.
        """
        clips = validation_set(self.data, self.grid.detector())
        frame_s = self._frame_s()
        for selection in SELECTIONS:
            for system, checkpoint in self.checkpoints(selection):
                scores = self._scores(checkpoint, clips)
                yield Measured(system, selection, figures(scores, clips, frame_s=frame_s))
        teachers = dict(self.checkpoints("teacher"))
        for name, weights in self.grid.fusions.items():
            parts = {system: self._scores(teachers[system], clips) for system in weights}
            reached = figures(fused(parts, weights), clips, frame_s=frame_s)
            yield Measured(name, "teacher", reached)

    def separated(self) -> Iterator[Separated]:
        """Yield what the separators reach that were trained so far."""
        for learned_from in self.grid.separators:
            recipe = self.grid.separator(learned_from)
            said = [
                (record["step"], record["figures"][recipe.selection])
                for record in read_history(self._separator_folder(learned_from))
                if record["kind"] == "validation"
            ]
            if said:
                steps, best = max(said, key=lambda entry: entry[1]["objective"])
                yield Separated(
                    learned_from,
                    recipe.stage.kind,
                    steps,
                    loss_db=best["loss_db"],
                    si_snr_improvement_db=best["si_snr_improvement_db"],
                )

    def checkpoints(self, selection: str) -> Iterator[tuple[str, Path]]:
        """Yield every system and its checkpoint, trained if need be.

        Each stage begins with the checkpoint that the stage before was selected for.
        """
        sed = self._detector() / f"{selection}.best.pt"
        yield BASELINE, sed
        for learned_from in self.grid.separators:
            stage0 = self._join(learned_from, sed, selection)
            yield f"{learned_from}-S0", stage0
            before: dict[str, Path] = {"S0": stage0}
            begins: dict[TrainedStage, str] = {"S1": "S0", "S2": "S1", "JT": "S0"}
            for stage, first in begins.items():
                folder = self.runs / f"{learned_from}-{stage}-{selection}".lower()
                before[stage] = self._stage(stage, before[first], folder, selection)
                yield f"{learned_from}-{stage}", before[stage]

    def _detector(self) -> Path:
        folder = self.runs / "sed"
        recipe = replace(self.grid.detector(), machine=self.machine)
        _, done = fit_recipe(recipe, data=self.data, folder=folder, until=self.until)
        return _finished(folder, done=done)

    def _separator(self, learned_from: Pretraining) -> Path:
        folder = self._separator_folder(learned_from)
        recipe = replace(self.grid.separator(learned_from), machine=self.machine)
        data = self.mixtures if recipe.data.kind == "mixtures" else self.data
        _, done = fit_recipe(recipe, data=data, folder=folder, until=self.until)
        return _finished(folder, done=done)

    def _separator_folder(self, learned_from: Pretraining) -> Path:
        return self.runs / f"separator-{learned_from.lower()}"

    def _join(self, learned_from: Pretraining, sed: Path, selection: str) -> Path:
        folder = self._separator(learned_from)
        path = self.runs / f"{learned_from}-S0-{selection}.pt".lower()
        if path.exists():
            return path  # what was begun with it knows it by its bytes
        separator, detector = load_separator(folder / "best.pt"), load_model(sed)
        try:
            config = JSSConfig(
                sed=detector.model.config,
                separator=separator.config,
                source_norm=self.grid.source_norm,
            )
        except ValueError as error:
            raise ConfigError(f"{self.grid.file}: {error}") from error
        model = JSS(config, separator=separator, sed=detector.model)
        save_model(path, model, step=detector.step)
        return path

    def _stage(self, stage: TrainedStage, begin: Path, folder: Path, selection: str) -> Path:
        recipe = self.grid.stage(stage)
        recipe = replace(
            recipe,
            model=load_model(begin).model.config,
            init_from=begin,
            validation=replace(recipe.validation, selection=selection),
            machine=self.machine,
        )
        _, done = fit_recipe(recipe, data=self.data, folder=folder, until=self.until)
        return _finished(folder, done=done) / f"{selection}.best.pt"

    def _frame_s(self) -> float:
        model = self.grid.detector().model
        return model.frame_samples / model.front_end.sample_rate

    def _scores(self, checkpoint: Path, clips: ClipSet) -> ClipsScores:
        """Return the scores of a checkpoint, kept in a file beside it."""
        file = checkpoint.with_suffix(".scores.npz")
        if file.exists() and file.stat().st_mtime > checkpoint.stat().st_mtime:
            with np.load(file) as kept:
                if set(kept.files) == {clip.name for clip in clips.clips}:
                    return {name: kept[name] for name in kept.files}
        scores = whole_clip_scores(
            load_model(checkpoint).model,
            clips,
            duration_s=self.grid.detector().data.duration_s,
            device=make_fabric(self.machine).device,
        )
        part = file.with_suffix(".part.npz")
        np.savez(part, **scores)  # type: ignore[arg-type]  # clips by name
        part.replace(file)
        return scores


def fused(parts: Mapping[str, ClipsScores], weights: Mapping[str, float]) -> dict[str, Scores]:
    """Return the weighted mean of several systems' scores, clip by clip.

    Args:
        parts: scores ``(T, C)`` by clip, by system; all of one frame grid.
        weights: of the systems, positive.

    Raises:
        ConfigError: the systems differ in clips or frames.
    """
    first = next(iter(parts.values()))
    for system, scores in parts.items():
        if scores.keys() != first.keys() or any(
            values.shape != first[name].shape for name, values in scores.items()
        ):
            raise ConfigError(f"{system}: its scores are of other clips, frames or classes")
    total = sum(weights[system] for system in parts)
    return {
        name: sum(weights[system] / total * scores[name] for system, scores in parts.items())  # type: ignore[misc]
        for name in first
    }


def _finished(folder: Path, *, done: bool) -> Path:
    if not done:
        raise Unfinished(folder)
    return folder
