"""Pages of plans: the tables that the repository holds are what their plans make of the figures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamsed.errors import ConfigError
from train.engine.training_log import HISTORY
from train.experiments.page import Results
from train.experiments.plan import Plan, load_plan
from train.experiments.score_steps import FIGURES, Fuse, Score, Scored, ScoreFile, Scoring, fused
from train.experiments.scoring import Reached
from train.places import find

Cells = Sequence[str]
DATA = {"data": Path("data"), "bank": Path("bank")}


def tables(text: str) -> list[list[Cells]]:
    """Return the rows of every table of a page, heads left out."""
    found: list[list[Cells]] = []
    for line in text.splitlines():
        if re.fullmatch(r"[| -]+", line) and "---" in line:
            if found:
                found[-1].pop()  # it was the head of this one
            found.append([])
        elif line.startswith("|") and found:
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def results(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Results:
    """Return results of a plan of the package without any step done."""
    plan = load_plan(find("plans", name))
    clips = re.search(r"Clips: (.*?)\.", text)
    assert clips
    counts = {part: int(n) for n, part in (one.split() for one in clips[1].split(", "))}
    monkeypatch.setattr(Results, "counts", lambda _: counts)
    return Results(plan.title, plan.about, name, plan.steps, {}, DATA)


def with_figures(of: Results, folder: Path, found: Mapping[str, Scored]) -> Results:
    """Return results in which these steps have scored."""
    for name, scored in found.items():
        (folder / name).mkdir(parents=True)
        (folder / name / FIGURES).write_text(json.dumps(asdict(scored)))
    done = {name: folder / name for name in found}
    return Results(of.title, of.about, of.name, of.steps, {**of.folders, **done}, of.paths)


def page_of(plan: str, of: Results) -> str:
    page = load_plan(find("plans", plan)).page
    assert page is not None
    return page.text(of)


def test_the_grid_s_page_is_made_of_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path("train/RESULTS-JSS.md").read_text()
    of = results("jss-streaming", tmp_path, monkeypatch, text)
    separators, first, second = tables(text)
    here = {
        (row[0], selection): [cell.split(" / ")[0] for cell in row[1 + 3 * i : 4 + 3 * i]]
        for rows in (first, second)
        for row in rows
        for i, selection in enumerate(("student", "teacher") if rows is first else ("teacher",))
    }
    found = {}
    for name, step, _ in of.scored():
        assert step.title is not None
        psds1, psds2, f1 = here.pop((step.title, str(step.row)))
        if psds1 != "-":
            reached = Reached(float(psds1), float(psds2), float(f1) / 100, 0.0)
            found[name] = Scored(reached, parameters=1)
    assert all(set(cells) == {"-"} for cells in here.values()), "every row has a step"
    folders = {}
    for learned_from, _, steps, loss_db, better in separators:
        folder = tmp_path / f"separator-{learned_from}"
        folder.mkdir()
        best = {"loss_db": float(loss_db), "si_snr_improvement_db": float(better), "objective": 1}
        records = [
            {"kind": "validation", "step": int(steps), "figures": {"student": best}},
            {"kind": "validation", "step": 1, "figures": {"student": {**best, "objective": 0}}},
        ]
        (folder / HISTORY).write_text("".join(f"{json.dumps(record)}\n" for record in records))
        folders[folder.name] = folder
    of = Results(of.title, of.about, of.name, of.steps, folders, of.paths)
    assert page_of("jss-streaming", with_figures(of, tmp_path / "scored", found)) == text


def test_the_comparison_s_page_is_made_of_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path("train/RESULTS.md").read_text()
    of = results("baseline-and-streaming", tmp_path, monkeypatch, text)
    rows = {(row[0], row[2], row[3]): row for row in tables(text)[0]}
    seen: dict[Any, int] = {}
    found = {}
    for name, step, _ in of.scored():
        assert isinstance(step, Score)
        frames = step.look_ahead_frames
        ahead_s = None if frames is None else frames * 0.064
        shown = "whole" if ahead_s is None else f"{ahead_s:.2f} s"
        row = rows[str(step.title), shown, str(step.row)]
        seed = seen[tuple(row)] = seen.get(tuple(row), 0) + 1
        values = [_of_seed(cell, seed) for cell in row[4:8]]
        found[name] = Scored(Reached(*values), int(row[1].replace(",", "")), 1, ahead_s)
    assert {row: str(count) for row, count in seen.items()} == {
        tuple(row): row[8] for row in rows.values()
    }
    assert page_of("baseline-and-streaming", with_figures(of, tmp_path, found)) == text
    first = next(iter(found))
    del found[first]
    again = with_figures(of, tmp_path / "less", found)
    assert f"Not done yet: {first}." in page_of("baseline-and-streaming", again)
    with pytest.raises(ConfigError, match="nothing is done"):
        page_of("baseline-and-streaming", of)


def _of_seed(cell: str, seed: int) -> float:
    """Return one of three values that have the mean and deviation that a cell shows."""
    mean, _, deviation = cell.partition(" ± ")
    return float(mean) + (seed - 2) * float(deviation) if deviation else float(mean)


def test_the_grid_is_the_paper_s() -> None:
    from train.experiments.jss import TABLE_1, TABLE_2

    for name in ("jss", "jss-streaming"):
        plan = load_plan(find("plans", name))
        scoring = [step for step in plan.steps.values() if isinstance(step, Scoring)]
        titles = {step.title for step in scoring}
        assert titles >= {*TABLE_1, *TABLE_2}
        for selection in ("student", "teacher"):
            assert {s.title for s in scoring if s.row == selection} >= set(TABLE_1)
        fusions = {step.title: step.scores for step in scoring if isinstance(step, Fuse)}
        assert fusions["SED Bs + DESED-S2"].keys() == {"sed-teacher", "DESED-S2-teacher-scores"}


def test_each_stage_begins_with_what_the_one_before_was_selected_for() -> None:
    plan: Plan = load_plan(find("plans", "jss"))
    for separator in ("FUSS", "DESED"):
        for selection in ("student", "teacher"):
            begun = {
                stage: plan.steps[f"{separator}-{stage}-{selection}"].init_from
                for stage in ("S1", "S2", "JT")
            }
            assert begun == {
                "S1": f"{separator}-S0-{selection}",
                "S2": f"{separator}-S1-{selection}/{selection}",
                "JT": f"{separator}-S0-{selection}",
            }
            joined = plan.steps[f"{separator}-S0-{selection}"]
            assert joined.separator == f"separator-{separator}"
            assert joined.detector == f"sed/{selection}"


def test_rows_of_a_comparison_differ_in_nothing_that_is_common() -> None:
    plan = load_plan(find("plans", "baseline-and-streaming"))
    fits = [step for step in plan.steps.values() if step.kind == "fit"]
    steps: dict[Any, set[int]] = {}
    for step in fits:
        steps.setdefault(step.loaded.model, set()).add(step.loaded.epochs)
    assert {len(epochs) for epochs in steps.values()} == {1}, "with and without a teacher"
    assert len({step.loaded.data.strong for step in fits}) == 1


def test_a_fusion_is_the_weighted_mean_of_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)

    def file(frames: int = 5, classes: tuple[str, ...] = ("a", "b")) -> ScoreFile:
        clips = {name: rng.random((frames, 2), np.float32) for name in ("x.wav", "y.wav")}
        return ScoreFile(clips, 0.064, classes)

    one, other = file(), file()
    mean = fused({"one": one, "other": other}, {"one": 1.0, "other": 3.0})
    for name, values in mean.clips.items():
        expected = (one.clips[name] + 3.0 * other.clips[name]) / 4.0
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    mean.save(tmp_path / "scores.npz")
    again = ScoreFile.load(tmp_path / "scores.npz")
    assert (again.frame_s, again.classes) == (mean.frame_s, mean.classes)
    np.testing.assert_array_equal(again.clips["x.wav"], mean.clips["x.wav"])
    for odd in (file(frames=6), file(classes=("a", "c"))):
        with pytest.raises(ConfigError, match="odd: its scores are of other clips, frames or cl"):
            fused({"one": one, "odd": odd}, {"one": 1.0, "odd": 1.0})
