"""The joint framework as a plan: what is detected, how clips are filtered, and the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamsed.errors import ConfigError
from tests.train.tone_set import write_tone_set
from train.data.clips import Clip, ClipSet
from train.data.events import Event
from train.experiments.detect_steps import (
    F1,
    Detected,
    Windowed,
    event_f1,
    read_detected,
    segment_f1,
    tag_confusion,
)
from train.experiments.engine import Engine
from train.experiments.joint import verdicts
from train.experiments.plan import load_plan
from train.places import find
from train.postprocess.twice import active_frames, event_durations
from train.stages.validation import active_events, true_events

FRAME_S = 0.1


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("joint")
    plan = load_plan(find("plans", "tiny-joint"))
    made = Engine(plan, "tiny-joint", folder / "runs", {"data": write_tone_set(folder / "data")})
    undone = made.run(jobs=1, report=lambda *_: None)
    assert not undone
    return made


def test_the_page_has_the_papers_rows_and_names_what_is_not_at_hand(
    engine: Engine, tmp_path: Path
) -> None:
    page = engine.plan.page
    assert page is not None
    text = page.text(engine.results())
    assert "| mean teacher | - | - / 25.8 | - | - / 53.7 | - | - / 45.8 | - |" in text
    assert "| + DFD-D | - | 44.4 / 41.7 | - | 73.2 / 71.1 | - | 73.4 / 72.9 | - |" in text
    whole = next(line for line in text.splitlines() if line.startswith("| + TFD + AFL + ESP |"))
    assert [cell.strip() for cell in whole.split("|")][3::2][:3] == [
        "51.6 / 49.8",
        "76.4 / 75.9",
        "83.4 / 81.2",
    ]
    assert "| gamma 1, tau 15 | - | 45.5 / 44.8 | - | 74.3 / 73.3 | - | 75.3 / 74.4 | - |" in text
    assert "- + TFD, against backbone: not run." in text
    assert "1 of 3 seeds are too few for a claim" in text
    assert "| afl | teacher |" in text
    assert "| causal under it |" in text
    page.draw(engine.results(), tmp_path / "pictures")
    for name in ("confusion.png", "durations.png"):
        assert (tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG")


def test_the_student_and_its_teacher_are_both_scored(engine: Engine) -> None:
    folders = engine.results().folders
    student, teacher = (read_detected(folders[f"{name}-found"]) for name in ("afl", "teacher"))
    assert student.parameters != teacher.parameters
    for found in (student, teacher):
        assert 0.0 <= found.tags.interval[0] <= found.tags.interval[1] <= 1.0
        for windowed in (found.average, found.event_specific):
            assert windowed.windows_s["Blender"] == 0.0


def test_the_papers_own_plans_can_be_read(tmp_path: Path) -> None:
    whole = load_plan(find("plans", "joint"))
    with pytest.raises(ConfigError, match="needs --data"):
        Engine(whole, "joint", tmp_path, {})
    small = load_plan(find("plans", "joint-small"))
    assert small.page is not None
    with pytest.raises(ConfigError, match="nothing is done"):
        small.page.text(Engine(small, "joint-small", tmp_path, {"bank": tmp_path}).results())


def test_frames_are_gated_filtered_and_filtered_again() -> None:
    """A window of 3 takes out a lone frame and fills a lone gap; a class without a tag is out."""
    values = np.full((6, 2), 0.9, np.float32)
    values[:, 0] = 0.9, 0.1, 0.1, 0.9, 0.2, 0.8
    tags = np.array([0.6, 0.5], np.float32)
    active = active_frames(values, tags, windows=(3, 3))
    # Medians of 3: 0.9 0.1 0.1 0.2 0.8 0.8 (the ends go on); above 0.5: 1 0 0 0 1 1; again: same.
    assert active[:, 0].tolist() == [True, False, False, False, True, True]
    assert not active[:, 1].any(), "0.5 does not exceed the threshold"
    alternating = np.array([[0.9], [0.9], [0.1], [0.9], [0.1], [0.9], [0.1], [0.1]], np.float32)
    # Once: 1 1 1 0 1 0 0 0. Again: 1 1 1 1 0 0 0 0.
    twice = active_frames(alternating, np.ones(1, np.float32), windows=(3,))
    assert twice[:, 0].tolist() == [True] * 4 + [False] * 4


def clip_set() -> ClipSet:
    events = (Event("a", 0.0, 0.5), Event("a", 0.4, 1.0), Event("b", 0.2, 0.9))
    clips = (
        Clip("x", Path("x.wav"), "x", events=events, duration_s=1.0),
        Clip("y", Path("y.wav"), "y", events=(Event("a", 0.0, 0.3),), duration_s=1.0),
    )
    return ClipSet("strong", "strong", ("a", "b", "c"), clips)


def test_durations_are_those_of_events_that_overlapping_labels_make() -> None:
    durations = event_durations(clip_set())
    assert durations["a"].durations_s.tolist() == pytest.approx([1.0, 0.3])
    assert durations["b"].clip_s.tolist() == [1.0]
    assert len(durations["c"].durations_s) == 0


def test_events_of_active_frames_reach_their_f1() -> None:
    clips = clip_set()
    durations_s = clips.durations()
    truth = true_events(clips, durations_s=durations_s)
    active = {"x": np.zeros((10, 3), bool), "y": np.zeros((10, 3), bool)}
    active["x"][:, 0] = active["x"][2:9, 1] = active["x"][:4, 2] = True
    events = active_events(active, classes=clips.classes, frame_s=FRAME_S, durations_s=durations_s)
    found = event_f1(events, truth, clips)
    assert found.classes == {"a": pytest.approx(2 / 3), "b": 1.0, "c": None}
    assert found.macro == pytest.approx((2 / 3 + 1) / 2)
    segments = segment_f1(events, truth, clips)
    assert segments.classes == {"a": pytest.approx(2 / 3), "b": 1.0, "c": None}


def test_confusion_counts_a_wrong_tag_where_the_class_is_not() -> None:
    found = np.array([[1, 1], [1, 0], [0, 1]], bool)
    true = np.array([[1, 0], [1, 1], [0, 1]], bool)
    shares = tag_confusion(found, true, ("a", "b"))
    assert shares == {"a": {"a": 1.0, "b": 1.0}, "b": {"a": 0.0, "b": 0.5}}
    nothing = tag_confusion(found, np.zeros((3, 2), bool), ("a", "b"))
    assert nothing["a"] == {"a": None, "b": None}


def detected(tags: float, events: float) -> Detected:
    f1 = {value: F1(value, (0.0, 1.0), {}) for value in (tags, events)}
    windowed = Windowed(f1[events], f1[events], f1[tags], {}, {})
    return Detected(f1[tags], windowed, windowed, 1)


def test_a_part_is_said_to_help_only_where_three_seeds_agree() -> None:
    backbone = [detected(0.5, 0.3)] * 3
    agree = [detected(0.6, 0.2), detected(0.7, 0.4), detected(0.51, 0.4)]
    lines = list(verdicts({"backbone": backbone, "+ TFD": agree}))
    line = next(line for line in lines if "+ TFD, against backbone" in line)
    assert "tags +10.3, better in all 3 seeds" in line
    assert "events +3.3, seeds disagree" in line
    few = list(verdicts({"backbone": backbone[:2], "+ TFD": agree[:2]}))
    assert any("2 of 3 seeds are too few" in line for line in few)
