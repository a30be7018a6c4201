"""What a bundle is fitted to and reported on, by the recipe of its training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from streamsed.errors import DataError
from streamsed.replay.progress_display import show_progress
from streamsed.replay.recordings import find_recordings
from train.data.bank import Bank
from train.data.clips import ClipSet
from train.data.desed import Part, part_files, read_desed
from train.data.events import Event, merge
from train.data.hard_view import hard_view
from train.data.mixed_set import DESCRIPTION
from train.data.sets.desed import DesedConfig
from train.data.sets.maestro import MaestroConfig
from train.data.sets.scenes import ScenesConfig, held_out_scenes
from train.data.soundscape import SoundscapeGenerator
from train.places import cache_folder
from train.postprocess.choices import WindowMethod
from train.postprocess.replayed import Replayed, replay_scores
from train.postprocess.windows import Durations, Rule, WindowConfig, class_windows
from train.recipe.schema import HeldOutPart, Recipe

WINDOW_S = 0.45
"""Median window of a class without training events to make one of: the DCASE baseline's."""
TRAINING_SCENES = 500
"""How many scenes show how long events in training are, if there is no end of scenes."""

SourceRow = tuple[str, str, int, float]
"""Source, licence, files and seconds of recordings."""


class HeldOut:
    """Recordings and labels below a recipe's data set or made of its bank.

    Args:
        recipe: names the parts. Of a fold of recordings with soft labels, they are its ``train``,
            ``val`` and ``test``, where these reach 0.5.
        source: the data set, or the bank.

    Raises:
        ConfigError: the bank cannot be used.
        DataError: a part is missing, or cannot be written.
    """

    def __init__(self, recipe: Recipe, source: Path) -> None:
        self.recipe = recipe
        self.bank: Bank | None = None
        self.root = source
        parts = (recipe.postprocessing.part, recipe.postprocessing.report)
        if isinstance(recipe.data, ScenesConfig):
            self.bank = Bank.open(source)
            self.root = held_out_scenes(self.bank, recipe, parts=parts)
        if isinstance(recipe.data, MaestroConfig):
            self.root = hard_view(
                source,
                fold=recipe.data.fold,
                classes=recipe.model.classes,
                scenes=recipe.data.scenes,
                cache=cache_folder(),
            )
        for part in parts:
            part_files(self.root, part)

    def replay(self, bundle: Path, part: HeldOutPart, *, title: str = "") -> Replayed:
        """Run a part's recordings through the runtime; ``title`` stands before the progress.

        Raises:
            StreamsedError: the bundle, a recording or the labels cannot be used.
        """
        folder, table = part_files(self.root, part)
        with show_progress(quiet=False, title=title) as show:
            return replay_scores(bundle, find_recordings([folder]), table, show=show)

    def command(self, bundle: Path) -> str:
        """Return what a reader may type to see the reported figures."""
        folder, table = part_files(self.root, self.recipe.postprocessing.report)
        audio, truth = (Path("DATA") / path.relative_to(self.root) for path in (folder, table))
        return f"streamsed replay {audio} -o out --bundle {bundle} --ground-truth {truth}"

    def windows(self) -> tuple[dict[str, float] | None, tuple[str, ...]]:
        """Make median windows of the durations of training events, if the recipe wants that.

        Returns:
            Seconds by class, None if windows are to be searched for; and the classes that have no
            training events and so the baseline's window.

        Raises:
            DataError: no class has any.
        """
        method = self.recipe.postprocessing.windows
        if method is WindowMethod.SEARCH:
            return None, ()
        rule = Rule.MEAN if method is WindowMethod.AVERAGE else Rule.KNEE
        durations = self._durations()
        known = [label for label, found in durations.items() if len(found.durations_s)]
        if not known:
            raise DataError(
                f"{self.root}: no training clips with events, of which windows {method} are made; "
                "postprocessing.windows: search would be right"
            )
        made = class_windows(durations, known, WindowConfig(rule=rule))
        classes = self.recipe.model.classes
        windows = {label: made[label].window_s if label in made else WINDOW_S for label in classes}
        return windows, tuple(label for label in classes if label not in made)

    def _durations(self) -> dict[str, Durations]:
        data, classes = self.recipe.data, self.recipe.model.classes
        clips: Sequence[tuple[Sequence[Event], float]]
        if isinstance(data, ScenesConfig):
            assert self.bank is not None
            generator = SoundscapeGenerator(
                self.bank,
                split="train",
                config=data.soundscape,
                seed=self.recipe.seed,
                cache=cache_folder(),
            )
            scenes = map(generator.generate, range(TRAINING_SCENES))
            clips = [(scene.events, data.duration_s) for scene in scenes]
        else:
            sets = list(self._training_sets())
            lengths_s = dict(chain.from_iterable(clips.durations().items() for clips in sets))
            clips = [(c.events or (), lengths_s[c.name]) for one in sets for c in one.clips]
        found: dict[str, tuple[list[float], list[float]]] = {label: ([], []) for label in classes}
        for events, length_s in clips:
            for event in merge(events):
                found[event.label][0].append(event.offset_s - event.onset_s)
                found[event.label][1].append(length_s)
        return {label: Durations.of(*pair) for label, pair in found.items()}

    def _training_sets(self) -> Iterator[ClipSet]:
        """Yield the sets with events that were learned from."""
        data, classes = self.recipe.data, self.recipe.model.classes
        if isinstance(data, MaestroConfig):
            yield read_desed(self.root, "strong", classes=classes)
            return
        assert isinstance(data, DesedConfig)
        counts: Mapping[Part, int] = {"strong": data.strong, "strong_real": data.strong_real}
        for part, count in counts.items():
            if count:
                yield read_desed(self.root, part, classes=classes, missing=data.missing)

    def sources(self) -> tuple[SourceRow, ...]:
        """Return the recordings behind the training data, as far as that is known."""
        if self.bank is not None:
            return self.bank.licences("train")
        description = self.root / DESCRIPTION
        if not description.is_file():
            return ()
        described = json.loads(description.read_text(encoding="utf-8"))
        return tuple(
            (row["source"], row["licence"], row["files"], row["s"])
            for row in described["sources"]
            if row["split"] == "train"
        )

    @property
    def synthetic(self) -> bool:
        """Whether all of it are soundscapes."""
        return self.bank is not None or (self.root / DESCRIPTION).is_file()
