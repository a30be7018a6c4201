"""Pictures of what a global-attention CRNN makes of recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from train.data.clips import ClipSet
from train.data.crops import PRESENT, OrderedCrops, SoftCrops
from train.data.loading import load
from train.models.model import SoundEventModel
from train.stages.recordings import run_crops
from train.writing import replacing

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """What a model makes of the seconds of one recording.

    Attributes:
        scene: index of the recording's scene.
        embeddings: ``(T, D)``.
        attention: ``(T, W)`` weights.
        labels: ``(T, C)``, soft.
    """

    scene: int
    embeddings: Values
    attention: Values
    labels: Values


@torch.no_grad()
def look(
    model: SoundEventModel, crops: SoftCrops, clips: ClipSet, *, batch: int
) -> dict[str, Seen]:
    """Return what a model makes of recordings, by name."""
    model.eval()
    parts: dict[str, list[tuple[Any, ...]]] = {}
    batches = OrderedCrops(crops, clips, batch=batch)
    for each in load(batches, range(len(batches))):
        output = run_crops(model, each)
        for row, name in enumerate(each.names):
            known = each.known[row]
            kept = [
                output.extra[key][row][known].float().numpy() for key in ("embeddings", "attention")
            ]
            labels = each.values[row][known].numpy()
            parts.setdefault(name, []).append((int(each.scene[row]), *kept, labels))
    return {
        name: Seen(found[0][0], *(np.concatenate([of[k] for of in found]) for k in (1, 2, 3)))
        for name, found in parts.items()
    }


def draw_embeddings(
    seen: Mapping[str, Seen], path: Path, *, scenes: Sequence[str], most: int
) -> None:
    """Draw the embeddings of seconds in two dimensions, coloured by scene.

    Args:
        seen: by recording.
        path: of the PNG.
        scenes: by index.
        most: seconds, spread evenly over all.
    """
    every = np.concatenate([of.embeddings for of in seen.values()])
    scene = np.concatenate([np.full(len(of.embeddings), of.scene) for of in seen.values()])
    count = min(most, len(every))
    chosen = np.linspace(0, len(every) - 1, count).astype(int)
    perplexity = float(min(30, max(2, count // 4)))
    found = TSNE(perplexity=perplexity, random_state=0, init="pca").fit_transform(every[chosen])
    figure = Figure(figsize=(7.0, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for index, name in enumerate(scenes):
        mine = scene[chosen] == index
        axes.scatter(found[mine, 0], found[mine, 1], s=9, label=name.replace("_", " "))
    axes.set(xticks=[], yticks=[], title=f"Embeddings of {count} seconds by t-SNE, by scene")
    axes.legend(fontsize="small", markerscale=2)
    _save(figure, path)


def draw_attention(
    seen: Mapping[str, Seen],
    path: Path,
    *,
    before: int,
    frame_s: float,
    classes: Sequence[str],
) -> None:
    """Draw what seconds attend to: by distance, and in one recording.

    Args:
        seen: by recording.
        path: of the PNG.
        before: frames of the past in a window.
        frame_s: of a frame.
        classes: of the labels.
    """
    every = np.concatenate([of.attention for of in seen.values()])
    offsets = (np.arange(every.shape[1]) - before) * frame_s
    figure = Figure(figsize=(10.0, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.0, 1.5), height_ratios=(1.5, 1.0))
    distance = figure.add_subplot(grid[:, 0])
    low, middle, high = np.percentile(every, (10, 50, 90), axis=0)
    distance.fill_between(offsets, low, high, alpha=0.25, label="10 % to 90 % of seconds")
    distance.plot(offsets, middle, label="median")
    even = 1.0 / every.shape[1]
    distance.axhline(even, color="grey", linestyle=":", label="all alike")
    distance.set(title="Weight by distance", xlabel="s from the second scored", ylabel="weight")
    distance.set_ylim(bottom=0.0)
    distance.legend(fontsize="small")
    name, one = max(seen.items(), key=lambda of: float(np.ptp(of[1].attention, axis=1).mean()))
    weights = np.full((len(one.attention), len(one.attention)), np.nan)
    for second, row in enumerate(one.attention):
        for offset, weight in enumerate(row):
            other = second + offset - before
            if 0 <= other < len(weights):
                weights[second, other] = weight
    image = figure.add_subplot(grid[0, 1])
    shown = image.imshow(weights.T, origin="lower", aspect="auto", interpolation="nearest")
    image.set(title=f"Attention in {name}", ylabel="second attended to")
    figure.colorbar(shown, ax=image, label="weight")
    below = figure.add_subplot(grid[1, 1], sharex=image)
    sounding = [k for k in range(len(classes)) if (one.labels[:, k] >= PRESENT).any()]
    below.imshow(
        one.labels[:, sounding].T, aspect="auto", vmin=0.0, vmax=1.0, cmap="Greys",
        interpolation="nearest",
    )  # fmt: skip
    below.set_yticks(range(len(sounding)), [classes[k].replace("_", " ") for k in sounding])
    below.tick_params(axis="y", labelsize="small")
    below.set(xlabel="second scored", title="Its soft labels")
    _save(figure, path)


def draw_fold_losses(histories: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Draw the losses of several folds, of training and of validation, as a PNG.

    Args:
        histories: records as :class:`train.engine.training_log.TrainingLog` writes them, by fold.
        path: of the PNG.
    """
    figure = Figure(figsize=(10.0, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    training, validation = figure.subplots(1, 2, sharex=True)
    for fold, records in histories.items():
        points = [(r["step"], r["losses"]["labels"]) for r in records if r["kind"] == "losses"]
        training.plot(*zip(*points, strict=True), label=fold)
        checks = [
            (r["step"], next(iter(r["figures"].values()))["loss"])
            for r in records
            if r["kind"] == "validation"
        ]
        validation.plot(*zip(*checks, strict=True), "o-", markersize=3, label=fold)
    for axes, title in ((training, "Training loss of labels"), (validation, "Validation loss")):
        axes.set(title=title, xlabel="step")
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as part:
        figure.savefig(part, dpi=100, format="png")
