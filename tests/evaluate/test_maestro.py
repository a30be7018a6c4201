"""F1MO of predictors that detect nothing, from files as MAESTRO Real has them.

Of the development set's ground truth it is known how many of its 11,418 one-second segments
each of the eleven evaluated classes is in; more is not needed to know what they reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streamsed.evaluate.criteria.segments import MICROSECONDS, best_segment_f1
from streamsed.evaluate.data import EvaluationData
from streamsed.evaluate.reading.evaluation_data import read_evaluation_data
from tests.evaluate.folders import write, write_scores

SEGMENTS = 11_418
SUPPORTS = {
    "people talking": 5703,
    "car": 3513,
    "birds_singing": 1472,
    "footsteps": 1444,
    "large_vehicle": 689,
    "metro approaching": 452,
    "metro leaving": 299,
    "children voices": 183,
    "cutlery and dishes": 170,
    "wind_blowing": 141,
    "brakes_squeaking": 110,
}
SCENES = ("cafe_restaurant", "city_center", "grocery_store", "metro_station", "residential_area")


def read(
    folder: Path,
    truth: Mapping[str, NDArray[np.bool_]],
    scores: Mapping[str, NDArray[np.float64]],
    classes: tuple[str, ...],
) -> EvaluationData:
    """Write soft labels of seconds, and scores of seconds, and read them."""
    for name, labels in truth.items():
        lines = [
            f"{second}\t{second + 1}\t{label}\t{0.9 if true else 0.2}"
            for second, row in enumerate(labels)
            for label, true in zip(classes, row, strict=True)
            if true or second % 10 == 0  # most of what is not there is not listed
        ]
        write(folder / "annotation" / f"soft_labels_{name}.txt", *lines)
        write_scores(folder / "scores" / f"{name}.tsv", scores[name], classes=classes, frame_s=1)
    return read_evaluation_data(ground_truth=folder / "annotation", scores=folder / "scores")


def f1mo(data: EvaluationData) -> tuple[float, dict[str, float]]:
    assert data.scores is not None
    return best_segment_f1(
        data.scores,
        data.truth,
        durations_s=data.durations_s,
        classes=data.classes,
        time_decimals=MICROSECONDS,
    )


def test_always_positive_on_the_supports_of_the_development_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((SEGMENTS, len(SUPPORTS)), bool)
    for column, positives in enumerate(SUPPORTS.values()):
        labels[rng.choice(SEGMENTS, positives, replace=False), column] = True
    parts = dict(enumerate(np.array_split(labels, 6)))
    truth = {f"{SCENES[number % 5]}_{number:02}": part for number, part in parts.items()}
    scores = {name: np.ones(part.shape) for name, part in truth.items()}
    value, per_class = f1mo(read(tmp_path, truth, scores, tuple(SUPPORTS)))
    assert value == pytest.approx(0.176, abs=5e-4)
    for label, positives in SUPPORTS.items():
        assert per_class[label] == pytest.approx(2 * positives / (SEGMENTS + positives))


def test_scene_rates_are_cut_where_brute_force_cuts_them(tmp_path: Path) -> None:
    """A score is how often the class is in such scenes: which scenes to call positive?"""
    rng = np.random.default_rng(1)
    classes = tuple(SUPPORTS)[:4]
    rates = rng.random((len(SCENES), len(classes))) ** 3
    truth = {
        f"{scene}_{take:02}": rng.random((30, len(classes))) < rates[number]
        for number, scene in enumerate(SCENES)
        for take in range(2)
    }
    of_scene = {
        scene: np.mean([part for name, part in truth.items() if name.startswith(scene)], (0, 1))
        for scene in SCENES
    }
    scores = {name: np.tile(of_scene[name[:-3]], (30, 1)) for name in truth}
    value, per_class = f1mo(read(tmp_path, truth, scores, classes))
    true, scored = np.concatenate(list(truth.values())), np.concatenate(list(scores.values()))
    best = [
        max(
            2
            * np.sum(true[:, c] & (scored[:, c] >= at))
            / (true[:, c].sum() + np.sum(scored[:, c] >= at))
            for at in of_scene_c
        )
        for c, of_scene_c in enumerate(np.stack(list(of_scene.values()), axis=1))
    ]
    assert list(per_class.values()) == pytest.approx(best)
    assert value == pytest.approx(np.mean(best))
    assert value > np.mean(2 * true.sum(0) / (len(true) + true.sum(0)))  # always positive


def test_slashes_of_labels_are_hyphens_in_truth_and_detections(tmp_path: Path) -> None:
    """As in bundles, whose labels are parts of topics."""
    write(tmp_path / "truth" / "soft_labels_cafe_01.txt", "0\t1\tdoor opens/closes\t0.9")
    write(
        tmp_path / "events.tsv",
        "filename\tonset\toffset\tevent_label",
        "cafe_01\t0\t1\tdoor opens-closes",
    )
    write(tmp_path / "durations.tsv", "filename\tduration", "cafe_01\t2")
    data = read_evaluation_data(
        ground_truth=tmp_path / "truth",
        events=tmp_path / "events.tsv",
        durations=tmp_path / "durations.tsv",
    )
    assert data.classes == ("door opens-closes",)
    assert any("'door opens/closes' is 'door opens-closes'" in note for note in data.notes)
