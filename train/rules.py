"""Windows and thresholds of a bundle that is about to be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from streamsed.bundle.manifest import ClassPostprocessing
from train.held_out import WINDOW_S, HeldOut
from train.postprocess.calibration import CalibrationConfig, fit
from train.postprocess.choices import WindowMethod

log = structlog.get_logger()


@dataclass(frozen=True)
class FittedRules:
    """Postprocessing of a bundle, and how it came about.

    Attributes:
        rules: by class.
        objective: what was fitted for, in words.
        windows: where median windows come from, in words.
        notes: for people.
    """

    rules: Mapping[str, ClassPostprocessing]
    objective: str
    windows: str
    notes: tuple[str, ...]


def fit_rules(bundle: Path, held_out: HeldOut) -> FittedRules:
    """Fit windows and thresholds by the recipe.

    Those that the bundle has count for nothing, but for its gate by tags.

    Raises:
        StreamsedError: recordings or labels cannot be used.
    """
    config = held_out.recipe.postprocessing
    windows_s, without = held_out.windows()
    replayed = held_out.replay(bundle, config.part, title="fitting")
    start = {
        label: ClassPostprocessing(
            median_s=WINDOW_S if windows_s is None else windows_s[label],
            tag_threshold=replayed.manifest.postprocessing[label].tag_threshold,
        )
        for label in replayed.manifest.classes
    }
    manifest = replayed.manifest.model_copy(update={"postprocessing": start})
    replayed = replace(replayed, manifest=manifest)
    log.info("fitting", objective=str(config.objective), windows=str(config.windows))
    how = CalibrationConfig(
        objective=config.objective, limit_per_hour=config.limit, windows=config.windows, folds=0
    )
    rules, notes = fit(replayed, how, windows_s=windows_s)
    if without:
        notes = (*notes, f"no training events of {', '.join(without)}: a window of {WINDOW_S:g} s")
    match config.windows:
        case WindowMethod.EVENT_SPECIFIC:
            windows = "a third of the mean duration of training events up to their knee"
        case WindowMethod.AVERAGE:
            windows = "a third of the mean duration of training events"
        case _:
            windows = f"searched on the part `{config.part}`, with the thresholds"
    return FittedRules(rules, how.in_words, windows, notes)
