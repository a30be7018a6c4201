"""What holds for data of any kind that a run can learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.kinds_of_data import WRITERS, small_recipe
from train.data.batches import Batch
from train.data.crops import CropBatch
from train.data.mixtures import MixtureBatch
from train.data.sets.desed import LabelsConfig
from train.data.sets.registry import DATA
from train.engine.stage import Sets
from train.recipe.schema import Recipe

KINDS = sorted(DATA.configs())
STAGES = {"desed": "supervised", "scenes": "streamed", "mixtures": "pit", "pairs": "mixit",
          "maestro": "soft"}  # fmt: skip


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return {kind: write(tmp_path_factory.mktemp(kind)) for kind, write in WRITERS.items()}


def recipe_of(kind: str) -> Recipe:
    clips = getattr(DATA.configs()[kind], "yields", "clips") == "clips"
    stage = STAGES.get(kind, "supervised" if clips else "pit")
    if kind != "scenes":
        return small_recipe(stage)
    scenes = {"kind": "scenes", "batch": 2, "steps_per_epoch": 2, "held_out_clips": 2}
    plain = {"plans": {"Speech": {"duration_s": [0.5, 1.0]}}, "duration_s": 1.024,
             "simulated_rooms": 1}  # fmt: skip
    recipe = small_recipe("supervised")
    content = {**scenes, "soundscape": plain, "held_out": plain}
    from train.recipe.schema import dump_recipe, parse_recipe

    return parse_recipe({**dump_recipe(recipe), "data": content}, where=kind)


@pytest.fixture(scope="module", params=KINDS)
def read(request: pytest.FixtureRequest, sources: Mapping[str, Path]) -> tuple[Recipe, Sets]:
    recipe = recipe_of(request.param)
    assert recipe.data.kind == request.param
    return recipe, DATA.maker(request.param)(sources[request.param], recipe)


def arrays(batch: Any) -> list[np.ndarray]:
    found: list[np.ndarray] = []

    def note(array: np.ndarray) -> np.ndarray:
        found.append(array)
        return array

    batch.map(note)
    return found


def test_a_batch_depends_on_its_step_alone(read: tuple[Recipe, Sets]) -> None:
    recipe, sets = read
    one, other = sets.batches(), sets.batches()
    assert one.steps_per_epoch == 2
    late = arrays(one[3])
    first = arrays(one[0])
    for mine, again in zip(late, arrays(other[3]), strict=True):
        np.testing.assert_array_equal(mine, again)
    assert not np.array_equal(first[0], late[0])
    wanted = {"clips": Batch, "mixtures": MixtureBatch, "crops": CropBatch}
    assert isinstance(one[0], wanted[recipe.data.yields])
    assert all(array.dtype in (np.float32, np.int64, bool) for array in first)


def test_processes_share_a_batch(read: tuple[Recipe, Sets]) -> None:
    _, sets = read
    whole = arrays(sets.batches()[1])[0]
    parts = [arrays(sets.batches(rank=rank, ranks=2)[1])[0] for rank in (0, 1)]
    rows = {row.tobytes() for part in parts for row in part}
    assert rows == {row.tobytes() for row in whole}


def test_a_fingerprint_is_of_the_clips(read: tuple[Recipe, Sets], sources: Any) -> None:
    recipe, sets = read
    again = DATA.maker(recipe.data.kind)(sources[recipe.data.kind], recipe)
    assert again.fingerprint() == sets.fingerprint()
    assert len(sets.fingerprint()) == 16
    assert all(count > 0 for count in sets.counts().values())


def test_clips_have_further_labels_beside_their_own(
    sources: Mapping[str, Path], tmp_path: Path
) -> None:
    """Pseudo labels of some weak clips, as events and as tags; of others they are not known."""
    events, tags = tmp_path / "events.tsv", tmp_path / "tags.tsv"
    events.write_text(
        "filename\tonset\toffset\tevent_label\nweak3.wav\t0.0\t3.0\tSpeech\nweak4.wav\t\t\t\n"
    )
    tags.write_text("filename\tevent_labels\nweak5.wav\tFrying\n")
    recipe = small_recipe("supervised")
    labels = {"pseudo": LabelsConfig(events), "tags": LabelsConfig(tags, "tags")}
    data = replace(recipe.data, labels=labels, weak=12, strong=1, unlabelled=0)  # type: ignore[call-arg]
    stage = replace(recipe.stage, frame_targets=("strong", "pseudo"))  # type: ignore[call-arg]
    both = replace(recipe, data=data, stage=stage)
    sets = DATA.maker("desed")(sources["desed"], both)
    plain = replace(both, data=replace(data, labels={}), stage=recipe.stage)
    assert sets.fingerprint() != DATA.maker("desed")(sources["desed"], plain).fingerprint()
    seen: dict[str, list[bool]] = {"pseudo": [], "tags": []}
    for step in range(3):
        batch = sets.batches()[step]
        for name, known in seen.items():
            target = batch.targets[name]
            assert target.source == str(labels[name].table)
            known.extend(target.known.tolist())
            wanted = {"pseudo": {"weak3.wav", "weak4.wav"}, "tags": {"weak5.wav"}}[name]
            assert {n for n, k in zip(batch.names, target.known, strict=True) if k} <= wanted
        pseudo = batch.targets["pseudo"].values
        for row, clip in enumerate(batch.names):
            assert pseudo[row].any() == (clip == "weak3.wav")
            assert not batch.targets["strong"].known[row] or clip.startswith("strong")
    assert any(seen["pseudo"])
