"""Checkpoints that become one bundle: their names, weights and look-ahead, and its files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from streamsed.bundle import write_manifest, write_selftest
from streamsed.bundle.manifest import SCHEMA
from streamsed.errors import ConfigError
from streamsed.validation_messages import suggest
from train.checkpoint import Checkpoint, load_model, save_model
from train.engine.folder import RunRecord, read_run
from train.export import check_parity, export_step, run_graph
from train.models.model import SoundEventModel
from train.models.registry import build
from train.synthesis.catalogue import TARGETS, synthesise

log = structlog.get_logger()

SELFTEST_STEPS = 16


@dataclass(frozen=True)
class EnsembleMember:
    """A checkpoint on its way into a bundle.

    Attributes:
        name: in the manifest, and of its files.
        checkpoint: the model.
        weight: in the mean of the members' scores.
        run: that it comes from; None if it lies in no run's folder.
    """

    name: str
    checkpoint: Checkpoint
    weight: float
    run: RunRecord | None

    @property
    def model(self) -> SoundEventModel:
        """In evaluation mode, on the CPU."""
        return self.checkpoint.model

    @property
    def tags(self) -> bool:
        """Whether it yields tags."""
        try:
            self.model.step(tags=True)
        except ConfigError:
            return False
        return True

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(weights.numel() for weights in self.model.parameters())

    def trained_by(self, recipe: str) -> str:
        """Return what names the training: the run, or if that is not known the recipe."""
        return recipe if self.run is None else self.run.id


@dataclass(frozen=True)
class Ensemble:
    """Members of one bundle; they agree on classes, score frames and steps.

    Attributes:
        members: one graph each.
        tag_threshold: the tags of members that yield them are written as well, and a class counts
            only while the mean of its tags exceeds this; None for no gate.
    """

    members: tuple[EnsembleMember, ...]
    tag_threshold: float | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Of every member, in order."""
        return self.members[0].model.config.classes

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.members[0].model.config.front_end.sample_rate

    @property
    def chunk_s(self) -> float:
        """Seconds of a step."""
        return self.members[0].model.config.chunk_samples / self.sample_rate

    @property
    def frame_s(self) -> float:
        """Seconds of a score frame."""
        return self.members[0].model.config.frame_samples / self.sample_rate

    @property
    def windowed(self) -> bool:
        """Whether the look-ahead of any member can be chosen."""
        return any(len(member.model.look_aheads()) > 1 for member in self.members)

    def look_ahead(self, latency_s: float | None) -> tuple[int, ...]:
        """Return how many frames each member looks ahead.

        Args:
            latency_s: at most this much. Windowed models look ahead as far as that allows, others
                as far as they were trained to; None leaves all as they are configured.

        Raises:
            ConfigError: it cannot be met; the line has what could be.
        """
        if latency_s is None:
            return tuple(member.model.config.latency_frames for member in self.members)
        spans = [member.model.look_aheads() for member in self.members]
        shortest, longest = (max(span[end] for span in spans) for end in (0, -1))
        within = int(latency_s / self.frame_s + 1e-6) if latency_s >= 0.0 else -1
        if not shortest <= within or (self.windowed and within > longest):
            upper = f" to {longest * self.frame_s:g} s" if self.windowed else " s or more"
            raise ConfigError(
                f"--latency {latency_s:g}: these members cannot meet it; "
                f"{shortest * self.frame_s:g}{upper} would be right"
            )
        return self.at_most(latency_s)

    def at_most(self, latency_s: float) -> tuple[int, ...]:
        """Return the frames of :meth:`look_ahead` as near to a time as the members come."""
        frames = int(latency_s / self.frame_s + 1e-6)
        spans = (member.model.look_aheads() for member in self.members)
        return tuple(min(max(frames, span[0]), span[-1]) for span in spans)

    def write(
        self,
        folder: Path,
        look_ahead: Sequence[int],
        *,
        probes: Sequence[NDArray[np.float32]] = (),
    ) -> tuple[dict[str, Any], dict[str, float]]:
        """Write graphs, checkpoints and the self-test, and a manifest that the runtime loads.

        Thresholds are 0.5, and there are no windows: that is for others to fit.

        Args:
            folder: new or empty.
            look_ahead: frames of each member.
            probes: ``(N,)`` recordings on which graphs are held against their models, beside
                synthetic sounds and noise.

        Returns:
            The manifest as plain values, with an empty provenance; and the largest difference of
            each member's graph to its model.

        Raises:
            ExportError: a graph differs from its model.
        """
        folder.mkdir(parents=True, exist_ok=True)
        config = self.members[0].model.config
        samples = config.chunk_samples * SELFTEST_STEPS
        audio = synthetic_audio(samples, sample_rate=self.sample_rate)
        noise = np.random.default_rng(2).normal(0.0, 0.1, samples).astype(np.float32)
        chunks = audio.reshape(SELFTEST_STEPS, -1)
        members, selftest, differences = [], {}, {}
        for member, frames in zip(self.members, look_ahead, strict=True):
            graph = folder / f"{member.name}.onnx"
            entry = export_step(
                member.model,
                graph,
                name=member.name,
                latency_frames=frames,
                tags=self.tag_threshold is not None and member.tags,
            )
            differences[member.name] = max(
                check_parity(member.model, graph, entry, probe) for probe in (audio, noise, *probes)
            )
            selftest[member.name] = run_graph(graph, entry, chunks)
            save_model(folder / f"{member.name}.pt", member.model, step=member.checkpoint.step)
            entry = entry.model_copy(update={"weight": member.weight})
            members.append(entry.model_dump(mode="json"))
        write_selftest(folder, chunks=chunks, scores=selftest)
        manifest = {
            "schema": SCHEMA,
            "name": folder.name,
            "version": "0",
            "classes": list(self.classes),
            "sample_rate": self.sample_rate,
            "chunk_samples": config.chunk_samples,
            "frame_samples": config.frame_samples,
            "members": members,
            "postprocessing": {
                label: {"tag_threshold": self.tag_threshold} for label in self.classes
            },
            "provenance": {"recipe": "", "data": "", "licences": []},
        }
        write_manifest(folder, manifest, files=self.files)
        return manifest, differences

    @property
    def files(self) -> tuple[str, ...]:
        """Further files of the bundle: checkpoints, to train on and to hold the graphs against."""
        return tuple(f"{member.name}.pt" for member in self.members)


