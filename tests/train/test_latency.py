"""Accuracy against look-ahead: each is one replay, which is announced, and none is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streamsed.bundle.manifest import ClassPostprocessing
from tests.train.tiny_models import tiny_model
from tests.train.tone_set import write_tone_set
from train.checkpoint import save_model
from train.ensemble import Ensemble, read_ensemble
from train.held_out import HeldOut
from train.latency import LOOK_AHEADS_S, distinct, latency_curve
from train.models.registry import build
from train.postprocess.metrics import ClassMetrics
from train.postprocess.replayed import Replayed
from train.recipe.schema import HeldOutPart, load_recipe

RECIPE = Path("train/recipes/tiny-streaming-windowed.yaml")
KNOWN = ClassMetrics(
    event_f1=0.1, intersection_f1=0.2, psds1=0.3, psds2=0.4, false_alarms_per_hour=5.0
)


def ensemble_of(folder: Path, *kinds: str) -> Ensemble:
    paths = [folder / f"{kind}.pt" for kind in kinds]
    for path in paths:
        save_model(path, tiny_model(path.stem), step=1)
    return read_ensemble(paths)


def test_points_differ_and_members_that_cannot_choose_add_none(tmp_path: Path) -> None:
    windowed = ensemble_of(tmp_path, "gru")
    points = distinct(windowed)
    longest = windowed.members[0].model.look_aheads()[-1]
    wished = {min(int(s / windowed.frame_s), longest) for s in LOOK_AHEADS_S}
    assert [max(frames) for frames in points] == sorted(wished)
    both = ensemble_of(tmp_path, "gru", "causal")
    trained = both.members[1].model.config.latency_frames
    assert trained > 0
    assert [frames[1] for frames in distinct(both)] == [trained] * len(distinct(both))
    assert max(distinct(both)[0]) == trained
    assert len({max(frames) for frames in distinct(both)}) == len(distinct(both))


class Watched(HeldOut):
    """Recordings whose replays are done, and noted by title."""

    def replay(self, bundle: Path, part: HeldOutPart, *, title: str = "") -> Replayed:
        self.titles = [*getattr(self, "titles", []), title]
        return super().replay(bundle, part, title=title)


@pytest.mark.slow
def test_each_look_ahead_is_one_replay_with_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.latency.LOOK_AHEADS_S", (0.0, 0.25))
    recipe = load_recipe(RECIPE)
    save_model(tmp_path / "best.pt", build(recipe.model).eval(), step=1)
    ensemble = read_ensemble([tmp_path / "best.pt"])
    held_out = Watched(recipe, write_tone_set(tmp_path / "tones"))
    rules = {label: ClassPostprocessing() for label in recipe.model.classes}
    with capture_logs() as logs:
        known, other = latency_curve(
            ensemble, held_out, postprocessing=rules, measured={distinct(ensemble)[0]: KNOWN}
        )
    lines = ["look-ahead 1 of 2", "look-ahead 2 of 2"]
    assert [entry["event"] for entry in logs if "look-ahead" in entry["event"]] == lines
    assert held_out.titles == lines[1:]
    assert known.reached is KNOWN
    assert known.look_ahead_s < other.look_ahead_s <= 0.25
