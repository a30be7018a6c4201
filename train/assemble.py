"""From checkpoints to a bundle: export, fit, check, measure, and write it all down."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from streamsed.bundle import load, write_manifest
from streamsed.bundle.manifest import MANIFEST_FILE
from streamsed.errors import BundleError
from train.card import CardContent, write_card
from train.data.audio import read_audio
from train.data.desed import part_files
from train.ensemble import Ensemble
from train.held_out import HeldOut
from train.latency import draw_latency, latency_curve
from train.postprocess.metrics import Metrics, measure
from train.postprocess.replayed import Replayed
from train.postprocess.rewriting import (
    CARD_FILE,
    KEPT_FIGURES,
    check_writable,
    move_into_place,
)
from train.rules import FittedRules, fit_rules

log = structlog.get_logger()

LATENCY_FILE = "latency.png"
_PROBES = 3
_OF_HISTORY = ("psds1", "psds2", "event_f1", "intersection_f1")


def assemble(
    ensemble: Ensemble,
    held_out: HeldOut,
    folder: Path,
    *,
    latency_s: float | None = None,
    version: str = "1",
) -> Metrics:
    """Write a bundle, whole or not at all, and return what it reaches.

    Args:
        ensemble: its members.
        held_out: what it is fitted to and reported on.
        folder: of the bundle; one that is there is replaced, and its figures go into the history.
        latency_s: look-ahead; see :meth:`Ensemble.look_ahead`.
        version: of the bundle.

    Raises:
        ConfigError: the look-ahead cannot be met, or the folder not be written.
        ExportError: a graph differs from its model.
        StreamsedError: recordings or labels cannot be used.
    """
    look_ahead = ensemble.look_ahead(latency_s)
    check_writable(folder, replace=True)
    target = folder.resolve()
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        draft = Path(beside) / target.name
        manifest, differences = ensemble.write(
            draft, look_ahead, probes=_probes(held_out, ensemble)
        )
        fitted, replayed, figures = _reached(draft, held_out)
        points = []
        if ensemble.windowed:
            points = latency_curve(
                ensemble,
                held_out,
                postprocessing=fitted.rules,
                measured={tuple(look_ahead): figures.overall},
            )
        if points:
            draw_latency(points, draft / LATENCY_FILE)
        content = CardContent(
            name=target.name,
            ensemble=ensemble,
            held_out=held_out,
            look_ahead=look_ahead,
            differences=differences,
            fitted=fitted,
            figures=figures,
            alone=_alone(ensemble, look_ahead, held_out, Path(beside)),
            events={label: len(events) for label, events in replayed.truth.items()},
            recordings=len(replayed.clips.names),
            hours=replayed.clips.hours,
            points=points,
            picture=LATENCY_FILE,
            sources=held_out.sources(),
            history=history(target),
            command=held_out.command(folder if not folder.is_absolute() else Path(folder.name)),
        )
        (draft / CARD_FILE).write_text(write_card(content), encoding="utf-8")
        manifest |= {"version": version, **_described(content)}
        write_manifest(draft, manifest, files=[CARD_FILE, LATENCY_FILE, *ensemble.files])
        load(draft)  # as the daemon will
        move_into_place(draft, target, Path(beside) / "before")
    return figures


def _reached(bundle: Path, held_out: HeldOut) -> tuple[FittedRules, Replayed, Metrics]:
    """Fit a bundle, and measure with what was fitted."""
    fitted = fit_rules(bundle, held_out)
    replayed = held_out.replay(bundle, held_out.recipe.postprocessing.report, title="measuring")
    return fitted, replayed, measure(replayed, dict.fromkeys(replayed.clips.names, fitted.rules))


def _alone(
    ensemble: Ensemble, look_ahead: Sequence[int], held_out: HeldOut, beside: Path
) -> dict[str, Metrics]:
    """Return what each of several members reaches without the others, fitted by itself."""
    if len(ensemble.members) == 1:
        return {}
    reached = {}
    for member, frames in zip(ensemble.members, look_ahead, strict=True):
        folder = beside / f"alone-{member.name}"
        log.info("measuring alone", member=member.name)
        Ensemble((member,)).write(folder, (frames,))
        reached[member.name] = _reached(folder, held_out)[2]
    return reached


def _described(content: CardContent) -> dict[str, Any]:
    """Return the manifest's part of the same, as plain values."""
    recipe = content.held_out.recipe
    trained_by = [member.trained_by(recipe.name) for member in content.ensemble.members]
    scores = {
        "part": recipe.postprocessing.report,
        "recordings": content.recordings,
        "hours": content.hours,
        "overall": asdict(content.figures.overall),
        "classes": {label: asdict(one) for label, one in content.figures.classes.items()},
        "alone": {name: asdict(one.overall) for name, one in content.alone.items()},
        "look_ahead": [{"s": p.look_ahead_s, **asdict(p.reached)} for p in content.points],
        "history": list(content.history),
    }
    return {
        "postprocessing": {k: v.model_dump(mode="json") for k, v in content.fitted.rules.items()},
        "provenance": {
            "recipe": ", ".join(dict.fromkeys(trained_by)),
            "data": "soundscapes; see card.md" if content.held_out.synthetic else "see card.md",
            "licences": sorted({licence for _, licence, _, _ in content.sources}),
            "scores": _plain(scores),
        },
    }


def _probes(held_out: HeldOut, ensemble: Ensemble) -> list[Any]:
    """Return some real recordings to hold graphs against."""
    audio, _ = part_files(held_out.root, held_out.recipe.postprocessing.part)
    paths = sorted(path for path in audio.iterdir() if path.is_file())[:_PROBES]
    return [read_audio(path, sample_rate=ensemble.sample_rate) for path in paths]


def history(folder: Path) -> list[dict[str, Any]]:
    """Return what the replaced bundle, and those before it, reach by their own manifests."""
    if not (folder / MANIFEST_FILE).exists():
        return []
    try:
        manifest = load(folder).manifest
    except BundleError:
        log.warning("the bundle that is replaced cannot be read: no history", bundle=str(folder))
        return []
    scores = manifest.provenance.scores
    scores = scores.get(KEPT_FIGURES, scores)
    overall = scores.get("overall", scores)
    row = {"version": manifest.version, "recipe": manifest.provenance.recipe}
    row |= {key: overall[key] for key in _OF_HISTORY if key in overall}
    return [*scores.get("history", []), row]


def _plain(value: Any) -> Any:
    """Return nested figures as YAML should show them: three decimals, null for none."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 3)
    return value
