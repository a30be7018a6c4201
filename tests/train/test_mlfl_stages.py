"""The metric-learning paper's networks learn from tones, each from what the one before made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from streamsed.errors import ConfigError
from tests.train.tone_set import CLIP_S, write_tone_set
from train.checkpoint import load_model, save_model
from train.commands.pseudo_label import pseudo_label as label_command
from train.data.classes import CLASSES
from train.data.clips import Clip
from train.data.desed import read_desed
from train.data.events import Event, read_tsv
from train.data.labels import LabelGrid
from train.data.tables import read_rows
from train.engine.fitting import fit_recipe
from train.engine.training_log import read_history
from train.layering import REPLACE, laid_over, read_layers
from train.models.mlfl import MLFL
from train.models.registry import MODELS, build
from train.models.tag_cnn import TagCNN
from train.pseudo_labels import (
    PseudoConfig,
    Thresholds,
    best_thresholds,
    f1_above,
    label_parts,
    pseudo_label,
    scored,
)
from train.recipe.schema import Recipe, load_recipe, parse_recipe
from train.stages.tag_cnn import given_tags, with_false_tags
from train.stages.validation import Scores

RECIPES = Path("train/recipes/mlfl")


def recipe(name: str, **changes: Any) -> Recipe:
    content = laid_over(read_layers(RECIPES / f"tiny-{name}.yaml"), changes)
    return parse_recipe(content, where=name)


def losses(folder: Path) -> list[dict[str, float]]:
    return [r["losses"] for r in read_history(folder) if r["kind"] == "losses"]


def fell(folder: Path, *terms: str) -> None:
    """Check that parts of the loss are lower at the end than at the beginning."""
    first, last = losses(folder)[0], losses(folder)[-1]
    for term in ("loss", *terms):
        assert last[term] < first[term], f"{term}: {first[term]} to {last[term]}"


class Chain:
    """Folders of what was trained one after another."""

    def __init__(self, root: Path) -> None:
        self.data = write_tone_set(root / "data")
        self.root = root
        self.fbcrnn, self.pseudo = root / "fbcrnn", root / "pseudo"
        self.mlfl, self.tag_cnn = root / "mlfl", root / "tag-cnn"

    def labels(self) -> dict[str, Any]:
        return {
            "pseudo_strong": {"table": str(self.pseudo / "strong.tsv")},
            "pseudo_weak": {"table": str(self.pseudo / "weak.tsv"), "form": "tags"},
        }

    def fit(self, made: Recipe, folder: Path) -> None:
        _, done = fit_recipe(made, data=self.data, folder=folder)
        assert done


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    made = Chain(tmp_path_factory.mktemp("chain"))
    made.fit(recipe("fbcrnn"), made.fbcrnn)
    label_parts(
        load_model(made.fbcrnn / "best.pt"),
        made.data,
        made.pseudo,
        config=PseudoConfig(duration_s=CLIP_S, fit="strong_validation"),
        origin=made.fbcrnn / "best.pt",
    )
    made.fit(recipe("mlfl", data={"labels": made.labels()}), made.mlfl)
    labels = {"pseudo_strong": made.labels()["pseudo_strong"]}
    tagged = recipe("tag-cnn", data={"labels": labels}, init_from=str(made.mlfl / "best.pt"))
    made.fit(tagged, made.tag_cnn)
    return made


def test_an_fbcrnn_learns_tags_and_boundaries(chain: Chain) -> None:
    fell(chain.fbcrnn, "tags", "boundaries")


def test_pseudo_labels_are_of_tags_and_name_their_origin(chain: Chain) -> None:
    strong = read_tsv(chain.pseudo / "strong.tsv")
    rows = read_rows(chain.pseudo / "weak.tsv", ("filename", "event_labels"))
    weak = {row["filename"]: set(row["event_labels"].split(",")) for _, row in rows}
    given = {
        row["filename"]: {tag for tag in row["event_labels"].split(",") if tag}
        for _, row in read_rows(
            chain.data / "metadata/train/weak.tsv", ("filename", "event_labels")
        )
    }
    assert not strong.keys() & weak.keys()
    assert len(strong) + len(weak) == 48, "all weak and unlabelled clips"
    for name, tags in given.items():
        if name in strong:
            assert {event.label for event in strong[name]} == tags
        else:
            assert weak[name] == tags
    origin = yaml.safe_load((chain.pseudo / "origin.yaml").read_text())
    assert origin["checkpoint"] == str(chain.fbcrnn / "best.pt")
    assert origin["clips"]["strong"] == len(strong)
    assert set(origin["thresholds"]) == set(
        load_model(chain.fbcrnn / "best.pt").model.config.classes
    )


def test_each_class_has_the_window_of_its_highest_f1(tmp_path: Path) -> None:
    torch.manual_seed(3)
    origin_file, data = tmp_path / "fbcrnn.pt", write_tone_set(tmp_path / "data")
    save_model(origin_file, build(MODELS.example("fbcrnn")(CLASSES)), step=1)
    checkpoint = load_model(origin_file)
    clips = read_desed(data, "strong_validation", classes=checkpoint.model.config.classes)

    def f1_of(asked: int | tuple[int, ...]) -> NDArray[np.float64]:
        config = PseudoConfig(duration_s=CLIP_S, fit="strong_validation", look_ahead_frames=asked)
        label_parts(checkpoint, data, tmp_path, config=config, origin=origin_file)
        origin = yaml.safe_load((tmp_path / "origin.yaml").read_text())
        aheads = np.array([origin["look_ahead_frames"][label] for label in clips.classes])
        assert set(aheads) <= set(np.atleast_1d(asked))
        above = np.array([origin["thresholds"][label] for label in clips.classes])
        frames, _ = scored(checkpoint.model, clips, config, aheads)
        true = [strong_frames(clip, frames[clip.name]) for clip in clips.clips]
        return f1_above(
            np.concatenate([frames[c.name] for c in clips.clips]), np.concatenate(true), above
        )

    def strong_frames(clip: Clip, of: Scores) -> NDArray[np.bool_]:
        config = checkpoint.model.config
        grid = LabelGrid(
            config.classes,
            sample_rate=config.front_end.sample_rate,
            frame_samples=config.frame_samples,
            duration_s=CLIP_S,
        )
        return grid.strong(clip.events or ())[: len(of)] > 0.5

    each = [f1_of(ahead) for ahead in (2, 8)]
    np.testing.assert_allclose(f1_of((2, 8)), np.maximum(*each), atol=0.02)
    assert not np.allclose(*each, atol=0.02)
    with pytest.raises(ValueError, match="chosen on fit"):
        PseudoConfig(look_ahead_frames=(2, 8))


def test_mlfl_learns_by_all_its_branches(chain: Chain) -> None:
    fell(chain.mlfl, "weak", "strong")
    assert losses(chain.mlfl)[-1].keys() >= {
        "pseudo_strong",
        "adaptation",
        "strong_consistency",
        "weak_consistency",
    }


def test_shares_of_features_are_computed_of_the_training_clips(tmp_path: Path) -> None:
    data = write_tone_set(tmp_path / "data")
    small = recipe(
        "mlfl",
        stage={
            "shares": {"least": 0.2, "most_together": 9},
            "frame_targets": ["strong"],
            "clip_targets": ["weak"],
            "adaptation": None,
        },
        data={"steps_per_epoch": 2, "labels": {REPLACE: True}},
        epochs=1,
    )
    for stopped in (True, False):  # what a stopped run had computed is still there
        fit_recipe(small, data=data, folder=tmp_path / "run", until=0.0 if stopped else None)
    classes = small.model.classes
    clips = [*read_desed(data, "strong").clips, *read_desed(data, "weak").clips]
    for network in ("student", "teacher"):
        model = load_model(tmp_path / f"run/{network}.last.pt").model
        assert isinstance(model, MLFL)
        widths = model.pooling.seen.sum(dim=1).tolist()
        units = model.pooling.kernels.shape[1]
        assert max(widths) == units
        known = {label for clip in clips for label in clip.labels}
        for label, width in zip(classes, widths, strict=True):
            if label not in known:
                assert width == int(0.2 * units), label
    with pytest.raises(ConfigError, match="both decide it"):
        recipe("mlfl", stage={"shares": {}}, model={"shares": [0.5] * len(classes)})


def test_the_tag_conditioned_network_leaves_its_tagger_as_it_was(chain: Chain) -> None:
    fell(chain.tag_cnn, "strong")
    model = load_model(chain.tag_cnn / "student.last.pt").model
    tagger = load_model(chain.mlfl / "best.pt").model
    assert isinstance(model, TagCNN)
    assert isinstance(tagger, MLFL)
    assert model.config.tagger == tagger.config
    for name, value in tagger.state_dict().items():
        torch.testing.assert_close(model.tagger.state_dict()[name], value, rtol=0, atol=0)


GUIDE = {
    "kind": "mlfl",
    "front_end": {"n_mels": 32, "n_fft": 512},
    "planes": [{"channels": 8, "pool": [4, 4]}, {"channels": 16, "pool": [4, 4]}],
    "shift_frames": 0,
    "chunk_samples": 16384,
}


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({"stage": {"learning": "labels", "teacher": None}}, {"weak", "strong", "adaptation"}),
        ({"stage": {"learning": "guided", "teacher": None}}, {"guide", "guided", "guiding"}),
        ({"stage": {"adaptation": {"real_labels": "own"}}}, {"adaptation"}),
        ({"stage": {"adaptation": None, "focal": {"gamma": 0.0}}}, {"weak_consistency"}),
        ({"mixup": {"probability": 1.0}, "model": {"shares": [0.5] * 10}}, {"adaptation"}),
    ],
)
def test_other_forms_of_mlfl_learn(
    chain: Chain, tmp_path: Path, changes: dict[str, Any], terms: set[str]
) -> None:
    base: dict[str, Any] = {"data": {"labels": chain.labels(), "steps_per_epoch": 4}, "epochs": 1}
    if changes.get("stage", {}).get("learning") == "guided":
        classes = recipe("mlfl").model.classes
        changes = laid_over(changes, {"stage": {"guide": {**GUIDE, "classes": list(classes)}}})
    made = recipe("mlfl", **laid_over(base, changes))
    made = replace(made, machine=replace(made.machine, log_every=4))
    chain.fit(made, tmp_path / "run")
    last = losses(tmp_path / "run")[-1]
    assert terms <= last.keys()
    assert all(np.isfinite(value) for value in last.values())


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("fbcrnn", {"stage": {"boundaries": -1.0}}, "boundaries"),
        ("mlfl", {"stage": {"frame_targets": ["strong", "other"]}}, "frame_targets: other"),
        ("mlfl", {"stage": {"adaptation": {"target": "other"}}}, "no such labels"),
        ("mlfl", {"stage": {"learning": "guided"}}, "stage.guide goes with"),
        ("mlfl", {"stage": {"teacher": None}}, "needs stage.teacher"),
        ("tag-cnn", {"stage": {"clip_targets": ["weak"]}}, "does not learn"),
        ("tag-cnn", {"stage": {"false_tags": 1.0}}, "false_tags"),
    ],
)
def test_mistakes_in_recipes_are_one_line(name: str, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        recipe(name, **changes)
    assert "\n" not in str(caught.value)


def test_a_tag_conditioned_network_needs_its_tagger(chain: Chain, tmp_path: Path) -> None:
    labels = {"pseudo_strong": chain.labels()["pseudo_strong"]}
    with pytest.raises(ConfigError, match="init_from: a tag_cnn needs"):
        chain.fit(recipe("tag-cnn", data={"labels": labels}), tmp_path / "run")


@pytest.mark.parametrize("name", ["fbcrnn", "mlfl", "tag-cnn"])
def test_the_papers_own_recipes_can_be_read(name: str) -> None:
    assert load_recipe(RECIPES / f"{name}.yaml").name == name


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"part": ["wek"]}, "--part wek: no such part; did you mean 'weak'"),
        ({"fit": "valid"}, "--fit valid: no such part"),
        ({"threshold": 3.0}, "threshold 3.0; must be between 0 and 1"),
        ({}, "no such checkpoint"),
    ],
)
def test_wrong_options_of_pseudo_label_are_one_line(
    tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        label_command(tmp_path / "none.pt", data=tmp_path, output=tmp_path, **options)
    assert "\n" not in str(caught.value)


def test_events_are_restricted_to_tags_and_a_tag_without_event_stays_one() -> None:
    classes = ("a", "b", "c")
    frames = np.zeros((10, 3), np.float32)
    frames[2:5, 0], frames[4:9, 1] = 0.9, 0.9
    tags = {
        "both": np.array([0.9, 0.8, 0.1], np.float32),
        "one": np.array([0.9, 0.1, 0.1], np.float32),
        "unfound": np.array([0.9, 0.1, 0.9], np.float32),
        "none": np.zeros(3, np.float32),
        "given": np.zeros(3, np.float32),
    }
    found = pseudo_label(
        dict.fromkeys(tags, frames),
        tags,
        classes=classes,
        thresholds=Thresholds(*np.full((2, 3), 0.5, np.float32), look_aheads=np.zeros(3, np.int64)),
        given={"given": ("b",)},
        frame_s=0.1,
        median_s=0.1,
        durations_s=dict.fromkeys(tags, 0.85),
    )
    a, b = Event(label="a", onset_s=0.2, offset_s=0.5), Event(label="b", onset_s=0.4, offset_s=0.85)
    assert {name: len(events) for name, events in found.strong.items()} == {
        "both": 2,
        "one": 1,
        "none": 0,
        "given": 1,
    }
    for event, expected in zip(found.strong["both"], (a, b), strict=True):
        assert event.label == expected.label
        assert event.onset_s == pytest.approx(expected.onset_s)
        assert event.offset_s == pytest.approx(expected.offset_s)
    assert found.weak == {"unfound": ("a", "c")}


def test_thresholds_are_those_of_the_highest_f1() -> None:
    scores = np.array([[0.9, 0.2], [0.8, 0.1], [0.4, 0.3], [0.3, 0.3]], np.float32)
    true = np.array([[True, False], [True, False], [False, False], [True, False]])
    best = best_thresholds(scores, true)
    assert ((scores[:, 0] > best[0]) == [True, True, True, True]).all()
    assert best[1] == 0.5, "without positives there is nothing to choose by"
    true[3, 0] = False
    assert best_thresholds(scores, true)[0] == pytest.approx(0.6)


def test_tags_in_training_are_labels_or_predicted_and_noise_only_adds() -> None:
    own = torch.tensor([[0.2, 0.9], [0.2, 0.9]])
    labels, known = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([True, False])
    assert given_tags(own, labels, known, "labels").tolist()[0] == [1.0, 0.0]
    torch.testing.assert_close(
        given_tags(own, labels, known, "union"), torch.tensor([[1.0, 0.9], [0.2, 0.9]])
    )
    torch.testing.assert_close(given_tags(own, labels, known, "tagger"), own)
    torch.manual_seed(1)
    tags = torch.rand(400, 10)
    noisy = with_false_tags(tags, 0.25)
    changed = noisy != tags
    assert (noisy >= tags).all()
    assert 0.2 < changed.float().mean() < 0.3