def read_ensemble(
    paths: Sequence[Path],
    weights: Sequence[float] | None = None,
    *,
    tag_threshold: float | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Ensemble:
    """Read checkpoints that are to be one bundle.

    All step by the longest step among them, which changes no weight.

    Args:
        paths: of the checkpoints.
        weights: one each; None for equal ones.
        tag_threshold: of the gate; see :class:`Ensemble`.
        changes: by kind of model, what is laid over the configuration of each member of it, such
            as ``{"mlfl": {"detection": "branch"}}``; what has weights must stay as it is.

    Raises:
        ConfigError: a file is no checkpoint, the members do not fit together, or the changes do
            not fit them.
    """
    if weights is not None and len(weights) != len(paths):
        raise ConfigError(f"--weights: {len(weights)} for {len(paths)} checkpoints; one each")
    if weights is not None and not all(0.0 < weight < float("inf") for weight in weights):
        raise ConfigError("--weights: must be positive numbers")
    checkpoints = _changed([load_model(path) for path in paths], paths, changes or {})
    runs = [read_run(path.parent) for path in paths]
    first = checkpoints[0].model.config
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        config = checkpoint.model.config
        same = {
            "classes": (config.classes, first.classes),
            "frame_samples": (config.frame_samples, first.frame_samples),
            "sample rate": (config.front_end.sample_rate, first.front_end.sample_rate),
        }
        if odd := [key for key, (one, other) in same.items() if one != other]:
            raise ConfigError(f"{path}: {odd[0]} differs from that of {paths[0]}")
    chunk = max(checkpoint.model.config.chunk_samples for checkpoint in checkpoints)
    names = _names([run.recipe.name if run else p.name for run, p in zip(runs, paths, strict=True)])
    ensemble = Ensemble(
        tuple(
            EnsembleMember(name, _stepping(checkpoint, chunk), weight, run)
            for name, checkpoint, weight, run in zip(
                names, checkpoints, weights or [1.0] * len(paths), runs, strict=True
            )
        ),
        tag_threshold,
    )
    if tag_threshold is not None:
        if not 0.0 <= tag_threshold < 1.0:
            raise ConfigError(f"--tag-threshold {tag_threshold:g}: must be from 0 to below 1")
        if not any(member.tags for member in ensemble.members):
            raise ConfigError("--tag-threshold: no member yields tags")
    return ensemble


def _changed(
    checkpoints: Sequence[Checkpoint], paths: Sequence[Path], changes: Mapping[str, Any]
) -> list[Checkpoint]:
    """Return the checkpoints with what is laid over their models' configurations."""
    kinds = [checkpoint.model.config.kind for checkpoint in checkpoints]
    for kind, laid in changes.items():
        if kind not in kinds:
            raise ConfigError(f"--models: no member is a {kind}; {suggest(kind, kinds)}")
        if not isinstance(laid, Mapping):
            raise ConfigError(f"--models: {kind}: must hold keys of the model, such as in a recipe")
    return [
        load_model(path, changes=changes[kind]) if kind in changes else checkpoint
        for path, checkpoint, kind in zip(paths, checkpoints, kinds, strict=True)
    ]


def _names(wanted: Sequence[str]) -> list[str]:
    """Return names for a manifest, numbered where two would be the same."""
    plain = [re.sub(r"[^A-Za-z0-9_-]", "_", name.split(".")[0]) for name in wanted]
    counts, seen = Counter(plain), Counter[str]()
    names = []
    for name in plain:
        seen[name] += 1
        names.append(name if counts[name] == 1 else f"{name}-{seen[name]}")
    return names


def _stepping(checkpoint: Checkpoint, chunk_samples: int) -> Checkpoint:
    """Return the same model with steps of another length."""
    config = checkpoint.model.config
    if config.chunk_samples == chunk_samples:
        return checkpoint
    try:
        model = build(replace(config, chunk_samples=chunk_samples))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a {config.kind} among members of longer steps: {error}") from error
    model.load_state_dict(checkpoint.model.state_dict())
    return Checkpoint(model.eval(), checkpoint.step)


def synthetic_audio(samples: int, *, sample_rate: int) -> NDArray[np.float32]:
    """Return synthetic sounds one after another, ``(samples,)``: audio free of any licence."""
    rng = np.random.default_rng(1)
    parts: list[NDArray[np.float32]] = []
    while sum(map(len, parts)) < samples:
        for label in TARGETS:
            sound, _ = synthesise(label, rng, duration_s=1.0, sample_rate=sample_rate)
            parts.append(sound * np.float32(0.2))
    audio = np.concatenate(parts)[:samples]
    return audio + rng.normal(0, 1e-3, samples).astype(np.float32)
