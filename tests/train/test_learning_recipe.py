"""Recipes in layers: what is laid over what, what a run is called, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from streamsed.errors import ConfigError
from tests.train.tone_set import write_tone_set
from train.data.sets.clips import ClipSets
from train.data.sets.desed import DesedConfig, read_sets
from train.engine.folder import RunFolder, run_id
from train.engine.machine import MachineConfig
from train.layering import delta, laid_over, read_layers, signature
from train.models.causal_crnn import CausalCRNNConfig
from train.models.crnn2021 import CRNN2021Config
from train.recipe.schema import Recipe, dump_recipe, load_recipe, parse_recipe

RECIPES = Path("train/recipes")
OURS = sorted(RECIPES.glob("*.yaml"))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> ClipSets:
    root = write_tone_set(tmp_path_factory.mktemp("tones"))
    return read_sets(root, Recipe(name="x"))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_every_recipe_loads_and_survives_being_written(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert parse_recipe(dump_recipe(recipe), where="copy") == recipe


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_every_recipe_has_a_tiny_form(path: Path) -> None:
    if path.stem.startswith("tiny-"):
        tiny, full = load_recipe(path), load_recipe(RECIPES / path.name.removeprefix("tiny-"))
        assert type(tiny.model) is type(full.model)
        assert tiny.stage.kind == full.stage.kind
        assert tiny.data.kind == full.data.kind
    else:
        assert (RECIPES / f"tiny-{path.name}").exists()


def test_the_mean_teacher_is_the_baselines() -> None:
    recipe = load_recipe(RECIPES / "mean-teacher.yaml")
    assert recipe == replace(Recipe(name=recipe.name))
    assert recipe.model == CRNN2021Config(recipe.model.classes)
    data = recipe.data
    assert (data.strong, data.weak, data.unlabelled) == (12, 12, 24)


def test_layers_lie_over_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\ndata: {strong: 1, weak: 2}\nepochs: 3\n")
    (tmp_path / "b.yaml").write_text("data: {weak: 5}\nseed: 9\n")
    top = tmp_path / "c.yaml"
    top.write_text("extends: [a.yaml, b.yaml]\nname: c\nseed: 10\n")
    expected = {"name": "c", "data": {"strong": 1, "weak": 5}, "epochs": 3, "seed": 10}
    assert read_layers(top) == expected


def test_a_mapping_of_another_kind_is_an_error_unless_it_is_meant() -> None:
    below = {"model": {"kind": "crnn2021", "filters": [1], "dropout": 0.5}}
    with pytest.raises(ConfigError, match=r"model\.kind: 'causal_crnn' over 'crnn2021'"):
        laid_over(below, {"model": {"kind": "causal_crnn", "rnn_units": 3}})
    meant = {"model": {"replace": True, "kind": "causal_crnn", "rnn_units": 3}}
    assert laid_over(below, meant)["model"] == {"kind": "causal_crnn", "rnn_units": 3}
    same = laid_over(below, {"model": {"kind": "crnn2021", "dropout": 0.1}})
    assert same["model"] == {"kind": "crnn2021", "filters": [1], "dropout": 0.1}


def test_a_layer_of_another_model_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("name: x\nmodel: {preset: causal-base}\n")
    (tmp_path / "kind.yaml").write_text("extends: base.yaml\nmodel: {kind: crnn2021}\n")
    with pytest.raises(
        ConfigError,
        match=r"base\.yaml:2: model\.preset: 'causal-base': model\.kind: 'crnn2021' over",
    ):
        load_recipe(tmp_path / "kind.yaml")
    (tmp_path / "stage.yaml").write_text("name: x\nstage: {kind: streamed}\n")
    (tmp_path / "over.yaml").write_text("extends: stage.yaml\nstage: {kind: supervised}\n")
    with pytest.raises(ConfigError, match=r"over\.yaml: stage\.kind: 'supervised' over 'streamed'"):
        load_recipe(tmp_path / "over.yaml")


def test_all_mistakes_of_all_layers_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("name: x\ndata:\n  strongs: 3\n")
    (tmp_path / "top.yaml").write_text("extends: base.yaml\nepoch: 1\nmachine: {device: gpu}\n")
    with pytest.raises(ConfigError) as raised:
        load_recipe(tmp_path / "top.yaml")
    mistakes = raised.value.mistakes
    assert len(mistakes) == 3
    assert f"{tmp_path}/top.yaml:2: epoch: unknown key; did you mean 'epochs'?" in mistakes[0]
    assert mistakes[1].startswith(f"{tmp_path}/top.yaml:3: machine.device: ")
    assert f"{tmp_path}/base.yaml:3: data.strongs: unknown key; did you" in mistakes[2]


def test_a_delta_holds_what_differs() -> None:
    base = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1, 2]}
    assert delta(base, base) == {}
    other = {"a": 1, "b": {"c": 2, "d": 4}, "e": [1, 3], "f": None}
    assert delta(base, other) == {"b": {"d": 4}, "e": [1, 3], "f": None}
    assert laid_over(base, delta(base, other)) == other


def test_a_signature_is_of_the_content_alone() -> None:
    assert signature({"a": 1, "b": 2}) == signature({"b": 2, "a": 1}) != signature({"a": 1})
    assert len(signature({})) == 8


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("name: x\nepoch: 3", "epoch"),
        ("name: x\ndata: {strongs: 3}", "data.strongs"),
        ("name: x\nmodel: {kind: crnn2021, classes: [a], rnn_unit: 3}", "rnn_unit"),
        ("name: x\nmodel: {kind: crnn, classes: [a]}", "model"),
        ("name: x\nstage: {teacher: null}", "stage.teacher"),
        (
            "name: x\nstage: {kind: supervised, teacher: null}\nvalidation: {selection: teacher}",
            "selection is teacher, but there is none; .* are student",
        ),
        (
            "name: x\nstage: {kind: supervise}",
            "stage: unknown kind 'supervise'; did you mean 'supervised'",
        ),
        ("name: x\nstage: {kind: supervised, consistency: {}}", "stage.consistency"),
        ("name: x\nstage: {freeze: sed}", "no halves"),
        ("name: x\nstage: {frame_targets: [pseudo]}", "frame_targets: pseudo; the data has strong"),
        ("name: x\ndata: {labels: {weak: {table: x.tsv}}}", "labels.weak"),
        ("name: x\ndata: {kind: mixtures}", "learns from clips"),
        ("name: x\nstage: {kind: pit}", "trains a conv_tasnet"),
        ("name: x\nmodel: {kind: conv_tasnet}", "detects events"),
        ("name: x\nmodel: {kind: conv_tasnet}\nstage: {kind: pit}", "data.kind mixtures"),
        (
            "extends: pit.yaml\naugment: {gain: {}}",
            "augment means nothing",
        ),
        ("name: x\naccumulate: 0", "accumulate"),
        ("name: x\nmodel: {kind: causal_crnn, classes: [a]}", "clip_head"),
        ("name: x\naugment: {filter_db: 3.0}", "augment.filter_db"),
        ("name: x\naugment: {filter: {most_ranges: 60}}", "do not fit 128"),
        ("name: x\naugment: {gain: {}}\nmachine: {cache: x}", "augment.gain needs audio"),
        ("name: x\nstage: {kind: streamed}", "set data.weak"),
        ("name: x\nstage: {kind: streamed}\ndata: {kind: scenes}", "causal_crnn"),
        ("name: x\ndata: {kind: scenes}\nmachine: {cache: x}", "cannot be kept"),
        ("name: x\ndata: {kind: scenes, strong: 3}", "data.strong"),
        ("name: x\ndata: {kind: scenes, soundscape: {duration: 3}}", "soundscape.duration"),
        ("name: x\ndata: {kind: fuss}", "data"),
        ("name: x\npostprocessing: {windows: keep}", "keep"),
        ("name: x\npostprocessing: {part: validation}", "would flatter"),
        ("name: x\nmachine: {device: gpu}", "machine.device"),
        ("extends: nothing.yaml", "nothing.yaml"),
        ("extends: wrong.yaml", "extends itself"),
        ("extends: {a: 1}", "extends"),
        ("- 1", "mapping"),
        ("{", "YAML"),
    ],
)
def test_a_wrong_recipe_is_one_clear_line(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    (tmp_path / "pit.yaml").write_text(
        "name: x\nmodel: {kind: conv_tasnet}\nstage: {kind: pit}\ndata: {kind: mixtures}\n"
    )
    with pytest.raises(ConfigError, match=problem) as caught:
        load_recipe(path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_machine_does_not_change_which_run_it_is(sets: ClipSets) -> None:
    recipe = Recipe(name="x")
    elsewhere = replace(recipe, machine=MachineConfig(device="cpu", devices=2, workers=7))
    assert run_id(recipe, sets) == run_id(elsewhere, sets)
    for other in (
        replace(recipe, seed=1),
        replace(recipe, model=CRNN2021Config(recipe.model.classes, dropout=0.1)),
        replace(recipe, model=CausalCRNNConfig(recipe.model.classes, clip_head=True)),
        replace(recipe, data=replace(recipe.data, weak=6)),
    ):
        assert run_id(recipe, sets) != run_id(other, sets)


def test_other_labels_are_another_run(sets: ClipSets) -> None:
    recipe = Recipe(name="x")
    (first, count), *rest = sets.training
    fewer = replace(sets, training=((replace(first, clips=first.clips[1:]), count), *rest))
    assert run_id(recipe, sets) != run_id(recipe, fewer)


def test_a_folder_of_another_run_is_refused(sets: ClipSets, tmp_path: Path) -> None:
    recipe = Recipe(name="x")
    folder = RunFolder(tmp_path / "run")
    folder.claim(recipe, sets, data=tmp_path)
    folder.claim(replace(recipe, machine=MachineConfig(workers=0)), sets, data=tmp_path)
    with pytest.raises(ConfigError, match="another recipe"):
        folder.claim(replace(recipe, seed=7), sets, data=tmp_path)


def test_weak_clips_of_validation_are_not_trained_on(sets: ClipSets) -> None:
    assert sets.weak is not None
    trained = {clip.recording for clips, _ in sets.training for clip in clips.clips}
    assert not trained & {clip.recording for clip in sets.weak.clips}
    assert len(sets.weak) == 2  # a tenth of 24


def test_unlabelled_clips_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only unlabelled"):
        read_sets(tmp_path, Recipe(name="x", data=DesedConfig(strong=0, weak=0)))
